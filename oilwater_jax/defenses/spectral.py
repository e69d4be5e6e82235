"""Spectral signatures: eliminate, in each class, the samples farthest along the top singular vector of features.

References: Tran, Li and Madry 2018, "Spectral Signatures in Backdoor Attacks", algorithm 1. The features are centred
in each class before they are projected, which two other codes leave out: BackdoorBench's does not centre (its issue
44), adversarial-robustness-toolbox's centres to find the direction and projects uncentred features on it.
"""

import numpy as np
from jaxtyping import Float, Int

from oilwater_jax.defenses import flagging
from oilwater_jax.entries import Config, Method
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Evidence, Found


def outlyingness(points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """(f . v)^2 of each centred row f, v the top right singular vector of all of them.

    Edge case                  Result
    one sample                 0
    all rows equal             all 0
    """
    centred = points - points.mean(axis=0, keepdims=True)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    return np.square(centred @ vectors[:, -1])


def by_class(points: Float[np.ndarray, "n d"], label: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """`outlyingness` of each sample within its class."""
    suspicion = np.zeros(len(label))
    for one in np.unique(label):
        suspicion[label == one] = outlyingness(points[label == one])
    return suspicion


def find(config: Config, evidence: Evidence) -> Found:
    """Flagged: the `factor` x `budget` x n most outlying samples of every class, at most half of it.

    Every class loses that many, because nobody tells the defender which one is attacked: on clean data it flags as
    many, and in all up to n_classes x factor x budget of the samples. That is the method, not a finding.

    Edge case                            Result
    factor x budget x n below 1          nobody flagged, and a warning
    a class of fewer than 2 such counts  half of it
    all features of a class equal        nobody of it (equal ones at the cut are spared)
    features that are not finite         UserError
    """
    s, n = config.spectral, len(evidence.label)
    points = evidence.scores[s.layer].astype(np.float64)
    flagging.check_finite("spectral", points)
    suspicion = by_class(points, evidence.label)
    count = flagging.whole(s.factor * s.budget, n)
    flagged = flagging.most_in_each_class(suspicion, evidence.label, count)
    few = (f"{s.factor:g} x {s.budget:g} x {n} is 0; raise spectral.budget",) if count == 0 else ()
    return flagging.found(evidence, flagged, suspicion, figures={"per_class": count}, warnings=few)


METHOD = Method(
    name="spectral",
    label="Spectral signatures",
    help="eliminate, in each class, the samples farthest along the top singular vector of its features",
    aim="eliminate",
    fields={
        "budget": flagging.budget_field(),
        "factor": Field(1.5, "samples eliminated per class / expected poisons", 0, 1000),
        "layer": flagging.layer_field(),
    },
    dials={"budget": (0.005, 0.01, 0.05)},
    scores=lambda config: (config.spectral.layer,),
    find=find,
    treat=flagging.eliminate,
)
