"""AUROC of a score between two sets of samples, with a bootstrap interval over the samples."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

RESAMPLES = 1000
BLOCK = 100  # resamples that exist at once
LEAST = 2  # samples that a set must have: one sample cannot be resampled
LEVELS = (0.025, 0.975)  # of the 95% interval


class Auroc(NamedTuple):
    """Of s scores: AUROC [s] and the ends of its 95% interval [s]."""

    value: Float[np.ndarray, " s"]
    low: Float[np.ndarray, " s"]
    high: Float[np.ndarray, " s"]


class _Ordered(NamedTuple):
    """One score of both sets: the second in ascending order, and each of the first's place in it."""

    order: np.ndarray  # [m] of the second set
    below: np.ndarray  # [n] how many of the second set are less
    upto: np.ndarray  # [n] how many are less or equal


def _ordered(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " m"]) -> _Ordered:
    order = np.argsort(second, kind="stable")
    ascending = second[order]
    return _Ordered(
        order, np.searchsorted(ascending, first, "left"), np.searchsorted(ascending, first, "right")
    )


def auroc(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " m"]) -> float:
    """Share of the n m pairs in which the sample of the first set has the higher score; ties count half.

    Above 0.5, the first set scores higher. Raises ValueError for an empty set.
    """
    if not len(first) or not len(second):
        raise ValueError(f"auroc: {len(first)} and {len(second)} samples; each set needs at least one")
    found = _ordered(first, second)
    return float(np.sum(found.below + found.upto) / (2 * len(first) * len(second)))


def _counts(rng: np.random.Generator, size: int, resamples: int) -> Float[np.ndarray, "r s"]:
    """How often each of `size` samples is drawn in `resamples` draws of `size` with replacement."""
    drawn = rng.integers(size, size=(resamples, size)) + size * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * size).reshape(resamples, size).astype(np.float64)


def bootstrap(
    first: Float[np.ndarray, "s n"],
    second: Float[np.ndarray, "s m"],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Auroc:
    """AUROC of s scores between the same two sets, with percentile intervals of a stratified bootstrap.

    Each set is resampled by itself, with replacement, to its own size; all scores see the same resamples.
    Raises ValueError for a set of fewer than LEAST samples.

    References: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13 (percentile intervals).
    """
    n, m = first.shape[1], second.shape[1]
    if min(n, m) < LEAST:
        raise ValueError(f"bootstrap: {n} and {m} samples; each set needs at least {LEAST}")
    found = [_ordered(a, b) for a, b in zip(first, second, strict=True)]
    drawn = np.empty((len(found), resamples))
    for start in range(0, resamples, BLOCK):
        rows = min(BLOCK, resamples - start)
        ours, theirs = _counts(rng, n, rows), _counts(rng, m, rows)
        # One more column before the others: what lies below the first place is nothing.
        running = np.zeros((rows, m + 1))
        for at, one in enumerate(found):
            np.cumsum(theirs[:, one.order], axis=1, out=running[:, 1:])
            less = running[:, one.below] + running[:, one.upto]
            drawn[at, start : start + rows] = np.einsum("rn,rn->r", ours, less) / (2 * n * m)
    low, high = np.quantile(drawn, LEVELS, axis=1)
    value = np.array([auroc(a, b) for a, b in zip(first, second, strict=True)])
    return Auroc(value, low, high)
