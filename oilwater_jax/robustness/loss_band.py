"""Loss band (ours): up-sample only the part of JTT's error set with a loss in a band.

By the theory of loss, mislabelled poisons rank ABOVE the minority, so an upper tail (JTT) takes them first and a band
could use the gap. It must know on which side the attack lies: clean-label poisons rank below, and a band that cuts the
top off then helps them. The bounds are quantiles of the error set's losses, which a defender has.

Compare a band always with its control: JTT with a smaller `lambda_up`. The defaults are a guess; choose on
validation.
"""

import numpy as np
from jaxtyping import Bool, Float

from oilwater_jax import selectors
from oilwater_jax.entries import Config, Method
from oilwater_jax.errors import UserError
from oilwater_jax.robustness.jtt import FLAGGED
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Case, Evidence, Found, Treatment


def band(
    loss: Float[np.ndarray, " n"], wrong: Bool[np.ndarray, " n"], low: float, high: float
) -> tuple[Bool[np.ndarray, " n"], float, float]:
    """Who is in the error set and strictly between two quantiles of its losses; and these two losses.

    Edge case              Result
    low = 0, high = 1      the error set: JTT
    low = 0                no lower bound
    high = 1               no upper bound
    an empty error set     nobody; the bounds are -inf and inf
    equal losses           nobody, unless low = 0 and high = 1
    """
    if not wrong.any():
        return wrong, -np.inf, np.inf
    least = -np.inf if low == 0 else float(np.quantile(loss[wrong], low))
    most = np.inf if high == 1 else float(np.quantile(loss[wrong], high))
    return wrong & (loss > least) & (loss < most), least, most


def find(config: Config, evidence: Evidence) -> Found:
    """The band among what the reference model misclassifies under the given label."""
    b, scores = config.loss_band, evidence.scores
    flagged, least, most = band(scores["loss"], ~scores["correct"], b.low, b.high)
    bounds = [None if np.isinf(one) else one for one in (least, most)]
    figures = {"band": bounds, "n_wrong": int((~scores["correct"]).sum())}
    return Found({"flagged": flagged, "loss": scores["loss"], "correct": scores["correct"]}, figures)


def treat(config: Config, case: Case) -> Treatment:
    """The flagged samples drawn `lambda_up` times per epoch, the others once."""
    return Treatment(selectors.upsample(case.found["flagged"], config.loss_band.lambda_up))


def check(config: Config) -> None:
    """Raises UserError for an empty band."""
    b = config.loss_band
    if b.low >= b.high:
        raise UserError(f"loss_band.low = {b.low:g} must be less than loss_band.high = {b.high:g}")


METHOD = Method(
    name="loss_band",
    label="loss band",
    help="up-sample misclassified samples whose loss lies in a band",
    aim="amplify",
    fields={
        "low": Field(0.0, "lower end of the band, a quantile of the error set's losses; 0: no bound", 0, 1),
        "high": Field(0.75, "upper end of the band, a quantile of the error set's losses; 1: no bound", 0, 1),
        "lambda_up": Field(50.0, "draws of a flagged sample per epoch", 1, 100_000),
    },
    dials={"high": (0.5, 0.75, 0.95), "lambda_up": (10.0, 50.0)},
    check=check,
    scores=("correct", "loss"),
    find=find,
    treat=treat,
    draws=lambda config, n: (
        n
        + int((config.loss_band.lambda_up - 1) * FLAGGED * n * (config.loss_band.high - config.loss_band.low))
    ),
)
