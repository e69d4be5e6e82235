"""A defence of one's own: leave out the hardest share of the training samples, judged anew in every epoch."""

import numpy as np

import oilwater_jax as ow


def treat(config: ow.Config, case: ow.Case) -> ow.Treatment:
    """Weight 0 for the samples with the highest loss, from epoch `first` on."""
    share, first = config.trim.share, config.trim.first

    def update(weights, epoch, scores):
        if scores is not None:
            weights = (scores["loss"] <= np.quantile(scores["loss"], 1 - share)).astype(float)
        return weights, weights

    return ow.Treatment(
        ow.Selector(
            init=lambda examples: np.ones(len(examples)),
            due=lambda epoch: ("loss",) if epoch >= first else (),
            update=update,
            first=lambda epochs: first,  # judged anew: any epoch from here on may be reported
        )
    )


TRIM = ow.Method(
    name="trim",
    label="Trim",
    help="leave out the hardest samples",
    aim="eliminate",
    fields={
        "share": ow.Field(0.02, "share of the training samples that is left out", 0, 0.9),
        "first": ow.Field(2, "epoch from which on samples are left out", 1, 1000),
    },
    treat=treat,
)
