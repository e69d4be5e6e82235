"""A small table of samples and an attack on it, for the tests of attacks."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from oilwater_jax.attacks.lab import Lab
from oilwater_jax.settings.config import checked, default, registry_of, view
from oilwater_jax.types import Attacked, Examples, Goal, Splits

COUNTS = (40, 10, 8, 42)  # of groups 0/0, 0/1, 1/0, 1/1


def unused(*_):
    raise AssertionError("this attacker trains nothing")


NO_LAB = Lab(unused, unused, unused, unused, unused)


def table(counts=COUNTS, seed=0, side=8) -> Examples:
    """Random images, their groups in a random order."""
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(4), counts))
    n = len(group)
    return Examples(
        image=rng.integers(0, 256, (n, side, side, 3), np.uint8),
        label=(group // 2).astype(np.int32),
        true_label=(group // 2).astype(np.int32),
        attribute=(group % 2).astype(np.int32),
        is_poison=np.zeros(n, bool),
        index=np.arange(n, dtype=np.int32),
    )


def small(counts=COUNTS) -> Splits:
    """100 training samples, 40 of validation, 80 of test."""
    return Splits(table(counts), table((10,) * 4, 1), table((20,) * 4, 2), ("a", "b"), ("x", "y"))


class Attacker:
    """An attack at some settings, on `small()`."""

    def __init__(
        self, name: str, settings: Mapping[str, Any] | None = None, splits: Splits | None = None
    ) -> None:
        given = {"attack.name": name, "attack.budget": 0.06, "dlbd.size": 2, **(settings or {})}
        config = checked(default(), given)
        self.entry = registry_of(config).attack(name)
        self.config = view(config, self.entry)
        self.splits = splits or small()

    def check(self) -> None:
        """The checks of the data."""
        self.entry.check_data(self.config, self.splits, 64)

    def attack(self, seed: int = 0) -> Attacked:
        """What it does to the training set."""
        return self.entry.attack(self.config, self.splits, None, seed, NO_LAB)

    def goal(self, evidence: dict[str, np.ndarray]) -> Goal:
        """Success on test."""
        return self.entry.goal(self.config, self.splits.test, evidence)


def same(one: Examples, other: Examples) -> None:
    """Both are equal in every field."""
    for name, array in one.arrays().items():
        np.testing.assert_array_equal(other.arrays()[name], array, err_msg=name)


def says(predicted) -> np.ndarray:
    """Logits of two classes that predict this."""
    return np.eye(2, dtype=np.float32)[np.asarray(predicted, int)]
