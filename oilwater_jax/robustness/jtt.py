"""JTT, Just Train Twice: flag samples that an early ERM model misclassifies, then train with them up-sampled.

References: Liu et al. 2021, "Just Train Twice", Algorithm 1.
"""

from oilwater_jax import selectors
from oilwater_jax.entries import Config, Method
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Case, Evidence, Found, Treatment

# Of the training samples, for a plan: JTT's own error sets are 4% of Waterbirds and 12% of CelebA (its precision and
# recall of the smallest group, Liu et al. 2021, table 3).
FLAGGED = 0.1


def find(config: Config, evidence: Evidence) -> Found:
    """The error set: training samples that the reference model misclassifies under their given label.

    From a clean evaluation pass after T epochs (the reference code collects it online during epoch T).
    """
    return Found({"flagged": ~evidence.scores["correct"], **evidence.scores}, {})


def treat(config: Config, case: Case) -> Treatment:
    """The flagged samples drawn `lambda_up` times per epoch, the others once.

    Edge case              Result
    nothing flagged        plain training
    everything flagged     every sample `lambda_up` times
    lambda_up = 1          plain training
    """
    return Treatment(selectors.upsample(case.found["flagged"], config.jtt.lambda_up))


METHOD = Method(
    name="jtt",
    label="JTT",
    help="up-sample the samples that an early model misclassifies",
    aim="amplify",
    fields={
        "lambda_up": Field(50.0, "draws of a flagged sample per epoch", 1, 100_000),
    },
    dials={"lambda_up": (3.0, 10.0, 50.0), "identify.epochs": (2, 4, 8)},
    smoke={"lambda_up": 4.0},
    scores=("correct", "loss", "margin"),  # the last two for a reader of the run folder
    find=find,
    treat=treat,
    draws=lambda config, n: n + int((config.jtt.lambda_up - 1) * FLAGGED * n),
)
