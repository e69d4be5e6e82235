"""Estimates with confidence intervals: over seeds, counts, paired seeds, a finite test set. Pure functions.

Every interval has level 95% and is clipped to the range of the figure; a clipped Student interval still covers.
"""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

ALPHA = 0.05
SHARE, SIGNED, ANY = (0.0, 1.0), (-1.0, 1.0), (-math.inf, math.inf)
"""What a figure can be: a share; a difference of two shares; any number."""


class Estimate(NamedTuple):
    """A figure over n seeds (or trials): its mean and the ends of its 95% interval (None for one seed)."""

    mean: float
    low: float | None
    high: float | None
    n: int

    @property
    def half(self) -> float | None:
        """The larger reach of the interval."""
        return (
            None
            if self.low is None or self.high is None
            else max(self.mean - self.low, self.high - self.mean)
        )

    def __str__(self) -> str:
        """In per cent: `87.3 [86.1, 88.5]`."""
        return self.text(100, 1)

    def text(self, times: float = 1, digits: int = 2) -> str:
        """As many times the figure: `0.87 [0.86, 0.89]`; `-` where it is undefined (NaN)."""
        if math.isnan(self.mean):
            return "-"
        parts = [
            f"{times * value:.{digits}f}" for value in (self.mean, self.low, self.high) if value is not None
        ]
        parts = [part.removeprefix("-") if not float(part) else part for part in parts]  # no -0.0
        return parts[0] if len(parts) == 1 else f"{parts[0]} [{parts[1]}, {parts[2]}]"


def over_seeds(
    values: Sequence[float | None], within: tuple[float, float] = ANY, *, alpha: float = ALPHA
) -> Estimate | None:
    """Mean and Student's interval of one value per seed, clipped to the range of the figure.

    None where it is undefined for any seed; no interval for one.
    """
    known = [float(value) for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    n, mean = len(known), statistics.fmean(known)
    if n == 1:
        return Estimate(mean, None, None, 1)
    from scipy.special import stdtrit  # Student's quantile; slow import

    half = float(stdtrit(n - 1, 1 - alpha / 2)) * statistics.stdev(known) / math.sqrt(n)
    return Estimate(mean, max(mean - half, within[0]), min(mean + half, within[1]), n)


def paired(
    values: Sequence[float | None], others: Sequence[float | None], *, alpha: float = ALPHA
) -> Estimate | None:
    """The same of the differences seed by seed, of shares. Raises ValueError if the seeds are not as many."""
    if len(values) != len(others):
        raise ValueError(f"paired: {len(values)} values and {len(others)}")
    known = [None if a is None or b is None else a - b for a, b in zip(values, others, strict=True)]
    return over_seeds(known, SIGNED, alpha=alpha)


def clopper_pearson(k: int, n: int, *, alpha: float = ALPHA) -> tuple[float, float]:
    """Exact interval of a proportion, k of n, with alpha / 2 on each side. Raises ValueError unless 0 <= k <= n."""
    from scipy.special import betaincinv  # slow import

    if not 0 <= k <= n or n < 1:
        raise ValueError(f"clopper_pearson: {k} of {n} is not a proportion")
    low = 0.0 if k == 0 else float(betaincinv(k, n - k + 1, alpha / 2))
    return low, 1.0 if k == n else float(betaincinv(k + 1, n - k, 1 - alpha / 2))


def of_counts(k: int, n: int) -> Estimate:
    """A share of independent trials, with the exact interval. Raises ValueError unless 0 <= k <= n, n > 0."""
    return Estimate(k / n, *clopper_pearson(k, n), n)


def of_trials(shares: Sequence[float], trials: Sequence[int]) -> Estimate:
    """Several shares of independent trials, pooled into one count."""
    return of_counts(round(sum(k * n for k, n in zip(shares, trials, strict=True))), sum(trials))


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> float:
    """Exact two-sided p of McNemar's test: two yes-no outcomes of the same trials are yes equally often.

    Of the trials in which they differ, how many are `first`'s is a fair coin's; 1 where they never differ. Raises
    ValueError where the trials are not as many.

    References: McNemar 1947, "Note on the sampling error of the difference between correlated proportions".
    """
    if len(first) != len(second):
        raise ValueError(f"mcnemar: {len(first)} trials and {len(second)}")
    more = sum(a and not b for a, b in zip(first, second, strict=True))
    less = sum(b and not a for a, b in zip(first, second, strict=True))
    n, k = more + less, min(more, less)
    return min(1.0, 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n)


def clustered_error(values: Float[np.ndarray, " n"], cluster: Int[np.ndarray, " n"]) -> float:
    """Clustered standard error of a mean (e.g. test images made from the same digit).

    The root of sum over clusters of (sum of deviations)^2, times sqrt(c / (c - 1)) / n for c clusters; with every
    sample its own cluster it is the usual one. NaN for fewer than two clusters.

    References: Cameron and Miller 2015, "A practitioner's guide to cluster-robust inference", section II.
    """
    _, which = np.unique(cluster, return_inverse=True)
    count = int(which.max()) + 1 if len(which) else 0
    if count < 2:
        return math.nan
    sums = np.bincount(which, weights=values - values.mean())
    return float(np.sqrt(np.square(sums).sum() * count / (count - 1)) / len(values))
