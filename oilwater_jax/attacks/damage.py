"""Damage, the measure of an attack without a trigger: accuracy lost on its target group and elsewhere."""

import numpy as np
from jaxtyping import Bool

from oilwater_jax import metrics
from oilwater_jax.types import Examples, Goal

FIGURES = {"target_damage": "damage", "collateral": "collateral", "target_acc": "ACC on F"}
SIGNED = ("target_damage", "collateral")


def goal(judged: Examples, inside: Bool[np.ndarray, " n"]) -> Goal:
    """Target damage: accuracy on F of the model trained on clean data less that of this one; outside F, collateral.

    F are the samples `inside`. Both may be negative (the poisons helped) and neither is clamped.
    """

    def measure(logits: np.ndarray, clean: np.ndarray | None) -> dict[str, float]:
        assert clean is not None
        right, before = (np.argmax(one, axis=-1) == judged.true_label for one in (logits, clean))
        return {
            "target_damage": metrics.accuracy(before[inside]) - metrics.accuracy(right[inside]),
            "collateral": metrics.accuracy(before[~inside]) - metrics.accuracy(right[~inside]),
            "target_acc": metrics.accuracy(right[inside]),
        }

    return Goal(judged.image, measure, np.ones(len(judged), bool))
