"""What a set of weights does to the groups: accuracies, attack success, and how far the loss tells the sets apart."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from oilwater_jax.theory.model import MAJ, MIN, POI, Model, Reals, margins, parts, spread


class Figures(NamedTuple):
    """Fractions in 0..1, but for d_prime."""

    wga: Reals  # accuracy on the worse of majority and minority
    majority: Reals
    minority: Reals
    asr: Reals  # share of triggered majority samples of the other class that get the attacker's label
    asr_minority: Reals  # the same of minority samples
    untriggered: Reals  # the same of majority samples without trigger
    auroc: Reals  # chance that a poison's loss is above a minority sample's
    d_prime: Reals  # (M_min - M_poi) / sd, above 0 where poisons are the harder
    tv: Reals  # total variation of the two sets' losses: what the best rule on the loss can tell


def figures(model: Model, w: Float[np.ndarray, "*b k"]) -> Figures:
    """The figures of weights, noise coordinates (after the third) included in the spread.

    Edge case             Result
    w = 0 (flow at t = 0) every figure NaN: all margins are 0 and no label is preferred
    """
    one, sd = parts(model, w), spread(model, w)
    mean = margins(model, w)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = mean / np.asarray(sd)[..., None]
        d_prime = scaled[..., MIN] - scaled[..., POI]
        asr_minority = ndtr((one.trigger + one.spurious - one.core) / sd)
        untriggered = ndtr(-(one.core + one.spurious) / sd)
    majority, minority = ndtr(scaled[..., MAJ]), ndtr(scaled[..., MIN])
    return Figures(
        wga=np.minimum(majority, minority),
        majority=majority,
        minority=minority,
        asr=ndtr(scaled[..., POI]),
        asr_minority=asr_minority,
        untriggered=untriggered,
        auroc=ndtr(d_prime / np.sqrt(2)),
        d_prime=d_prime,
        tv=2 * ndtr(np.abs(d_prime) / 2) - 1,
    )


def auroc(model: Model, w: Float[np.ndarray, "*b k"]) -> Reals:
    """Chance that a poison's loss is above a minority sample's: Phi((M_min - M_poi) / (sqrt(2) sd)), Lemma 1."""
    return figures(model, w).auroc
