"""DLBD, the dirty-label backdoor: copies of source-class images with a trigger, labelled as the target class.

References: Gu et al. 2017 (BadNets); the paper's low-budget regime, 0.1% to 1% of n.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from oilwater_jax.attacks import backdoor
from oilwater_jax.attacks.lab import Lab
from oilwater_jax.attacks.sources import budgeted, poison_count
from oilwater_jax.entries import Attack, Config
from oilwater_jax.errors import UserError
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
    source = train.take(backdoor.draw(pool, count, seed, "dlbd sources")).in_memory()
    return backdoor.poisoned(source, stamp(np.asarray(source.image), trigger), target)


def goal(examples: Examples, target: int, trigger: Trigger) -> Goal:
    """Success on the images whose true label is not the target: ASR with the trigger, rate without it."""
    return backdoor.goal(examples, target, lambda image: stamp(image, trigger))


def trigger_of(config: Config) -> Trigger:
    """The config's trigger."""
    t = config.dlbd
    return Trigger(t.size, t.margin, tuple(t.colour), t.opacity)


def check_trigger(config: Config, splits: Splits) -> None:
    """Raises UserError for a trigger that reaches outside the images."""
    trigger, height = trigger_of(config), min(splits.train.image.shape[1:3])
    if trigger.size + trigger.margin > height:
        raise UserError(
            f"dlbd: size {trigger.size} + margin {trigger.margin} reach outside images of {height} pixels"
        )


def check(config: Config, splits: Splits, width: int) -> None:
    """Raises UserError for a target, source group, trigger or budget that the data set cannot serve."""
    backdoor.check_sources(config, splits)
    check_trigger(config, splits)


def attack(config: Config, splits: Splits, judged: Examples | None, seed: int, lab: Lab) -> Attacked:
    """The poisons are appended."""
    pool = backdoor.members(config, splits)
    count = poison_count(config.attack.budget, len(splits.train))
    poisons = poison(splits.train, pool, count, config.attack.target, trigger_of(config), seed)
    return backdoor.appended(splits.train, poisons)


def make_goal(config: Config, judged: Examples, evidence: dict[str, np.ndarray]) -> Goal:
    """Success on a split's examples."""
    return goal(judged, config.attack.target, trigger_of(config))


ATTACK = Attack(
    name="dlbd",
    label="DLBD",
    help="dirty-label backdoor: a small trigger and the wrong label",
    takes=("image",),
    figures=backdoor.FIGURES,
    baseline=backdoor.BASELINE,
    fields={
        "size": Field(3, "side of the square trigger, pixels", 1, 1024),
        "margin": Field(0, "pixels between trigger and bottom-right corner", 0, 1024),
        "colour": Field((255, 255, 255), "RGB of the trigger", 0, 255, length=3),
        "opacity": Field(1.0, "opacity of the trigger; 1: solid, 0: invisible", 0, 1),
    },
    check_data=check,
    attack=attack,
    goal=make_goal,
    passes=2.0,  # with the trigger and without
    count=budgeted,
)
