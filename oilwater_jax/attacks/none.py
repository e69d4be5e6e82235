"""No attack: the training set as it is, and nothing to measure."""

import numpy as np

from oilwater_jax.config import Config
from oilwater_jax.types import Examples, Goal, Splits


def check(config: Config, splits: Splits) -> None:
    """Nothing can be wrong."""


def attack(config: Config, splits: Splits, seed: int) -> Examples:
    """The clean training set."""
    return splits.train


def make_goal(config: Config, examples: Examples) -> Goal:
    """No inputs, no figures."""
    return Goal(examples.image[:0], lambda logits: {"asr": np.nan, "asr_untriggered": np.nan})
