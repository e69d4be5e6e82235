"""Silhouettes: how much nearer each point is to its own cluster than to the next one.

Stage: within `clustering`, to choose the number of clusters and to judge sub-clusters.

References: Rousseeuw 1987, "Silhouettes: a graphical aid to the interpretation and validation of cluster
analysis".
"""

import numpy as np
from jaxtyping import Float, Int

from oilwater_jax import rng

MOST_POINTS = 10_000  # whose silhouettes are computed in 2 or more dimensions: the cost is quadratic


def of(points: Float[np.ndarray, "n p"], labels: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Silhouette of each point, (b - a) / max(a, b), in -1 .. 1.

    a: mean distance to the other points of its cluster; b: least mean distance to another cluster's points.

    Edge case                           Result
    alone in its cluster                0 (Rousseeuw's convention)
    one cluster, or n clusters          all 0 (ours; scikit-learn refuses)
    a = b = 0 (equal points)            0

    Exact in O(k n log n) for one dimension, O(n^2) else.
    """
    _, labels = np.unique(labels, return_inverse=True)
    sizes = np.bincount(labels)
    if not 1 < len(sizes) < len(points):
        return np.zeros(len(points))
    # A near origin keeps digits (scikit-learn expands the square of the difference, ours subtracts sums); the
    # median, not the mean, because equal points then come out as exact zeros.
    points = points - np.median(points, axis=0, keepdims=True)
    if points.shape[1] > 1:
        from sklearn.metrics import silhouette_samples

        return np.asarray(silhouette_samples(points, labels))
    x = points[:, 0]
    sums = np.stack([_distance_sums(x, x[labels == c]) for c in range(len(sizes))], axis=1)
    rows = np.arange(len(x))
    inside = sums[rows, labels] / np.maximum(sizes[labels] - 1, 1)
    means = sums / sizes[None, :]
    means[rows, labels] = np.inf
    outside = means.min(axis=1)
    widest = np.maximum(inside, outside)
    defined = (sizes[labels] > 1) & (widest > 0)
    return np.where(defined, (outside - inside) / np.where(defined, widest, 1.0), 0.0)


def _distance_sums(x: Float[np.ndarray, " n"], members: Float[np.ndarray, " m"]) -> Float[np.ndarray, " n"]:
    """Sum of |x - y| over the members y, for each x, by prefix sums of the sorted members."""
    members = np.sort(members)
    before = np.concatenate([[0.0], np.cumsum(members)])
    below = np.searchsorted(members, x)
    total = x * below - before[below] + (before[-1] - before[below]) - x * (len(members) - below)
    return np.maximum(total, 0.0)


def score(points: Float[np.ndarray, "n p"], labels: Int[np.ndarray, " n"]) -> float:
    """Mean over the clusters of the cluster's mean silhouette: small clusters count as much as large ones."""
    _, labels = np.unique(labels, return_inverse=True)
    return float(np.mean(cluster_means(of(points, labels), labels, int(labels.max()) + 1)))


def cluster_means(
    values: Float[np.ndarray, " n"], labels: Int[np.ndarray, " n"], k: int
) -> Float[np.ndarray, " {k}"]:
    """Mean value of each of k clusters; NaN for one without points, which no comparison then keeps."""
    sizes = np.bincount(labels, minlength=k)
    sums = np.bincount(labels, weights=values, minlength=k)
    return np.where(sizes > 0, sums / np.maximum(sizes, 1), np.nan)


def scored_rows(points: Float[np.ndarray, "n p"], seed: int) -> Int[np.ndarray, " s"]:
    """The points whose silhouettes are computed: all of them unless that is too dear."""
    n, p = points.shape
    if p == 1 or n <= MOST_POINTS:
        return np.arange(n)
    return np.sort(rng.generator(seed, "cluster/scored").choice(n, MOST_POINTS, replace=False))
