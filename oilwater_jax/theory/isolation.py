"""Isolation in gradient space: why EPIc reads the same number as JTT, by another rule.

With two classes a sample's gradient in the logits lies on a line, at 1 - e^{-loss}: within a class, EPIc's verdict is
a function of the loss (Lemma 8), and isolation is a low density of the margins around a sample's own.
"""

import numpy as np
from jaxtyping import Float

from oilwater_jax.theory.model import MAJ, MIN, POI, Flags, Model, groups, margins, spread


def _overlap(model: Model, w: Float[np.ndarray, "*b 3"]) -> Float[np.ndarray, "*b 3 3"]:
    """exp(-(M_g - M_h)^2 / (4 sd^2)) of every two groups."""
    mean, sd = margins(model, w), np.asarray(spread(model, w))[..., None, None]
    return np.exp(-((mean[..., :, None] - mean[..., None, :]) ** 2) / (4 * sd**2))


def density(model: Model, w: Float[np.ndarray, "*b 3"]) -> Float[np.ndarray, "*b 3"]:
    """Mean density of all margins at a member of each group, f_g: low is isolated. Infinite for w = 0."""
    sd = np.asarray(spread(model, w), dtype=float)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        near = np.einsum("...gh,...h->...g", _overlap(model, w), groups(model).weight)
        return near / (np.sqrt(4 * np.pi) * sd)


def poison_more_isolated(model: Model, w: Float[np.ndarray, "*b 3"]) -> Flags:
    """(7): whether a poison is more isolated than a minority sample, f_poi < f_min.

    It is wherever poisons are no more than the minority and the margins are ordered M_poi <= M_min <= M_maj. Many
    poisons that lie far out keep each other company: then EPIc takes the minority and spares them.
    """
    weight, near = groups(model).weight, _overlap(model, w)
    company = (weight[..., POI] - weight[..., MIN]) * (1 - near[..., POI, MIN])
    crowd = weight[..., MAJ] * (near[..., POI, MAJ] - near[..., MIN, MAJ])
    return company + crowd < 0
