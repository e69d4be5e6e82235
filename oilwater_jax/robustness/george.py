"""GEORGE: cluster an ERM model's features within each class, then group DRO over the clusters.

References: Sohoni et al. 2020, "No Subclass Left Behind: Fine-Grained Robustness in Coarse-Grained
Classification Problems".
"""

import numpy as np
from jaxtyping import Bool, Float, Int, Int32

from oilwater_jax import objectives, selectors
from oilwater_jax.config import Config
from oilwater_jax.fields import MODES
from oilwater_jax.robustness.clustering import Settings, capacity, cluster
from oilwater_jax.robustness.evidence import Evidence, Found
from oilwater_jax.types import Examples, Treatment

SCORES = ("loss", "correct", "features")


def find(config: Config, seed: int, evidence: Evidence) -> Found:
    """Clusters of both splits. Flagged are the clusters that uniform cluster sampling draws above once per epoch."""
    g = config.george
    clusters = cluster(
        evidence.scores["features"],
        evidence.label,
        evidence.scores["loss"],
        evidence.val_scores["features"],
        evidence.val_label,
        evidence.kernel,
        n_classes=evidence.kernel.shape[1],
        settings=Settings(g.reducer, g.components, g.clusterer, g.k_min, g.k_max, g.overcluster),
        seed=seed,
    )
    arrays = {
        "flagged": selectors.balanced(clusters.train) > 1,
        "cluster": clusters.train,
        "val_cluster": clusters.val,
        "loss": evidence.scores["loss"],
        "features": evidence.scores["features"],
    }
    return Found(arrays, {"clusters": clusters.record})


def moved(
    mode: str,
    cluster: Int32[np.ndarray, " n"],
    label: Int[np.ndarray, " n"],
    is_poison: Bool[np.ndarray, " n"],
) -> tuple[Int32[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Clusters and draws per epoch in an amplification mode (the paper's Table 2, carried over to clusters).

    Mode       Result
    standard   as found
    ideal      poisons of amplified clusters move to their class's largest cluster and are drawn at most once
    worst      the other poisons move to the amplified cluster of their class that holds most of them; of equal
               ones to the smallest, and to the smallest cluster if none of their class is amplified

    Clusters that come out empty are gone, and the draws are made uniform anew. A class is the label given.
    Raises ValueError for another mode.
    """
    if mode not in MODES:
        raise ValueError(f"amplification mode {mode!r}")
    weights = selectors.balanced(cluster)
    cluster = cluster.copy()
    amplified = weights > 1
    sizes = np.bincount(cluster)
    poisons = np.bincount(cluster[is_poison], minlength=len(sizes))
    for y in np.unique(label) if mode != "standard" else ():
        own = np.unique(cluster[label == y])
        if mode == "ideal":
            cluster[is_poison & amplified & (label == y)] = own[np.argmax(sizes[own])]
        else:
            raised = np.unique(cluster[(label == y) & amplified])
            among = raised if len(raised) else own
            # Most poisons first, then the smallest.
            order = np.lexsort((sizes[among], -poisons[among] if len(raised) else 0 * among))
            cluster[is_poison & ~amplified & (label == y)] = among[order[0]]
    weights = selectors.balanced(cluster)
    if mode == "ideal":
        weights = np.where(is_poison, np.minimum(weights, 1.0), weights)
    return cluster, weights


def treatment(config: Config, mode: str, found: dict[str, np.ndarray], train: Examples) -> Treatment:
    """Group DRO over the clusters, each drawn equally often; the epoch is selected by the worst of validation's."""
    cluster, weights = moved(mode, found["cluster"], train.label, train.is_poison)
    present, group = np.unique(cluster, return_inverse=True)
    counts = np.bincount(group)
    objective = objectives.group_dro(
        counts,
        eta=config.group_dro.eta,
        adjustment=config.george.adjustment,
        capacity=capacity(len(present)),
    )
    return Treatment(
        selector=selectors.fixed(weights),
        objective=objective,
        group=group.astype(np.int32),
        val_group=found["val_cluster"],
        rule=config.george.select,
    )
