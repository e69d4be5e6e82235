"""What a training's scores tell apart: poisons, minorities (LRG) and majorities (HRG)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from oilwater_jax import rng
from oilwater_jax.study.auroc import LEAST, bootstrap
from oilwater_jax.study.best_rules import best_rules
from oilwater_jax.study.pairs import cross_validate

QUESTIONS = {
    "poison_vs_lrg": ("poison", "lrg"),
    "poison_vs_hrg": ("poison", "hrg"),
    "lrg_vs_hrg": ("lrg", "hrg"),
}
"""Which two sets are compared; above 0.5, the first has the higher score."""
COMBINED = "poison_vs_lrg"  # the question that pairs of scores are tried on


def unions(sets: Mapping[str, Bool[np.ndarray, " n"]]) -> dict[str, Bool[np.ndarray, " n"]]:
    """Poisons, all minorities, all majorities, and each minority by itself, from `groups.report_sets`."""
    none = np.zeros(len(sets["poison"]), bool)
    return {
        kind: np.logical_or.reduce([none, *(mask for name, mask in sets.items() if name.startswith(kind))])
        for kind in ("poison", "lrg", "hrg")
    } | {name: mask for name, mask in sets.items() if name.startswith("lrg_")}


def questions(sets: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """QUESTIONS, and poisons against each minority where there are several: pooled, the smallest drowns."""
    each = [name for name in sets if name.startswith("lrg_")]
    return QUESTIONS | {f"poison_vs_{name}": ("poison", name) for name in each if len(each) > 1}


def separability(
    scores: Mapping[str, Float[np.ndarray, "t n"]],
    sets: Mapping[str, Bool[np.ndarray, " n"]],
    epochs: Sequence[int],
    seed: int,
    *,
    correct: Bool[np.ndarray, "t n"] | None = None,
) -> dict[str, Any]:
    """AUROC and advantages of every score at each of the t epochs for each question, and pairs of scores; JSON.

    `sets` are those of `unions`, `correct` says who is classified as labelled (for `best_rules`' law). A question with
    fewer than LEAST samples in one of its sets is None, and so is `pairs` where COMBINED is. Draws are named by `seed`
    and the question.
    """
    kinds = {kind: np.flatnonzero(mask) for kind, mask in sets.items()}
    answers: dict[str, Any] = {}
    rules: dict[str, Any] = {}
    for question, pair in questions(sets).items():
        first, second = (kinds[kind] for kind in pair)
        if min(len(first), len(second)) < LEAST:
            answers[question] = rules[question] = None
            continue
        # [s t n] to one row for each score and epoch.
        table = np.concatenate(list(scores.values())).astype(np.float64)
        found = bootstrap(table[:, first], table[:, second], rng.generator(seed, f"bootstrap {question}"))
        parts = {part: values.reshape(len(scores), -1).tolist() for part, values in found._asdict().items()}
        answers[question] = {
            name: {part: values[at] for part, values in parts.items()} for at, name in enumerate(scores)
        }
        rules[question] = best_rules(scores, first, second, seed, question, correct=correct)
    return {
        "counts": {kind: len(rows) for kind, rows in kinds.items()},
        "auroc": answers,
        "advantage": rules,
        "pairs": None if answers[COMBINED] is None else _pairs(scores, kinds, epochs, seed),
    }


def _pairs(
    scores: Mapping[str, Float[np.ndarray, "t n"]],
    kinds: Mapping[str, np.ndarray],
    epochs: Sequence[int],
    seed: int,
) -> list[dict[str, Any]]:
    """`pairs.Pairs` at each epoch."""
    first, second = (kinds[kind] for kind in QUESTIONS[COMBINED])
    rows = np.concatenate([first, second])
    found = []
    for at, epoch in enumerate(epochs):
        columns = np.stack([values[at, rows] for values in scores.values()], axis=1).astype(np.float64)
        draws = rng.generator(seed, "folds", epoch)
        found.append(
            cross_validate(columns, np.arange(len(rows)) < len(first), list(scores), draws)._asdict()
        )
    return found
