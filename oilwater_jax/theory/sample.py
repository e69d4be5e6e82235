"""The model at finite size: samples with noise coordinates, least squares, and its figures. The only random part."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from oilwater_jax.study.auroc import auroc
from oilwater_jax.theory.amplification import MODES
from oilwater_jax.theory.figures import Figures, figures
from oilwater_jax.theory.model import MIN, POI, Model, groups


class Sample(NamedTuple):
    """n samples in 3 + k coordinates, and each one's group."""

    v: Float[np.ndarray, "n d"]
    group: Int[np.ndarray, " n"]


class Measured(NamedTuple):
    """Figures of weights learned from a sample; the AUROC is that of the training samples themselves."""

    auroc: float
    plain: Figures
    flagged: Float[np.ndarray, " 3"]  # share of each group; NaN for a group without samples
    amplified: dict[str, Figures]  # by mode


def draw(model: Model, n: int, noise: int, rng: np.random.Generator) -> Sample:
    """Samples (n) with `noise` coordinates of mean 0; group sizes are the expected ones, rounded.

    Raises ValueError if a minority or the poisons would have no sample.
    """
    found = groups(model)
    counts = np.rint(n * found.weight).astype(int)
    counts[0] = n - counts[1:].sum()
    if counts.min() < 1:
        raise ValueError(
            f"n = {n} leaves a group empty: {counts.tolist()} samples of maj, min, poi; give more"
        )
    group = np.repeat(np.arange(3), counts)
    v = float(model.sigma) * rng.standard_normal((n, 3 + noise))
    v[:, :3] += found.mean[group]
    return Sample(v, group)


def least_squares(
    v: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"] | None = None
) -> Float[np.ndarray, " d"]:
    """Weights that minimise sum_i weights_i (1 - w.v_i)^2; without weights, all 1."""
    scaled = v if weights is None else v * weights[:, None]
    return np.linalg.solve(scaled.T @ v, scaled.sum(axis=0))


def amplify(
    model: Model, sample: Sample, flags: Bool[np.ndarray, " n"], mode: str
) -> Float[np.ndarray, " d"]:
    """Weights after the flagged are drawn lambda_up times, by mode as in `amplification.by_mode`."""
    poison = sample.group == POI
    chosen = {"standard": flags, "ideal": flags & ~poison, "worst": flags | poison}[mode]
    return least_squares(sample.v, np.where(chosen, float(model.lambda_up), 1.0))


def measure(model: Model, n: int, noise: int, rng: np.random.Generator) -> Measured:
    """One draw: plain training, who it misclassifies, and JTT in its three modes."""
    sample = draw(model, n, noise, rng)
    w = least_squares(sample.v)
    margin = sample.v @ w
    flags = margin <= 0
    minority, poison = sample.group == MIN, sample.group == POI
    return Measured(
        auroc=auroc(-margin[poison], -margin[minority]),
        plain=figures(model, w),
        flagged=np.array([flags[sample.group == g].mean() for g in range(3)]),
        amplified={mode: figures(model, amplify(model, sample, flags, mode)) for mode in MODES},
    )
