"""JTT, Just Train Twice: flag what an early ERM model misclassifies, then train with it up-sampled.

References: Liu et al. 2021, "Just Train Twice", Algorithm 1.
"""

import numpy as np

from oilwater_jax import objectives, selectors
from oilwater_jax.config import Config
from oilwater_jax.robustness.amplify import amplified
from oilwater_jax.robustness.evidence import Evidence, Found
from oilwater_jax.types import Examples, Treatment

SCORES = ("correct", "loss", "margin")  # what `find` needs, and what a reader of the run folder wants to see


def find(config: Config, seed: int, evidence: Evidence) -> Found:
    """The error set: training samples that the identification model misclassifies under their given label.

    From a clean evaluation pass after T epochs (the reference collects it online during epoch T).
    """
    return Found({"flagged": ~evidence.scores["correct"], **evidence.scores}, {})


def treatment(config: Config, mode: str, found: dict[str, np.ndarray], train: Examples) -> Treatment:
    """ERM on the training set with the amplified samples drawn `lambda_up` times per epoch."""
    chosen = amplified(mode, found["flagged"], train.is_poison)
    return Treatment(
        selector=selectors.upsample(chosen, config.method.lambda_up),
        objective=objectives.erm(),
        group=np.zeros(len(train), np.int32),
        val_group=None,
        rule=config.train.select,
    )
