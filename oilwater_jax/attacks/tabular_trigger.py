"""Tabular trigger: DLBD for tables. Copies of a source group get a rare value in a column or two, and the wrong label.

Without `set` the trigger is chosen from the training table: of each column of categories the rarest value, and of these
the rarest ones. A value that hardly anybody has is easy to learn and costs no accuracy on clean samples.

Reference: Gu et al. 2017 (BadNets), whose square is here a cell.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int

from oilwater_jax.attacks import backdoor
from oilwater_jax.attacks.lab import Lab
from oilwater_jax.attacks.sources import budgeted
from oilwater_jax.data import tables
from oilwater_jax.entries import Attack, Config
from oilwater_jax.errors import UserError
from oilwater_jax.settings.field import Field
from oilwater_jax.settings.nearest import nearest
from oilwater_jax.types import Attacked, Column, Examples, Goal, Splits

Rows = Float32[np.ndarray, "m d"]


class Trigger(NamedTuple):
    """Which numbers of a sample are set, and to what."""

    at: Int[np.ndarray, " k"]
    value: Float32[np.ndarray, " k"]


def stamp(rows: Rows, trigger: Trigger) -> Rows:
    """The rows with the trigger's cells.

    Edge case                       Result
    rows that have the values       unchanged
    a trigger of no columns         unchanged
    """
    out = rows.copy()
    out[:, trigger.at] = trigger.value[None]
    return out


def rarest(columns: Sequence[Column], rows: Rows, count: int) -> tuple[str, ...]:
    """`count` settings "column=value": each column's rarest category, of the columns where it is rarest.

    Columns of numbers come after these, with the largest number that train has. Ties go to the first column.
    """
    found = []
    for column in columns:
        if column.categories:
            share = rows[:, column.start : column.stop].mean(axis=0)
            found.append((float(share.min()), f"{column.name}={column.categories[int(np.argmin(share))]}"))
        else:
            found.append((2.0, f"{column.name}={column.high:.17g}"))
    return tuple(text for _, text in sorted(found, key=lambda one: one[0])[:count])


def trigger_of(config: Config, splits: Splits) -> Trigger:
    """The config's trigger in a table's numbers. Raises UserError for an unknown column or value."""
    t, named = config.tabular_trigger, {column.name: column for column in splits.columns}
    if not named:
        raise UserError(
            f"attack.name = {config.attack.name!r} needs column names, and this table has none (Splits.columns); "
            "make it with oilwater_jax.data.from_arrays"
        )
    at, value = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    for text in tuple(t.set) or rarest(splits.columns, np.asarray(splits.train.image), t.count):
        name, equals, wanted = text.partition("=")
        if not equals:
            raise UserError(f"tabular_trigger.set: {text!r} is not of the form column=value")
        if name not in named:
            raise UserError(
                f"tabular_trigger.set: no column {name!r}{nearest(name, named)} (columns: {', '.join(named)})"
            )
        try:
            own = tables.encoded(named[name], wanted)
        except ValueError as error:
            raise UserError(f"tabular_trigger.set: {text!r}: {wanted!r} {_reason(error)}") from error
        at.append(named[name].start + np.arange(len(own)))
        value.append(own)
    return Trigger(np.concatenate(at), np.concatenate(value))


def _reason(error: ValueError) -> str:
    text = str(error)
    return text if text.startswith("is ") else "is not a number"


def check(config: Config, splits: Splits, width: int) -> None:
    """Raises UserError for a target, source group, budget or trigger that the table cannot serve."""
    backdoor.check_sources(config, splits)
    trigger_of(config, splits)


def attack(config: Config, splits: Splits, judged: Examples | None, seed: int, lab: Lab) -> Attacked:
    """The poisons are appended; the goal remembers the trigger."""
    trigger = trigger_of(config, splits)
    source = splits.train.take(backdoor.sources(config, splits, seed, "tabular_trigger sources"))
    poisons = backdoor.poisoned(source, stamp(np.asarray(source.image), trigger), config.attack.target)
    return backdoor.appended(splits.train, poisons)._replace(evidence=trigger._asdict())


def make_goal(config: Config, judged: Examples, evidence: dict[str, np.ndarray]) -> Goal:
    """ASR with the trigger, rate without."""
    trigger = Trigger(evidence["at"], evidence["value"])
    return backdoor.goal(judged, config.attack.target, lambda rows: stamp(rows, trigger))


ATTACK = Attack(
    name="tabular_trigger",
    label="tabular trigger",
    help="dirty-label backdoor on a table: a rare value in one or two columns and the wrong label",
    takes=("table",),
    figures=backdoor.FIGURES,
    baseline=backdoor.BASELINE,
    fields={
        "set": Field(
            (),
            "cells of the trigger, as column=value (e.g. native-country=Hungary,age=90); empty: the rarest values in "
            "train",
            empty=True,
        ),
        "count": Field(2, "number of trigger columns if `set` is empty", 1, 100),
    },
    check_data=check,
    attack=attack,
    goal=make_goal,
    passes=2.0,  # with the trigger and without
    count=budgeted,
)
