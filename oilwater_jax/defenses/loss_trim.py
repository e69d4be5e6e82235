"""Trimmed loss: drop the samples with the highest loss, chosen again in every epoch.

Stage: a selector between epochs. It supposes that poisons are hard; where they are easier than the minority, it
eliminates the minority.

References: Shen and Sanghavi 2019, "Learning with Bad Training Data via Iterative Trimmed Loss Minimization".
"""

import numpy as np
from jaxtyping import Float, Int, Int32

from oilwater_jax.defenses import flagging
from oilwater_jax.entries import Config, Method
from oilwater_jax.errors import UserError
from oilwater_jax.selectors import rounds
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Case, Examples, Scores, Selector, State, Treatment


def kept(
    loss: Float[np.ndarray, " n"], label: Int[np.ndarray, " n"], share: float
) -> Float[np.ndarray, " n"]:
    """Weight 0 for the `share` of the samples with the highest loss, at most half of any class; 1 for the rest.

    Edge case                            Result
    share x n below 1                    all 1
    equal losses on both sides of it     all of them are kept
    all losses equal                     all 1
    a class that is all hard             its harder half is left out
    a loss that is not finite            UserError naming the first such sample's row
    """
    finite = np.isfinite(loss)
    if not finite.all():
        raise UserError(
            f"loss_trim: the loss of sample {int(np.argmin(finite))} is not finite; lower the learning rate"
        )
    out = flagging.most_suspicious(loss, flagging.whole(share, len(loss)))
    return np.where(flagging.capped(out, loss, label)[0], 0.0, 1.0)


def loss_trim(*, share: float, start: int) -> Selector:
    """From epoch `start` on (1 is the first) each epoch leaves out the `share` of highest loss at its start.

    The choice is repeated: a sample comes back once its loss has fallen. A model may be reported from
    epoch `start` on, since it is trimmed from there.

    Edge case                      Result
    share = 0                      weights all 1 (plain training)
    before epoch `start`           weights all 1
    a round without its score      ValueError
    """

    def init(examples: Examples) -> Int32[np.ndarray, " n"]:
        return np.array(examples.label)

    def due(epoch: int) -> tuple[str, ...]:
        return ("loss",) if epoch >= start else ()

    def update(state: State, epoch: int, scores: Scores | None) -> tuple[State, Float[np.ndarray, " n"]]:
        if not due(epoch):
            return state, np.ones(len(state))
        if scores is None or "loss" not in scores:
            raise ValueError(f"loss_trim: epoch {epoch} needs the score loss")
        return state, kept(scores["loss"].astype(np.float64), state, share)

    return Selector(init, due, update, first=lambda epochs: start)


def treat(config: Config, case: Case) -> Treatment:
    """The rounds during the training. Raises UserError if it would end before the first one."""
    if config.loss_trim.start > case.epochs:
        raise UserError(
            f"loss_trim.start = {config.loss_trim.start}, but training has {case.epochs} epochs and would end before "
            "anything is left out; lower loss_trim.start or train longer"
        )
    return Treatment(loss_trim(**config.loss_trim))


METHOD = Method(
    name="loss_trim",
    label="Trimmed loss",
    help="drop the samples with the highest loss, chosen again in every epoch",
    aim="eliminate",
    fields={
        "share": Field(0.02, "share of training samples to drop in each epoch", 0, 0.5),
        "start": Field(2, "first epoch that drops samples (1: before any training)", 1, 100_000),
    },
    dials={"share": (0.01, 0.02, 0.05)},
    smoke={"start": 2},
    treat=treat,
    in_rounds=lambda config: ("loss",),
    rounds=lambda config, epochs: len(rounds(loss_trim(**config.loss_trim), epochs)),
    draws=lambda config, n: n - flagging.whole(config.loss_trim.share, n),
)
