"""GEORGE's clusters: per class reduce and cluster the features; the clusters stand in for unknown groups.

Stage: between the identification model and Group DRO. Host-side and pure: NumPy in, NumPy out; scikit-learn
fits, and is imported where it is used, because it takes a second that other methods need not pay.

References: Sohoni et al. 2020, "No Subclass Left Behind: Fine-Grained Robustness in Coarse-Grained
Classification Problems", section 4, and its code, HazyResearch/hidden-stratification. "(ours)" marks choices
that differ from that code or that it leaves open.
"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int32

from oilwater_jax import rng
from oilwater_jax.errors import UserError
from oilwater_jax.robustness import reducers, silhouette

CLUSTERERS = ("gmm", "kmeans")
N_INIT = 3  # fits from different starts, of which the best counts; as published
SPLIT = 5  # over-clustering: sub-clusters per cluster; as published
LEAST_COUNT, LEAST_SHARE = 25, 0.005  # over-clustering: size of a kept sub-cluster, absolute and of its class

Predict = Callable[[Float[np.ndarray, "_ p"]], Int[np.ndarray, " _"]]


class Settings(NamedTuple):
    """How the classes are clustered; the defaults are the paper's for Waterbirds and CelebA."""

    reducer: str = "hardness"  # one of reducers.REDUCERS
    components: int = 2  # of pca
    clusterer: str = "gmm"  # one of CLUSTERERS
    k_min: int = 2
    k_max: int = 10
    overcluster: bool = False


class Search(NamedTuple):
    """The clustering with the best score: its k clusters, and how it assigns other points."""

    k: int  # clusters that have points; ids are 0 .. k-1
    labels: Int[np.ndarray, " n"]
    predict: Predict
    scores: dict[int, float]  # by number of clusters asked for


class Clusters(NamedTuple):
    """Cluster ids over all classes, consecutive, class 0's first; and a record for the run folder (JSON)."""

    train: Int32[np.ndarray, " n"]
    val: Int32[np.ndarray, " m"]
    record: list[dict[str, Any]]


def capacity(n_clusters: int) -> int:
    """The number rounded up to a multiple of 16, so that cluster counts share Group DRO's compiled step.

    Raises ValueError for a number below 1.
    """
    if n_clusters < 1:
        raise ValueError(f"capacity: needs at least one cluster, not {n_clusters}")
    return -(-n_clusters // 16) * 16


def search(points: Float[np.ndarray, "n p"], *, clusterer: str, k_min: int, k_max: int, seed: int) -> Search:
    """Cluster into k = k_min .. k_max and take the best `silhouette.score`; of equal scores the larger k.

    Edge case                                 Result
    k above the distinct points, or n - 1     not tried: its clusters would be empty, or the score undefined
    a cluster that comes out empty (gmm)      dropped, ids made consecutive; `predict` never yields it
    no k that leaves 2 clusters or more       one cluster: labels all 0, no scores (ours)
    more than 10,000 points, p > 1            scores from a random 10,000, the same for every k (ours)
    k_min < 2, k_min > k_max, no points       ValueError naming the value
    unknown clusterer                         ValueError naming it

    References: Sohoni et al. 2020, section 4; the score, the ties and the 3 starts are its code's.
    """
    if k_min < 2 or k_min > k_max:
        raise ValueError(f"search: k from {k_min} to {k_max}; k_min must be at least 2 and at most k_max")
    if clusterer not in CLUSTERERS:
        raise ValueError(f"clusterer {clusterer!r}; known: {', '.join(CLUSTERERS)}")
    if not len(points):
        raise ValueError("search: 0 points")
    rows = silhouette.scored_rows(points, seed)
    found: dict[int, Search] = {}
    for k in range(k_min, min(k_max, _distinct(points), len(points) - 1) + 1):
        predict, labels = _fit(points, clusterer, k, seed)
        if labels.max() > 0:
            found[k] = Search(
                int(labels.max()) + 1, labels, predict, {k: silhouette.score(points[rows], labels[rows])}
            )
    if not found:
        return Search(1, np.zeros(len(points), np.intp), lambda other: np.zeros(len(other), np.intp), {})
    scores = {k: result.scores[k] for k, result in found.items()}
    return found[max(scores, key=lambda k: (scores[k], k))]._replace(scores=scores)


def overcluster(
    points: Float[np.ndarray, "n p"],
    labels: Int[np.ndarray, " n"],
    losses: Float[np.ndarray, " n"],
    val_points: Float[np.ndarray, "m p"],
    val_labels: Int[np.ndarray, " m"],
    *,
    seed: int,
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " m"]]:
    """Split off the parts of one class's clusters that are tight and hard: new labels of train and validation.

    `labels` are consecutive ids of `search`, `val_labels` its predictions. Each cluster is split in 5 by
    k-means fitted to its training points; validation points of the cluster follow the same k-means. A
    sub-cluster is kept iff all of

    1. new > max(old, 0), where old and new are the mean over the sub-cluster's training points of their
       silhouette among all the class's points: old with the clusters of `labels`, new with ALL sub-clusters
       of all clusters, before any is merged back (as in the published code);
    2. its mean training loss is at least its parent's;
    3. it has at least max(0.5% of n, 25) training points;
    4. it has at least 25 validation points.

    The others of a parent merge back into one remainder. New ids are consecutive, ordered by parent: the
    remainder first, then what was kept.

    Edge case                              Result
    nothing kept                           the labels as they were
    all 5 kept                             5 clusters and no remainder
    fewer than 5 distinct points           split into as many as there are
    no validation points                   nothing kept (rule 4)
    one cluster                            old is 0 (see `silhouette.of`), so it too can be split (ours)
    more than 10,000 points, p > 1         silhouettes from a random 10,000 (ours)

    Splitting by k-means, whatever `labels` come from, is ours: the published code splits with the clusterer
    of the search. The thresholds are the code's. References: Sohoni et al. 2020, section 4.
    """
    sub, val_sub = np.zeros(len(points), np.intp), np.zeros(len(val_points), np.intp)
    parent: list[int] = []
    for c in range(int(labels.max()) + 1):
        own, val_own = labels == c, val_labels == c
        predict, parts = _fit(points[own], "kmeans", min(SPLIT, _distinct(points[own])), seed)
        sub[own] = len(parent) + parts
        if val_own.any():
            val_sub[val_own] = len(parent) + predict(val_points[val_own])
        parent += [c] * (int(parts.max()) + 1)
    n_sub = len(parent)
    rows = silhouette.scored_rows(points, seed)
    old = silhouette.cluster_means(silhouette.of(points[rows], labels[rows]), sub[rows], n_sub)
    new = silhouette.cluster_means(silhouette.of(points[rows], sub[rows]), sub[rows], n_sub)
    parent_loss = silhouette.cluster_means(losses, labels, int(labels.max()) + 1)[parent]
    keep = (
        (new > np.maximum(old, 0.0))
        & (silhouette.cluster_means(losses, sub, n_sub) >= parent_loss)
        & (np.bincount(sub, minlength=n_sub) >= max(LEAST_SHARE * len(points), LEAST_COUNT))
        & (np.bincount(val_sub, minlength=n_sub) >= LEAST_COUNT)
    )
    # One number per cluster to be, in the order of the new ids: parent, then 0 for its remainder.
    code = np.array(parent) * (n_sub + 1) + np.where(keep, 1 + np.arange(n_sub), 0)
    _, final = np.unique(code, return_inverse=True)
    return final[sub], final[val_sub]


def cluster(
    train_features: Float[np.ndarray, "n d"],
    train_labels: Int[np.ndarray, " n"],
    train_losses: Float[np.ndarray, " n"],
    val_features: Float[np.ndarray, "m d"],
    val_labels: Int[np.ndarray, " m"],
    kernel: Float[np.ndarray, "d k"],
    *,
    n_classes: int,
    settings: Settings,
    seed: int,
) -> Clusters:
    """Cluster every class: `reducers.reduce`, `search` and, if set, `overcluster`.

    A sample's class is the label that training sees (a poison's is the attacker's). Fitted on training
    samples; validation samples are assigned. Every cluster has training samples, not always validation ones.
    The record has per class: class, k (found by the search), scores (by k), and sizes and val_sizes (of the
    final clusters, in the order of their ids). A class's clusters do not depend on the other classes.

    Edge case                                Result
    a class without training samples         UserError naming it
    features or losses that are not finite   UserError
    a class without validation samples       its clusters have none
    a label not in 0 .. n_classes - 1        ValueError naming it
    """
    for labels in (train_labels, val_labels):
        outside = labels[(labels < 0) | (labels >= n_classes)]
        if len(outside):
            raise ValueError(f"cluster: label {outside[0]} is not in 0 .. {n_classes - 1}")
    if not all(np.isfinite(x).all() for x in (train_features, train_losses, val_features, kernel)):
        raise UserError(
            "GEORGE: the identification model's features or losses are not finite; lower identify.learning_rate"
        )
    train, val = np.zeros(len(train_labels), np.int32), np.zeros(len(val_labels), np.int32)
    record: list[dict[str, Any]] = []
    first = 0
    for y in range(n_classes):
        own, val_own = train_labels == y, val_labels == y
        if not own.any():
            raise UserError(
                f"GEORGE: class {y} has no training samples to cluster; remove the class or add some"
            )
        class_seed = int(rng.generator(seed, "cluster", y).integers(2**31))
        points, val_points = reducers.reduce(
            train_features[own],
            val_features[val_own],
            kernel,
            reducer=settings.reducer,
            components=settings.components,
            label=y,
            seed=class_seed,
        )
        result = search(
            points,
            clusterer=settings.clusterer,
            k_min=settings.k_min,
            k_max=settings.k_max,
            seed=class_seed,
        )
        ids = result.labels
        val_ids = result.predict(val_points) if val_own.any() else np.zeros(0, np.intp)
        if settings.overcluster:
            ids, val_ids = overcluster(points, ids, train_losses[own], val_points, val_ids, seed=class_seed)
        train[own], val[val_own] = first + ids, first + val_ids
        n_clusters = int(ids.max()) + 1
        record.append(
            {
                "class": y,
                "k": result.k,
                "scores": {str(k): value for k, value in result.scores.items()},  # JSON's keys are strings
                "sizes": np.bincount(ids, minlength=n_clusters).tolist(),
                "val_sizes": np.bincount(val_ids, minlength=n_clusters).tolist(),
            }
        )
        first += n_clusters
    return Clusters(train, val, record)


def _fit(
    points: Float[np.ndarray, "n p"], clusterer: str, k: int, seed: int
) -> tuple[Predict, Int[np.ndarray, " n"]]:
    """Fit k clusters and drop the empty ones: how it assigns points, and the points' consecutive labels."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    kind, arrays = {
        "gmm": (
            GaussianMixture,
            ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"),
        ),
        "kmeans": (KMeans, ("cluster_centers_",)),
    }[clusterer]
    model = kind(k, n_init=N_INIT, random_state=seed)
    with warnings.catch_warnings():
        # A fit cut short by its iteration limit is scored like any other.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(points)
    present, labels = np.unique(model.predict(points), return_inverse=True)
    if len(present) < k:
        # Taken out of the model itself, so that it cannot assign other points to an empty cluster. Dropping
        # a component that no point prefers changes no point's choice among the rest.
        for name in arrays:
            setattr(model, name, getattr(model, name)[present])
    return model.predict, labels


def _distinct(points: Float[np.ndarray, "n p"]) -> int:
    return len(np.unique(points, axis=0))
