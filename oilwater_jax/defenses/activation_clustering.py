"""Activation clustering: split each class into two clusters of features and eliminate the smaller one if it is small.

It is GEORGE with its sign turned: where a minority is the smaller cluster, it is the minority that goes.

References: Chen et al. 2018, "Detecting Backdoor Attacks on Deep Neural Networks by Activation Clustering"; the 35% are
those of vtu81/backdoor-toolbox, "always" is what adversarial-robustness-toolbox does by cluster_analysis="smaller".
"""

import warnings

import numpy as np
from jaxtyping import Bool, Float

from oilwater_jax.defenses import flagging
from oilwater_jax.defenses.two_means import two_means
from oilwater_jax.entries import Config, Method
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Evidence, Found

REDUCERS = ("pca", "ica")


def reduce(points: Float[np.ndarray, "n d"], reducer: str, components: int) -> Float[np.ndarray, "n p"]:
    """The points in at most `components` dimensions: leading principal components, or independent ones.

    Edge case                                   Result
    fewer dimensions or samples than that       as many as there are
    ica of a spread of less than 2 dimensions   principal components (there is nothing to separate)
    """
    centred = points - points.mean(axis=0, keepdims=True)
    p = min(components, *points.shape)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    main = centred @ vectors[:, ::-1][:, :p]
    rank = int(np.sum(values > 1e-10 * max(values[-1], 1e-300)))
    if reducer == "pca" or min(p, rank) < 2:
        return main
    from sklearn.decomposition import FastICA  # here: half a second that other methods need not pay
    from sklearn.exceptions import ConvergenceWarning

    p = min(p, rank)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # cut short, it is a rotation like any other
        ica = FastICA(p, whiten="unit-variance", w_init=np.eye(p), max_iter=1000, tol=1e-3)
        return np.asarray(ica.fit_transform(main[:, :p]), np.float64)


def smaller(
    points: Float[np.ndarray, "n d"], *, reducer: str, components: int, size: float
) -> tuple[Bool[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Of one class: who is in the smaller cluster if its share is below `size`, and everyone's suspicion.

    The suspicion is the log ratio of the squared distances to the larger and the smaller cluster's mean: above 0 in
    the smaller one.

    Edge case                            Result
    all points equal, or one point       nobody, suspicion 0
    the smaller cluster's share >= size  nobody
    """
    low = reduce(points, reducer, components)
    small = two_means(low)
    if not small.any():
        return small, np.zeros(len(points))
    near, far = (np.square(low - low[side].mean(axis=0)).sum(axis=1) for side in (small, ~small))
    tiny = 1e-12 * max(float(np.square(low).sum(axis=1).mean()), 1e-300)
    suspicion = np.log(far + tiny) - np.log(near + tiny)
    return small & (small.mean() < size), suspicion


def find(config: Config, evidence: Evidence) -> Found:
    """Flagged: of each class the smaller cluster, if it is smaller than `size` of the class.

    Edge case                      Result
    size = 0                       nobody
    size > 0.5                     always the smaller one, as adversarial-robustness-toolbox does
    two clusters of equal size     as `size` says; ties go to the one without the farthest sample
    no class has so small a part   nobody, and a warning
    features that are not finite   UserError
    """
    c = config.activation_clustering
    points = evidence.scores[c.layer].astype(np.float64)
    flagging.check_finite("activation_clustering", points)
    flagged, suspicion = np.zeros(len(points), bool), np.zeros(len(points))
    shares = {}
    for one in np.unique(evidence.label):
        own = evidence.label == one
        flagged[own], suspicion[own] = smaller(
            points[own], reducer=c.reducer, components=c.components, size=c.size
        )
        shares[str(one)] = float(np.mean(suspicion[own] > 0))
    cluster = (2 * evidence.label + (suspicion > 0)).astype(
        np.int32
    )  # 2 y the larger of class y, 2 y + 1 the smaller
    arrays = {"cluster": cluster}
    return flagging.found(evidence, flagged, suspicion, arrays=arrays, figures={"smaller_share": shares})


METHOD = Method(
    name="activation_clustering",
    label="Activation clustering",
    help="split each class into two clusters of features and eliminate the smaller one if it is small",
    aim="eliminate",
    fields={
        "components": Field(10, "dimensions after reduction of the features of a class", 1, 10_000),
        "reducer": Field(
            "pca", "dimension reduction by principal or independent components", choices=REDUCERS
        ),
        "size": Field(0.35, "eliminate the smaller cluster if it is below this share of its class", 0, 1),
        "layer": flagging.layer_field(),
    },
    dials={"size": (0.15, 0.35, 0.5)},
    scores=lambda config: (config.activation_clustering.layer,),
    find=find,
    treat=flagging.eliminate,
)
