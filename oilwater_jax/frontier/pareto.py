"""Frontiers of points: worst-group accuracy (high is good) against the attack's success (low is good). Pure."""

import numpy as np
from jaxtyping import Float, Int

SLACK = 0.05  # of success beyond ERM's that counts as not amplified


def frontier(wga: Float[np.ndarray, " n"], success: Float[np.ndarray, " n"]) -> Int[np.ndarray, " k"]:
    """The points that no other is at least as good as in both and better in one, by growing success.

    Of equal points the first. Points with NaN are passed over.
    """
    kept: list[int] = []
    best = -np.inf
    known = np.flatnonzero(~(np.isnan(wga) | np.isnan(success)))
    for at in known[np.lexsort((known, -wga[known], success[known]))].tolist():
        if wga[at] > best:
            kept.append(at)
            best = wga[at]
    return np.array(kept, int)


def area(wga: Float[np.ndarray, " n"], success: Float[np.ndarray, " n"]) -> float:
    """Mean over all bounds b in 0..1 of the best WGA among the points with success at most b (0 where there is none).

    1: a point with WGA 1 and success 0 or below. What a point reaches at negative success it reaches at 0. NaN for
    no points.
    """
    on = frontier(wga, success)
    if not len(on):
        return float("nan")
    starts = np.clip(success[on], 0.0, 1.0)
    return float(np.sum(wga[on] * np.diff(np.append(starts, 1.0))))


def best_within(wga: Float[np.ndarray, " n"], success: Float[np.ndarray, " n"], bound: float) -> int | None:
    """The point of highest WGA among those with success at most `bound`; None where there is none.

    Of equal WGA the one of least success, then the first.
    """
    able = np.flatnonzero((success <= bound) & ~np.isnan(wga))
    if not len(able):
        return None
    return int(able[np.lexsort((able, success[able], -wga[able]))[0]])
