"""A group-robustness method of one's own: draw the samples more often whose loss is in the highest share."""

import numpy as np

import oilwater_jax as ow


def find(config: ow.Config, evidence: ow.Evidence) -> ow.Found:
    """Flagged: a loss above the quantile 1 - share."""
    loss = evidence.scores["loss"]
    return ow.Found({"flagged": loss > np.quantile(loss, 1 - config.hard.share)}, {})


def treat(config: ow.Config, case: ow.Case) -> ow.Treatment:
    """The flagged drawn `times` times per epoch."""
    return ow.Treatment(ow.selectors.upsample(case.found["flagged"], config.hard.times))


HARD = ow.Method(
    name="hard",
    help="draw samples of high loss more often",
    aim="amplify",
    fields={
        "share": ow.Field(0.1, "share of the samples that is flagged", 0, 1),
        "times": ow.Field(3.0, "times that a flagged sample is drawn per epoch", 1, 1000),
    },
    scores=("loss",),
    find=find,
    treat=treat,
)
