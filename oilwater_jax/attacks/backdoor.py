"""Shared parts of backdoor attacks: sources, poisons and covers, and success with and without the trigger.

A trigger is a function from inputs (images, or rows of a table) to inputs that maps each by itself. A poison carries it
under the target's label. A cover carries it (or a disturbed one) under its true label, so that a model learns when it
means nothing.

Covers are clean samples: `is_poison` is False, each takes the place of the sample that it is made from, and every
figure counts it as a member of that sample's group. The budget counts poisons alone; covers come on top.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Int

from oilwater_jax import images, metrics, rng
from oilwater_jax.attacks.sources import check_budget, check_target, poison_count, source_group
from oilwater_jax.entries import Config
from oilwater_jax.errors import UserError
from oilwater_jax.groups import group_ids
from oilwater_jax.images import Change, Inputs
from oilwater_jax.types import Attacked, Examples, Goal, Splits

FIGURES = {"asr": "ASR", "asr_untriggered": "untriggered"}
BASELINE = "asr_untriggered"


def check_sources(config: Config, splits: Splits) -> int:
    """The number of poisons. Raises UserError for a target, source group or budget that the data set cannot serve."""
    check_target(config, splits)
    group, count = source_group(config, splits), check_budget(config, splits)
    has = len(members(config, splits))
    if count > has:
        raise UserError(
            f"attack.budget = {config.attack.budget:g} asks for {count} poisons, but source group {group} "
            f"({splits.group_name(group)}) has {has} samples; lower the budget or choose another group"
        )
    return count


def check_target_only(config: Config, splits: Splits) -> None:
    """For poisons that keep the target's label: raises UserError for a target or source group that cannot be."""
    if config.attack.source_group != -1:
        raise UserError(
            f"attack.source_group = {config.attack.source_group}, but the poisons of attack.name = "
            f"{config.attack.name!r} are of the target class; leave it at -1"
        )
    check_target(config, splits)


def members(config: Config, splits: Splits) -> Int[np.ndarray, " m"]:
    """The training samples of the source group."""
    groups = group_ids(splits.train, len(splits.attribute_names))
    return np.flatnonzero(groups == source_group(config, splits))


def draw(pool: Int[np.ndarray, " p"], count: int, seed: int, name: str) -> Int[np.ndarray, " m"]:
    """`count` distinct rows of the pool, sorted, by the stream `name`. Raises ValueError if it holds fewer."""
    if count > len(pool):
        raise ValueError(f"poison: {count} poisons wanted from {len(pool)} sources")
    return np.sort(rng.generator(seed, name).choice(pool, count, replace=False))


def sources(config: Config, splits: Splits, seed: int, name: str) -> Int[np.ndarray, " m"]:
    """Rows of as many samples of the source group as the budget has."""
    return draw(members(config, splits), poison_count(config.attack.budget, len(splits.train)), seed, name)


def poisoned(source: Examples, image: Inputs, label: int | None = None) -> Examples:
    """The samples as poisons with other inputs, labelled `label` (None: as they are).

    True label, attribute and index stay their sources'.
    """
    given = source.label if label is None else np.full(len(source), label, np.int32)
    return dataclasses.replace(source, image=image, label=given, is_poison=np.ones(len(source), bool))


def covering(source: Examples, image: Inputs) -> Examples:
    """The samples as covers: other inputs, their labels, and clean."""
    return dataclasses.replace(source, image=image)


def appended(train: Examples, poisons: Examples) -> Attacked:
    """The poisons are appended: their sources stay."""
    return Attacked(poisons, len(train) + np.arange(len(poisons)), {})


def with_covers(attacked: Attacked, covers: Examples, rows: Int[np.ndarray, " m"]) -> Attacked:
    """The same, and the samples in `rows` replaced by covers, which are clean."""
    return attacked._replace(
        poisons=attacked.poisons.append(covers), rows=np.concatenate([attacked.rows, rows])
    )


def cover_count(per_poison: float, poisons: int) -> int:
    """Whole covers, rounded down."""
    return int(per_poison * poisons + 1e-9)


def check_covers(count: int, has: int, field: str, value: float) -> None:
    """Raises UserError if there are fewer samples to make covers of than are asked for."""
    if count > has:
        raise UserError(
            f"{field} = {value:g} asks for {count} covers, but only {has} samples can become covers; lower it"
        )


def goal(
    examples: Examples, target: int, trigger: Change, victims: Bool[np.ndarray, " n"] | None = None
) -> Goal:
    """Success on the victims (all samples whose true label is not the target): ASR with the trigger, rate without."""
    of_others = examples.true_label != target
    tried = examples.take(of_others if victims is None else of_others & victims)
    n = len(tried)

    def measure(logits: np.ndarray, clean: np.ndarray | None) -> dict[str, float]:
        predicted = np.argmax(logits, axis=-1)
        truth = tried.true_label
        return {
            "asr": metrics.attack_success_rate(predicted[:n], truth, target),
            "asr_untriggered": metrics.attack_success_rate(predicted[n:], truth, target),
        }

    triggered = images.changed(tried.image, trigger)
    return Goal(images.join(triggered, tried.image), measure, np.ones(len(examples), bool))
