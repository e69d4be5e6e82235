"""Gradient matching on tables: numbers move within eps and within what train has; categories stay as they are.

`gm` with other bounds: eps is in standard deviations of a column, no number leaves its column's range in train, and
there is nothing to augment. A changed number need not be whole.

References: Geiping et al. 2021, "Witches' Brew" (the crafting: `matching.py`).
"""

import dataclasses

import numpy as np

from oilwater_jax import rng
from oilwater_jax.attacks import gradient_matching as gm
from oilwater_jax.attacks import matching
from oilwater_jax.attacks.lab import Lab
from oilwater_jax.attacks.sources import budgeted, check_target, poison_count, source_group
from oilwater_jax.entries import Attack, Config
from oilwater_jax.errors import UserError
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Attacked, Examples, Splits


def room(splits: Splits, eps: float) -> matching.Room:
    """How far each of a table's numbers may go: eps within its column's range in train; a category nowhere."""
    width = splits.train.image.shape[1]
    far, low, high = np.zeros((1, width)), np.full((1, width), -np.inf), np.full((1, width), np.inf)
    for column in splits.columns:
        if not column.categories:
            far[0, column.start] = eps
            low[0, column.start] = (column.low - column.mean) / column.deviation
            high[0, column.start] = (column.high - column.mean) / column.deviation
    return matching.Room(far, low, high)


def check(config: Config, splits: Splits, width: int) -> None:
    """Raises UserError for targets or poisons that the data set cannot serve, or a table without numbers."""
    check_target(config, splits)
    gm.check_counts(config, splits, config.tabular_gm.targets, "tabular_gm")
    if all(column.categories for column in splits.columns):
        raise UserError(
            "attack.name = 'tabular_gm' changes columns of numbers, and this table has none described"
        )


def attack(config: Config, splits: Splits, judged: Examples | None, seed: int, lab: Lab) -> Attacked:
    """The poisons replace the training samples that they are made from.

    Edge case                            Result
    a table of categories alone          UserError, before anything runs
    a number outside train's range       cannot be: sources are training samples
    """
    assert judged is not None
    own, label = config.tabular_gm, config.attack.target
    group, n_attributes = source_group(config, splits), len(splits.attribute_names)
    targets = gm.draw_targets(judged, n_attributes, group, own.targets, seed)
    count = poison_count(config.attack.budget, len(splits.train))
    rows = gm.draw_sources(splits.train, label, count, seed)
    source = splits.train.take(rows)
    victim = lab.train("victim", splits.train)
    crafted = matching.craft(
        lab.apply,
        lab.prepare,
        victim,
        image=np.asarray(source.image),
        label=source.label,
        target_gradient=matching.target_gradient(
            lab.apply, lab.prepare, victim, judged.image[targets], label
        ),
        settings=matching.Settings(own.eps, own.steps, own.restarts, own.step_size, 0.0),
        key=rng.key(seed, "gm crafting"),
        room=room(splits, own.eps),
        listener=lambda step, loss: lab.tick(step, own.steps, f"1 - cosine {loss:.3f}"),
    )
    poisons = dataclasses.replace(source, image=crafted.image, is_poison=np.ones(len(rows), bool))
    return Attacked(poisons, rows, {"targets": targets, "losses": crafted.losses, "history": crafted.history})


ATTACK = Attack(
    name="tabular_gm",
    label="GM (table)",
    help="gradient matching on a table: clean-label poisons for a few test rows, categories fixed",
    takes=("table",),
    figures={"asr": "ASR"},
    reads=("evaluate",),
    fields={
        "targets": Field(5, "test rows that one set of poisons is for", 1, 10_000),
        "eps": Field(
            0.5, "largest change of a number, in standard deviations of its column", above=0, high=255
        ),
        "steps": Field(250, "steps of signed Adam", 1, 100_000),
        "restarts": Field(4, "random starts, of which the best is kept", 1, 1000),
        "step_size": Field(0.1, "first step of signed Adam, as a share of eps", above=0, high=10),
    },
    smoke={"steps": 8, "restarts": 2, "targets": 2},
    models=lambda config: ("victim",),
    check_data=check,
    attack=attack,
    goal=gm.make_goal,
    passes=0.0,
    count=budgeted,
)
