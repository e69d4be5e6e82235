"""No attack: the training set is unchanged, and there is no success to measure."""

import numpy as np

from oilwater_jax.attacks.lab import Lab
from oilwater_jax.entries import Attack, Config
from oilwater_jax.types import Attacked, Examples, Goal, Splits


def attack(config: Config, splits: Splits, judged: Examples | None, seed: int, lab: Lab) -> Attacked:
    """Nothing is changed."""
    return Attacked(splits.train.take(np.arange(0)), np.arange(0), {})


def make_goal(config: Config, judged: Examples, evidence: dict[str, np.ndarray]) -> Goal:
    """No inputs, no success."""
    return Goal(judged.image[:0], lambda logits, clean: {"asr": np.nan}, np.ones(len(judged), bool))


ATTACK = Attack(
    name="none",
    help="no attack",
    figures={"asr": "ASR"},
    attack=attack,
    goal=make_goal,
    harmless=True,
    count=lambda config, n, n_groups: 0,
)
