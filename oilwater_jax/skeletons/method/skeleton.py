"""A group-robustness method: draw the training samples with the highest loss more often.

oilwater check skeleton.py
oilwater run --config=waterdigits/dlbd --plugins=skeleton.py --config.rows=erm,skeleton --workdir=runs/skeleton

To make a defence of it: aim="eliminate", and a weight of 0 for the flagged samples (`ow.selectors.fixed`).
"""

import numpy as np

import oilwater_jax as ow


def highest(loss: np.ndarray, share: float) -> np.ndarray:
    """Whether each sample's loss [n] is above the quantile 1 - share; bool [n]."""
    return loss > np.quantile(loss, 1 - share)


def find(config: ow.Config, evidence: ow.Evidence) -> ow.Found:
    """Look: flag samples by the scores of a reference model, which was trained for `identify.epochs`."""
    return ow.Found({"flagged": highest(evidence.scores["loss"], config.skeleton.share)}, {})


def treat(config: ow.Config, case: ow.Case) -> ow.Treatment:
    """Treat: draw each flagged sample `times` times per epoch, the others once."""
    return ow.Treatment(ow.selectors.upsample(case.found["flagged"], config.skeleton.times))


SKELETON = ow.Method(
    name="skeleton",
    help="draw the samples with the highest loss more often",
    aim="amplify",
    fields={
        "share": ow.Field(0.1, "share of the training samples that is flagged", 0, 1),
        "times": ow.Field(5.0, "draws of a flagged sample per epoch", 1, 1000),
    },
    scores=("loss",),
    find=find,
    treat=treat,
)
