"""What the best rules on a training's scores can do between two sets, epoch by epoch, as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from oilwater_jax import rng
from oilwater_jax.study.advantage import (
    Permuted,
    advantage,
    against,
    null,
    probit_law,
    radius,
    smoothed,
    tie_ends,
)
from oilwater_jax.study.rules import cross_fitted


def best_rules(
    scores: Mapping[str, Float[np.ndarray, "t n"]],
    first: Int[np.ndarray, " a"],
    second: Int[np.ndarray, " b"],
    seed: int,
    question: str,
    *,
    correct: Bool[np.ndarray, "t n"] | None = None,
) -> dict[str, Any]:
    """Advantages of every score at each of the t epochs between two sets, given as rows; JSON.

    `scores` by name: lists over the epochs of `advantage`'s figures, of their `null` and `p`. `rule`: the cross-fitted
    rule on all scores at each epoch. `law`: the AUROC of the loss that the probit law predicts from `correct`, who is
    classified as labelled; None without it. `radius`: half widths of the intervals.
    """
    nulls: dict[bytes, np.ndarray] = {}

    def permuted(a: np.ndarray, b: np.ndarray) -> Permuted:
        ends = tie_ends(np.concatenate([a, b]))
        if (key := ends.tobytes()) not in nulls:
            # The same exchanges for every score: what differs is where it has ties.
            draws = rng.generator(seed, f"permutations {question}")
            nulls[key] = null(len(a), len(b), ends, draws)
        return against(advantage(a, b), nulls[key])

    found: dict[str, Any] = {}
    for name, values in scores.items():
        steps = []
        for row in values.astype(np.float64):
            one, beside = advantage(row[first], row[second]), permuted(row[first], row[second])
            steps.append({"value": one._asdict(), "null": beside.null._asdict(), "p": beside.p._asdict()})
        found[name] = steps
    sizes = len(first), len(second)
    return {
        "scores": found,
        "rule": _rules(list(scores.values()), first, second, seed, question),
        "law": None if correct is None else [_law(row, first, second) for row in correct],
        "radius": {"dkw": radius(*sizes), "kolmogorov": radius(*sizes, asymptotic=True)},
    }


def _rules(
    scores: Sequence[Float[np.ndarray, "t n"]],
    first: np.ndarray,
    second: np.ndarray,
    seed: int,
    question: str,
) -> list[dict[str, float]]:
    rows = np.concatenate([first, second])
    is_first = np.arange(len(rows)) < len(first)
    found = []
    for at in range(len(scores[0])):
        columns = np.stack([values[at, rows] for values in scores], axis=1).astype(np.float64)
        draws = rng.generator(seed, f"halves {question}", at)
        found.append(cross_fitted(columns, is_first, draws)._asdict())
    return found


def _law(correct: Bool[np.ndarray, " n"], first: np.ndarray, second: np.ndarray) -> float:
    fit = [smoothed(int(correct[rows].sum()), len(rows)) for rows in (first, second)]
    return probit_law(minority=fit[1], poison=fit[0]).auroc
