"""SPARE: cluster the outputs of a very early model within each class, and draw small clusters more often.

After one epoch a network's outputs separate what is learned first, the shortcut. Each class is clustered by k-means, k
by the silhouette; a sample is drawn in proportion to 1 / size^p of its cluster, p = 2 where the clusters are blurred
(silhouette below 0.9), else 1. Every class is drawn equally often in all.

References: Yang et al. 2024, "Identifying Spurious Biases Early in Training through the Lens of Simplicity Bias";
BigML-CS-UCLA/SpuCo spare_inference.py, spare_train.py.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from oilwater_jax import rng, selectors
from oilwater_jax.entries import Config, Method
from oilwater_jax.errors import UserError
from oilwater_jax.robustness import drawn, silhouette
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Case, Evidence, Examples, Found, Recipe, Treatment

N_INIT = 3  # fits of k-means from different starts, of which the best counts


def reference(config: Config, examples: Examples) -> Treatment:
    """The model after a few epochs, by the recipe `identify`."""
    recipe = Recipe(**config.identify)._replace(epochs=config.spare.epochs)
    return Treatment(selectors.everyone(len(examples)), recipe=recipe)


def cluster(
    points: Float[np.ndarray, "n p"], k_max: int, seed: int
) -> tuple[Int[np.ndarray, " n"], dict[int, float]]:
    """One class's clusters, k = 2 .. k_max by the largest mean silhouette (of equal ones the smaller k); by k, these.

    Edge case                               Result
    k above the distinct points, or n - 1   not tried
    no k that can be tried                  one cluster, no silhouette
    more than 10,000 points, p > 1          silhouettes of a random 10,000
    """
    from sklearn.cluster import KMeans

    make: Any = KMeans  # whose stubs take n_init for a string
    rows = silhouette.scored_rows(points, seed)
    best, found, scores = -np.inf, np.zeros(len(points), np.int64), {}
    for k in range(2, min(k_max, len(np.unique(points, axis=0)), len(points) - 1) + 1):
        labels = make(k, n_init=N_INIT, random_state=seed).fit_predict(points)
        scores[k] = float(silhouette.of(points[rows], labels[rows]).mean())
        if scores[k] > best:
            best, found = scores[k], labels.astype(np.int64)
    return found, scores


def draws(
    sizes: Int[np.ndarray, " n"], power: Float[np.ndarray, " n"], label: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Draws per epoch, n in all and equally many of each class: in proportion to 1 / size^power of the cluster.

    Edge case              Result
    one cluster a class    classes balanced, samples of a class equal
    power 0                the same
    """
    return drawn.classes_in_balance(sizes.astype(float) ** -power, label, len(sizes))


def find(config: Config, evidence: Evidence) -> Found:
    """Clusters and draws; flagged is who is drawn above once per epoch.

    Edge case                                Result
    a class of one cluster                   a warning naming it
    logits that are not finite               UserError
    """
    s, label, logits = config.spare, evidence.label, evidence.scores["logits"]
    if not np.isfinite(logits).all():
        raise UserError("SPARE: the reference model's logits are not finite; lower identify.learning_rate")
    clusters, sizes = np.zeros(len(label), np.int32), np.zeros(len(label), np.int64)
    power, record, first = np.zeros(len(label)), [], 0
    for y in np.unique(label):
        own = label == y
        class_seed = int(rng.generator(evidence.seed, "spare", int(y)).integers(2**31))
        ids, scores = cluster(logits[own], s.k_max, class_seed)
        best = max(scores.values(), default=None)
        _, ids, counts = np.unique(ids, return_inverse=True, return_counts=True)
        p = s.power if best is not None and best < s.threshold else 1.0
        clusters[own], sizes[own], power[own] = first + ids, counts[ids], p
        first += len(counts)
        record.append(
            {
                "class": int(y),
                "silhouettes": {str(k): score for k, score in scores.items()},
                "power": p,
                "sizes": counts.tolist(),
            }
        )
    weights = draws(sizes, power, label)
    arrays = {"flagged": weights > 1, "weight": weights, "cluster": clusters, "logits": logits}
    whole = [one["class"] for one in record if len(one["sizes"]) < 2]
    said = tuple(f"class {y} could not be cut into clusters: its samples are drawn alike" for y in whole)
    return Found(arrays, {"clusters": record}, said)


def treat(config: Config, case: Case) -> Treatment:
    """Draws in proportion to the weights, as the mode has them."""
    found = case.found
    return Treatment(selectors.fixed(drawn.in_mode(found["weight"], found["flagged"], case.train.label)))


METHOD = Method(
    name="spare",
    label="SPARE",
    help="cluster an early model's outputs within each class and draw small clusters more often",
    aim="amplify",
    reads=("identify",),
    fields={
        "epochs": Field(1, "epochs of the reference model", 1, 100_000),
        "k_max": Field(10, "largest number of clusters per class (chosen by the silhouette)", 2, 1000),
        "threshold": Field(0.9, "use the larger power below this silhouette score", -1, 1),
        "power": Field(2.0, "the larger power p: draws ~ 1 / size^p of the cluster", 0, 10),
    },
    dials={"epochs": (1, 2, 4)},
    scores=("logits", "correct"),
    reference=reference,
    find=find,
    treat=treat,
)
