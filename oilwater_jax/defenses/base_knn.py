"""Base distance: eliminate samples far from the base samples of their class.

Ours, to measure the size and composition of a base set that a defence needs to separate poisons from minorities: a base
set with samples of every group has near neighbours for each of them.
"""

import numpy as np
from jaxtyping import Float, Int

from oilwater_jax.defenses import flagging
from oilwater_jax.entries import Config, Method
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Evidence, Found


def distances(
    points: Float[np.ndarray, "n d"], base: Float[np.ndarray, "m d"], k: int, *, itself: bool = False
) -> Float[np.ndarray, " n"]:
    """Distance of each point to its k-th nearest base point; with `itself` the points are the base points.

    A base point is then not its own neighbour.

    Edge case                        Result
    fewer base points than k         the farthest of those there are
    no base points (but itself)      infinite
    """
    k = min(k, len(base) - itself)
    if k <= 0:
        return np.full(len(points), np.inf)
    from sklearn.neighbors import NearestNeighbors  # here: half a second that other methods need not pay

    near = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(base)
    return np.asarray(near.kneighbors(None if itself else points)[0][:, -1], np.float64)


def by_class(
    points: Float[np.ndarray, "n d"],
    label: Int[np.ndarray, " n"],
    base: Float[np.ndarray, "m d"],
    base_label: Int[np.ndarray, " m"],
    k: int,
    *,
    itself: bool = False,
) -> Float[np.ndarray, " n"]:
    """`distances` to the base points of each sample's class."""
    found = np.zeros(len(label))
    for one in np.unique(label):
        found[label == one] = distances(points[label == one], base[base_label == one], k, itself=itself)
    return found


def find(config: Config, evidence: Evidence) -> Found:
    """Flagged: farther off than a base sample is from the others, but for `false_alarms` of them.

    Edge case                                    Result
    a class that the base set lacks              its samples are never flagged, and a warning
    a class with one base sample                 that one counts as infinitely far from its class
    a base set too small for `false_alarms`      nobody flagged, and a warning
    the base set lacks a group                   a warning: that group will look like poison
    features that are not finite                 UserError
    """
    b, label, own = config.base_knn, evidence.label, evidence.base.label
    points, base = (one[b.layer].astype(np.float64) for one in (evidence.scores, evidence.base_scores))
    flagging.check_finite("base_knn", points, base)
    suspicion = by_class(points, label, base, own, b.k)
    suspicion[~np.isin(label, own)] = 0.0
    null = by_class(base, own, base, own, b.k, itself=True)
    flagged, few = flagging.above_base(suspicion, null, b.false_alarms)
    lacks = flagging.base_warnings(evidence, groups=True)
    return flagging.found(evidence, flagged, suspicion, warnings=lacks + few)


METHOD = Method(
    name="base_knn",
    label="Base distance",
    help="eliminate samples far from the base samples of their class",
    aim="eliminate",
    base=True,
    fields={
        "k": Field(3, "distance to the k-th nearest base sample of the class", 1, 100_000),
        "false_alarms": flagging.false_alarms_field(),
        "layer": flagging.layer_field(),
    },
    dials={"false_alarms": (0.02, 0.1, 0.3)},
    scores=lambda config: (config.base_knn.layer,),
    find=find,
    treat=flagging.eliminate,
)
