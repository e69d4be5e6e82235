"""SPECTRE: whiten each class by a robust mean and covariance, then eliminate the highest QUE scores.

The matrix exponential is that of the paper; the code in vtu81/backdoor-toolbox (spectre_python.py) takes the
exponential of every entry. The published filter removes samples from the target class alone, which it reads from the
experiment's name: an oracle. This one removes as many from every class. The robust estimate is by concentration
steps, which draw nothing at random; the published one is a filter by Diakonikolas et al.

References: Hayase et al. 2021, "SPECTRE: Defending Against Backdoor Attacks Using Robust Statistics", algorithms 1 to
3; Rousseeuw and Van Driessen 1999, "A Fast Algorithm for the Minimum Covariance Determinant Estimator" (the steps).
"""

import numpy as np
from jaxtyping import Float

from oilwater_jax.defenses import flagging
from oilwater_jax.entries import Config, Method
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Evidence, Found

MOST_STEPS = 100
RIDGE = 1e-6  # of the largest variance, added to all: directions without any spread stay finite


def robust(
    points: Float[np.ndarray, "n p"], drop: int
) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, "p p"]]:
    """Mean and covariance of all but the `drop` points that are farthest by them (at most half), to the normal's scale.

    Begun from medians and median absolute deviations of the coordinates; a step keeps the nearest by the last estimate.

    Edge case                 Result
    drop = 0                  mean and covariance, scaled so that the median distance is a normal's
    all points equal          that point and a covariance of 1e-300
    """
    from scipy.special import gammaincinv

    n, p = points.shape
    keep = n - min(drop, n // 2)
    mean = np.median(points, axis=0)
    spread = np.median(np.abs(points - mean[None]), axis=0) / 0.6745
    ceiling = max(float(spread.max(initial=0.0)), 1e-150)
    covariance = np.diag(np.square(np.maximum(spread, 1e-3 * ceiling)))
    before = np.zeros(n, bool)
    for _ in range(MOST_STEPS):
        distance = squared(points - mean[None], covariance)
        kept = distance <= np.sort(distance)[keep - 1]
        if np.array_equal(kept, before):
            break
        before, mean = kept, points[kept].mean(axis=0)
        centred = points[kept] - mean[None]
        covariance = centred.T @ centred / max(int(kept.sum()) - 1, 1)
        top = max(float(np.linalg.eigvalsh(covariance)[-1]), 1e-300)
        covariance = covariance + RIDGE * top * np.eye(p)
    scale = np.median(squared(points - mean[None], covariance)) / (2 * gammaincinv(p / 2, 0.5))
    return mean, covariance * max(float(scale), 1e-12)


def squared(
    centred: Float[np.ndarray, "n p"], covariance: Float[np.ndarray, "p p"]
) -> Float[np.ndarray, " n"]:
    """Squared Mahalanobis distances from 0."""
    values, vectors = np.linalg.eigh(covariance)
    return np.sum(np.square(centred @ vectors) / np.maximum(values, 1e-300)[None], axis=1)


def que(white: Float[np.ndarray, "n p"], alpha: float) -> Float[np.ndarray, " n"]:
    """QUE scores of whitened rows x: x' Q x / tr Q with Q = exp(alpha (S - I) / (|S| - 1)), S their second moments.

    alpha = 0 is the squared length over p; a large alpha the square along the direction of most variance.

    Edge case                             Result
    no direction has a variance above 1   Q = I: the squared length over p (nothing stands out)
    """
    p = white.shape[1]
    values, vectors = np.linalg.eigh(white.T @ white / len(white))
    top = values[-1] - 1
    weights = np.exp(alpha * (values - 1) / top) if top > 1e-9 else np.ones(p)
    return np.square(white @ vectors) @ weights / weights.sum()


def outlyingness(
    points: Float[np.ndarray, "n d"], *, components: int, alpha: float, drop: int
) -> tuple[Float[np.ndarray, " n"], int]:
    """QUE scores of the samples of one class, and the number of dimensions they are taken in.

    Of 1, 2, 4, ... up to `components` leading directions those count whose scores, without the `drop` most suspicious,
    leave most unexplained: the mean QUE score of all in `components` dimensions, whitened by who is left.

    Edge case                  Result
    fewer than 3 samples       all 0, in 0 dimensions
    all points equal           all 0, in 0 dimensions
    """
    centred = points - points.mean(axis=0, keepdims=True)
    if len(points) < 3 or not centred.any():
        return np.zeros(len(points)), 0
    _, vectors = np.linalg.eigh(centred.T @ centred)
    low = centred @ vectors[:, ::-1][:, : min(components, len(points) - 1)]
    p = low.shape[1]
    sizes = sorted({min(2**j, p) for j in range(p.bit_length() + 1)})
    best: tuple[float, Float[np.ndarray, " n"], int] | None = None
    for k in sizes:
        scores = que(whitened(low[:, :k], *robust(low[:, :k], drop)), alpha)
        left = ~flagging.most_suspicious(scores, min(drop, len(low) // 2))
        rest = low[left]
        covariance = np.atleast_2d(np.cov(rest, rowvar=False))
        unexplained = float(que(whitened(low, rest.mean(axis=0), covariance), alpha).mean())
        if best is None or unexplained > best[0]:
            best = (unexplained, scores, k)
    assert best is not None
    return best[1], best[2]


def whitened(
    points: Float[np.ndarray, "n p"], mean: Float[np.ndarray, " p"], covariance: Float[np.ndarray, "p p"]
) -> Float[np.ndarray, "n p"]:
    """The points, centred and scaled so that the covariance would be 1."""
    values, vectors = np.linalg.eigh(covariance)
    floor = max(RIDGE * float(values[-1]), 1e-300)
    return (points - mean[None]) @ (vectors / np.sqrt(np.maximum(values, floor))[None]) @ vectors.T


def find(config: Config, evidence: Evidence) -> Found:
    """Flagged: the `factor` x `budget` x n highest QUE scores of every class, at most half of it.

    Edge case                            Result
    factor x budget x n below 1          nobody flagged, and a warning
    all features of a class equal        nobody of it
    features that are not finite         UserError
    """
    s, n, label = config.spectre, len(evidence.label), evidence.label
    points = evidence.scores[s.layer].astype(np.float64)
    flagging.check_finite("spectre", points)
    count = flagging.whole(s.factor * s.budget, n)
    suspicion, dimensions = np.zeros(n), {}
    for one in np.unique(label):
        own = label == one
        suspicion[own], dimensions[str(one)] = outlyingness(
            points[own], components=s.components, alpha=s.alpha, drop=count
        )
    few = (f"{s.factor:g} x {s.budget:g} x {n} is 0; raise spectre.budget",) if count == 0 else ()
    return flagging.found(
        evidence,
        flagging.most_in_each_class(suspicion, label, count),
        suspicion,
        figures={"per_class": count, "dimensions": dimensions},
        warnings=few,
    )


METHOD = Method(
    name="spectre",
    label="SPECTRE",
    help="whiten the features of each class robustly and eliminate outliers",
    aim="eliminate",
    fields={
        "budget": flagging.budget_field(),
        "factor": Field(1.5, "samples eliminated per class / expected poisons", 0, 1000),
        "alpha": Field(
            4.0,
            "alpha of the QUE score; 0: squared distance, large: top direction only",
            0,
            100,
        ),
        "components": Field(16, "largest number of leading directions of a class's features", 1, 10_000),
        "layer": flagging.layer_field(),
    },
    dials={"budget": (0.005, 0.01, 0.05)},
    scores=lambda config: (config.spectre.layer,),
    find=find,
    treat=flagging.eliminate,
)
