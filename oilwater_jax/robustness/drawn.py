"""What methods share that give every sample a weight of its own: modes of amplification, and classes in balance."""

import numpy as np
from jaxtyping import Bool, Float, Int


def in_mode(
    weights: Float[np.ndarray, " n"], flagged: Bool[np.ndarray, " n"], label: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Draws per epoch as a mode has them, from those that a method found (it flags who is drawn above once).

    Who is flagged no more (ideal) is drawn at most once. Who is flagged now (worst) is drawn as often as the mean of
    those of its given label that are amplified; where none is, of all; where nobody is, once.

    Edge case                        Result
    flagged is weights > 1           the weights: standard
    nobody flagged                   no weight above 1
    """
    amplified = flagged & (weights > 1)
    drawn = np.where(amplified, weights, np.minimum(weights, 1.0))
    added = flagged & ~amplified
    for y in np.unique(label[added]):
        among = amplified & (label == y)
        among = among if among.any() else amplified
        drawn[added & (label == y)] = weights[among].mean() if among.any() else 1.0
    return drawn


def classes_in_balance(
    weights: Float[np.ndarray, " n"], label: Int[np.ndarray, " n"], total: float
) -> Float[np.ndarray, " n"]:
    """The weights scaled within each label, so that labels with any weight share `total` draws equally.

    Edge case                  Result
    all weights 0              all 0
    a label without weight     0 for it, the others share the total
    """
    sums = np.bincount(label, weights=weights)
    present = int((sums > 0).sum())
    if not present:
        return np.zeros(len(weights))
    return total / present * weights / np.where(sums > 0, sums, 1.0)[label]


def lacking(group: Int[np.ndarray, " n"], n_classes: int, n_attributes: int, why: str) -> tuple[str, ...]:
    """A warning for each true group without samples; `why` goes on from "no sample of class 1 with attribute 0 ..."."""
    missing = np.setdiff1d(np.arange(n_classes * n_attributes), group)
    return tuple(
        f"no sample of class {y} with attribute {a} {why}"
        for y, a in (divmod(int(one), n_attributes) for one in missing)
    )


def effective(weights: Float[np.ndarray, " n"]) -> float:
    """How many equally weighted samples the weights are worth, (sum w)^2 / sum w^2 (Kish); 0 where all are 0."""
    return float(weights.sum() ** 2 / np.square(weights).sum()) if weights.any() else 0.0


def absent(label: Int[np.ndarray, " n"], weights: Float[np.ndarray, " n"]) -> tuple[str, ...]:
    """A warning for each label none of whose samples has a weight."""
    missing = np.setdiff1d(label, label[weights > 0]).tolist()
    return tuple(
        f"no sample of class {one} is among those trained on: it will be unlearned" for one in missing
    )
