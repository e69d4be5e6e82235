"""Deterministic 2-means: start from the halves along each main direction and keep the best result.

Nothing is drawn at random, so the order of the samples decides nothing.
"""

import numpy as np
from jaxtyping import Bool, Float

MOST_STARTS = 10


def two_means(points: Float[np.ndarray, "n d"]) -> Bool[np.ndarray, " n"]:
    """Who is in the smaller of two clusters, by Lloyd's algorithm; of equal ones, in that without the farthest point.

    Begun from the two sides of the mean, and of the outermost tenth, along each of the up to 10 main directions;
    of the ends the one with the least squared distances counts.

    Edge case                        Result
    fewer than 2 distinct points     nobody
    two distinct points              the rarer one
    """
    centred = points - points.mean(axis=0, keepdims=True)
    if len(points) < 2 or not centred.any():
        return np.zeros(len(points), bool)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    ends = []
    for direction in vectors.T[::-1][:MOST_STARTS]:
        along = centred @ direction
        for cut in (0.0, *np.quantile(along, (0.1, 0.9))):
            side = _lloyd(centred, along > cut)
            if side is not None:
                ends.append((_scatter(centred, side), side))
    if not ends:
        return np.zeros(len(points), bool)
    side = min(ends, key=lambda end: end[0])[1]
    if 2 * side.sum() == len(side):
        return side ^ bool(side[np.argmax(np.square(centred).sum(axis=1))])
    return side if 2 * side.sum() < len(side) else ~side


def _lloyd(points: Float[np.ndarray, "n d"], side: Bool[np.ndarray, " n"]) -> Bool[np.ndarray, " n"] | None:
    """Where Lloyd's algorithm ends from a split; None where a side runs empty."""
    for _ in range(300):
        if side.all() or not side.any():
            return None
        one, other = points[side].mean(axis=0), points[~side].mean(axis=0)
        # nearer to `one`: |x - one|^2 < |x - other|^2
        new = 2 * points @ (one - other) > one @ one - other @ other
        if np.array_equal(new, side):
            break
        side = new
    return side


def _scatter(points: Float[np.ndarray, "n d"], side: Bool[np.ndarray, " n"]) -> float:
    """Sum of squared distances to the own side's mean."""
    return float(sum(np.square(own - own.mean(axis=0)).sum() for own in (points[side], points[~side])))
