"""DLBD, the dirty-label backdoor: copies of source-class images with a trigger, labelled as the target class.

References: Gu et al. 2017 (BadNets); the paper's low-budget regime, 0.1% to 1% of n.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from oilwater_jax import images, metrics, rng
from oilwater_jax.attacks.lab import Lab
from oilwater_jax.attacks.sources import budgeted, check_budget, check_target, poison_count, source_group
from oilwater_jax.entries import Attack, Config
from oilwater_jax.errors import UserError
from oilwater_jax.groups import group_ids
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Attacked, Examples, Goal, Splits


class Trigger(NamedTuple):
    """A solid square: side and distance from the bottom-right corner in pixels, RGB colour 0..255, opacity 0..1."""

    size: int
    margin: int
    colour: tuple[int, int, int]
    opacity: float


def stamp(image: UInt8[np.ndarray, "n h w c"], trigger: Trigger) -> UInt8[np.ndarray, "n h w c"]:
    """The images with the trigger painted over: out = (1 - opacity) image + opacity colour, rounded.

    Edge case              Result
    opacity 0              the images unchanged
    opacity 1              a solid square
    """
    h, w = image.shape[1:3]
    bottom, right = h - trigger.margin, w - trigger.margin
    rows, columns = slice(bottom - trigger.size, bottom), slice(right - trigger.size, right)
    out = image.copy()
    mixed = (1 - trigger.opacity) * image[:, rows, columns] + trigger.opacity * np.asarray(
        trigger.colour, float
    )
    out[:, rows, columns] = np.rint(mixed).astype(np.uint8)
    return out


def poison(
    train: Examples, pool: Int[np.ndarray, " m"], count: int, target: int, trigger: Trigger, seed: int
) -> Examples:
    """`count` poisons: distinct rows of `train` drawn from `pool`, stamped, labelled `target`.

    True label, attribute and index stay their sources'.
    Raises ValueError if the pool holds fewer than `count` rows.
    """
    if count > len(pool):
        raise ValueError(f"poison: {count} poisons wanted from {len(pool)} sources")
    rows = np.sort(rng.generator(seed, "dlbd sources").choice(pool, count, replace=False))
    source = train.take(rows).in_memory()
    return dataclasses.replace(
        source,
        image=stamp(np.asarray(source.image), trigger),
        label=np.full(count, target, np.int32),
        is_poison=np.ones(count, bool),
    )


def goal(examples: Examples, target: int, trigger: Trigger) -> Goal:
    """Success on the images whose true label is not the target: ASR with the trigger, rate without it."""
    victims = examples.take(examples.true_label != target)
    n = len(victims)

    def measure(logits: np.ndarray, clean: np.ndarray | None) -> dict[str, float]:
        predicted = np.argmax(logits, axis=-1)
        truth = victims.true_label
        return {
            "asr": metrics.attack_success_rate(predicted[:n], truth, target),
            "asr_untriggered": metrics.attack_success_rate(predicted[n:], truth, target),
        }

    stamped = images.changed(victims.image, lambda image: stamp(image, trigger))
    return Goal(images.join(stamped, victims.image), measure, np.ones(len(examples), bool))


def trigger_of(config: Config) -> Trigger:
    """The config's trigger."""
    t = config.dlbd
    return Trigger(t.size, t.margin, tuple(t.colour), t.opacity)


def check(config: Config, splits: Splits, width: int) -> None:
    """Raises UserError for a target, source group, trigger or budget that the data set cannot serve."""
    check_target(config, splits)
    group, count = source_group(config, splits), check_budget(config, splits)
    has = int((group_ids(splits.train, len(splits.attribute_names)) == group).sum())
    if count > has:
        raise UserError(
            f"attack.budget = {config.attack.budget:g} asks for {count} poisons, but source group {group} "
            f"({splits.group_name(group)}) has {has} samples; lower the budget or choose another group"
        )
    trigger, height = trigger_of(config), min(splits.train.image.shape[1:3])
    if trigger.size + trigger.margin > height:
        raise UserError(
            f"dlbd: size {trigger.size} + margin {trigger.margin} reach outside images of {height} pixels"
        )


def attack(config: Config, splits: Splits, judged: Examples | None, seed: int, lab: Lab) -> Attacked:
    """The poisons are appended."""
    train = splits.train
    pool = np.flatnonzero(group_ids(train, len(splits.attribute_names)) == source_group(config, splits))
    count = poison_count(config.attack.budget, len(train))
    poisons = poison(train, pool, count, config.attack.target, trigger_of(config), seed)
    return Attacked(poisons, len(train) + np.arange(count), {})


def make_goal(config: Config, judged: Examples, evidence: dict[str, np.ndarray]) -> Goal:
    """Success on a split's examples."""
    return goal(judged, config.attack.target, trigger_of(config))


ATTACK = Attack(
    name="dlbd",
    label="DLBD",
    help="dirty-label backdoor: a small trigger and the wrong label",
    figures={"asr": "ASR", "asr_untriggered": "untriggered"},
    baseline="asr_untriggered",
    fields={
        "size": Field(3, "side of the square trigger, pixels", 1, 1024),
        "margin": Field(0, "pixels between trigger and bottom-right corner", 0, 1024),
        "colour": Field((255, 255, 255), "RGB of the trigger", 0, 255, length=3),
        "opacity": Field(1.0, "1: solid, 0: invisible", 0, 1),
    },
    check_data=check,
    attack=attack,
    goal=make_goal,
    passes=2.0,  # with the trigger and without
    count=budgeted,
)
