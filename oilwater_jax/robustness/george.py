"""GEORGE: cluster an ERM model's features within each class, then group DRO over the clusters.

References: Sohoni et al. 2020, "No Subclass Left Behind: Fine-Grained Robustness in Coarse-Grained
Classification Problems".
"""

import numpy as np
from jaxtyping import Bool, Float, Int, Int32

from oilwater_jax import objectives, selectors
from oilwater_jax.entries import Config, Method
from oilwater_jax.errors import UserError
from oilwater_jax.robustness.clustering import Settings, capacity, cluster
from oilwater_jax.settings.common import CLUSTER_RULES
from oilwater_jax.settings.field import Field
from oilwater_jax.types import MODES, Case, Evidence, Found, Objective, Treatment


def find(config: Config, evidence: Evidence) -> Found:
    """Clusters of both splits. Flagged are the clusters that uniform cluster sampling draws above once per epoch.

    A class that comes out as one cluster is a warning.
    """
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
        seed=evidence.seed,
    )
    arrays = {
        "flagged": selectors.balanced(clusters.train) > 1,
        "cluster": clusters.train,
        "val_cluster": clusters.val,
        "loss": evidence.scores["loss"],
        "features": evidence.scores["features"],
    }
    whole = [one["class"] for one in clusters.record if len(one["sizes"]) < 2]
    said = tuple(f"class {y} could not be cut into clusters: its samples are drawn alike" for y in whole)
    return Found(arrays, {"clusters": clusters.record}, said)


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


def treat(config: Config, case: Case) -> Treatment:
    """Group DRO over the clusters, each drawn equally often; the epoch is selected by the worst of validation's."""
    train = case.train
    moved_to, weights = moved(case.mode, case.found["cluster"], train.label, train.is_poison)
    present, group = np.unique(moved_to, return_inverse=True)
    return Treatment(
        selector=selectors.fixed(weights),
        objective=objectives.group_dro(
            np.bincount(group),
            eta=config.group_dro.eta,
            adjustment=config.george.adjustment,
            capacity=capacity(len(present)),
        ),
        group=group.astype(np.int32),
        val_group=case.found["val_cluster"],
        rule=config.george.select,
    )


def largest(config: Config, n_classes: int) -> Objective:
    """For a plan: group DRO over as many clusters as may be found."""
    clusters = n_classes * config.george.k_max
    return objectives.group_dro(
        np.ones(clusters, np.int64),
        eta=config.group_dro.eta,
        adjustment=config.george.adjustment,
        capacity=capacity(clusters),
    )


def check(config: Config) -> None:
    """Raises UserError if k_min exceeds k_max."""
    if config.george.k_min > config.george.k_max:
        raise UserError(
            f"george.k_min = {config.george.k_min} is more than george.k_max = {config.george.k_max}; "
            "give the smaller first"
        )


METHOD = Method(
    name="george",
    label="GEORGE",
    help="cluster features within each class, then group DRO over the clusters",
    aim="amplify",
    sole=True,
    reads=("group_dro",),
    fields={
        "reducer": Field(
            "hardness", "representation of the features to cluster", choices=("hardness", "pca", "umap")
        ),
        "components": Field(2, "number of principal components (reducer=pca)", 1, 10_000),
        "clusterer": Field("gmm", "clustering algorithm", choices=("gmm", "kmeans")),
        "k_min": Field(2, "smallest number of clusters per class", 2, 1000),
        "k_max": Field(10, "largest number of clusters per class", 2, 1000),
        "overcluster": Field(False, "also search for small clusters within clusters (overclustering)"),
        "adjustment": Field(2.0, "size adjustment C of group DRO over the clusters", 0, 1000),
        "select": Field(
            "val_worst_cluster", "rule that selects the epoch that GEORGE reports", choices=CLUSTER_RULES
        ),
    },
    dials={"adjustment": (0.0, 2.0, 4.0)},
    check=check,
    scores=("loss", "correct", "features"),
    find=find,
    treat=treat,
    largest=largest,
)
