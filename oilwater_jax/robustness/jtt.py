"""JTT, Just Train Twice: flag what an early ERM model misclassifies, then train with it up-sampled.

References: Liu et al. 2021, "Just Train Twice", Algorithm 1.
"""

import numpy as np
from jaxtyping import Bool

from oilwater_jax.types import Scores

SCORES = ("correct", "loss", "margin")  # what `flag` needs, and what a reader of the run folder wants to see


def flag(scores: Scores) -> Bool[np.ndarray, " n"]:
    """The error set: training samples that the identification model misclassifies under their given label.

    From a clean evaluation pass after T epochs (the reference collects it online during epoch T).
    """
    return ~scores["correct"]
