"""Deep k-NN: eliminate samples whose neighbours in feature space mostly have another label.

References: Peri et al. 2020, "Deep k-NN Defense against Clean-label Data Poisoning Attacks"; the code
JonasGeiping/data-poisoning (forest/filtering_defenses.py), whose k this takes.
"""

import numpy as np
from jaxtyping import Float, Int

from oilwater_jax.defenses import flagging
from oilwater_jax.entries import Config, Method
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Evidence, Found


def disagreement(
    points: Float[np.ndarray, "n d"], label: Int[np.ndarray, " n"], k: int
) -> Float[np.ndarray, " n"]:
    """The share of each sample's k nearest others, of all classes, that carry another label than it does.

    Edge case                        Result
    k >= n                           all n - 1 others
    k = 0, or one sample             all 0
    a sample equal to others         itself is never its neighbour
    """
    n, k = len(points), min(k, len(points) - 1)
    if k <= 0:
        return np.zeros(n)
    from sklearn.neighbors import NearestNeighbors  # here: half a second that other methods need not pay

    near = NearestNeighbors(n_neighbors=k + 1, algorithm="brute").fit(points)
    found = near.kneighbors(points, return_distance=False)
    itself = found == np.arange(n)[:, None]
    itself[~itself.any(axis=1), -1] = True  # among more than k equal points: the last one goes instead
    others = found[~itself].reshape(n, k)
    return np.mean(label[others] != label[:, None], axis=1)


def find(config: Config, evidence: Evidence) -> Found:
    """Flagged: more than half of the neighbours carry another label.

    Edge case                                    Result
    exactly half of them                         kept, as in the reference code
    k = 2 x budget x n rounds down to 0          nobody flagged, and a warning
    a small class among many of another          flagged whole by the rule: half of it is, with a warning
    features that are not finite                 UserError
    """
    d, n = config.deep_knn, len(evidence.label)
    points = evidence.scores[d.layer].astype(np.float64)
    flagging.check_finite("deep_knn", points)
    k = min(flagging.whole(d.factor * d.budget, n), n - 1)
    suspicion = disagreement(points, evidence.label, k)
    few = (f"k = {d.factor:g} x {d.budget:g} x {n} is 0; raise deep_knn.budget",) if k == 0 else ()
    return flagging.found(evidence, suspicion > 0.5, suspicion, figures={"k": k}, warnings=few)


METHOD = Method(
    name="deep_knn",
    label="Deep k-NN",
    help="eliminate samples whose nearest neighbours in feature space mostly have another label",
    aim="eliminate",
    fields={
        "budget": flagging.budget_field(),
        "factor": Field(2.0, "number of neighbours / expected poisons", 0, 1000),
        "layer": flagging.layer_field(),
    },
    dials={"budget": (0.005, 0.01, 0.05)},
    scores=lambda config: (config.deep_knn.layer,),
    find=find,
    treat=flagging.eliminate,
)
