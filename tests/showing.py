"""What a method is shown and given, for the tests of methods."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from oilwater_jax.entries import Method
from oilwater_jax.settings.config import checked, default, registry_of, view
from oilwater_jax.types import Case, Evidence, Examples, Found, Scores, Treatment, nobody


def unused(*_):
    raise AssertionError("this method asks for no more scores")


def evidence(label, scores: Scores, early_scores: Scores | None = None, seed: int = 0) -> Evidence:
    """Evidence of training samples alone."""
    label = np.asarray(label, np.int32)
    none = np.zeros(0, np.int32)
    return Evidence(
        seed=seed,
        label=label,
        scores=scores,
        val_label=none,
        val_scores={},
        base=nobody(),
        base_scores={},
        kernel=np.zeros((1, 2)),
        image=np.zeros((len(label), 1, 1, 3), np.uint8),
        score=unused,
        n_classes=int(label.max()) + 1,
        early_scores=early_scores,
    )


class Looker:
    """A method at some settings."""

    def __init__(self, name: str, settings: Mapping[str, Any] | None = None) -> None:
        config = checked(default(), {"rows": ("erm", name), **(settings or {})})
        self.entry: Method = registry_of(config).method(name)
        self.config = view(config, self.entry)

    def find(self, seen: Evidence) -> Found:
        """What it finds."""
        assert self.entry.find is not None
        return self.entry.find(self.config, seen)

    def treat(self, train: Examples, found: dict[str, np.ndarray], mode: str = "standard") -> Treatment:
        """Its treatment of these samples."""
        case = Case(train, found, mode, 4, 0, train, nobody(), 2, 2)
        return self.entry.treat(self.config, case)


def weights(treatment: Treatment, train: Examples) -> np.ndarray:
    """The draws of its first epoch."""
    return treatment.selector.update(treatment.selector.init(train), 1, None)[1]
