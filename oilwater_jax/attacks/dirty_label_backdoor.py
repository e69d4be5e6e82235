"""DLBD, the dirty-label backdoor: copies of source-class images with a trigger, labelled as the target class.

References: Gu et al. 2017 (BadNets); the paper's low-budget regime, 0.1% to 1% of n.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from oilwater_jax import metrics, rng
from oilwater_jax.types import Examples, Goal


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
    source = train.take(rows)
    return dataclasses.replace(
        source,
        image=stamp(source.image, trigger),
        label=np.full(count, target, np.int32),
        is_poison=np.ones(count, bool),
    )


def goal(test: Examples, target: int, trigger: Trigger) -> Goal:
    """Success on the test images whose true label is not the target: ASR with the trigger, rate without it."""
    victims = test.take(test.true_label != target)
    n = len(victims)

    def measure(logits: np.ndarray) -> dict[str, float]:
        predicted = np.argmax(logits, axis=-1)
        truth = victims.true_label
        return {
            "asr": metrics.attack_success_rate(predicted[:n], truth, target),
            "asr_untriggered": metrics.attack_success_rate(predicted[n:], truth, target),
        }

    return Goal(np.concatenate([stamp(victims.image, trigger), victims.image]), measure)
