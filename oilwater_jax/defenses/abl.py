"""ABL, anti-backdoor learning: isolate the samples learned fastest, then unlearn them.

It supposes that poisons are easy, where trimmed loss supposes that they are hard. A reference model is trained on
sign(l - gamma) l, which holds ordinary losses at gamma while the easiest sink; the lowest losses are isolated. Training
goes on from there without them, and near its end ascends on them.

References: Li et al. 2021, "Anti-Backdoor Learning: Training Clean Models on Poisoned Data", section 3; the
defaults are those of BackdoorBench, abl.py. Ours: the ascent is bounded by `ceiling`, the others are trained on
meanwhile, and the last epoch leaves the isolated out: for what is trained after this method they are eliminated.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from oilwater_jax import selectors
from oilwater_jax.defenses import flagging
from oilwater_jax.entries import Config, Method
from oilwater_jax.errors import UserError
from oilwater_jax.objectives import masked_mean
from oilwater_jax.settings.field import Field
from oilwater_jax.types import (
    Case,
    Evidence,
    Examples,
    Found,
    Objective,
    Recipe,
    Rows,
    Scores,
    Selector,
    State,
    Treatment,
)


def hold_samples(
    state: Float[Array, ""], losses: Float[Array, "k b"], rows: Rows
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The mean of sign(l - gamma) l over the batch's samples; the state is gamma."""
    return masked_mean(jnp.where(losses[0] >= state, losses[0], -losses[0]), rows.mask), state


def hold_batch(
    state: Float[Array, ""], losses: Float[Array, "k b"], rows: Rows
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """sign(m - gamma) m of the batch's mean loss m, as the reference code does it; the state is gamma."""
    mean = masked_mean(losses[0], rows.mask)
    return jnp.where(mean >= state, mean, -mean), state


HOLD = {"sample": hold_samples, "batch": hold_batch}


def hold(gamma: float, of: str) -> Objective:
    """Losses held at gamma: of each sample, or of each batch's mean."""
    return Objective(lambda: jnp.float32(gamma), HOLD[of])


class Ascent(NamedTuple):
    """How far and how fast the isolated are unlearned."""

    strength: Float[Array, ""]
    ceiling: Float[Array, ""]


def unlearn_update(state: Ascent, losses: Float[Array, "k b"], rows: Rows) -> tuple[Float[Array, ""], Ascent]:
    """The mean of the losses, those of rows of group 1 with the factor -strength, and not beyond the ceiling."""
    down = losses[0]
    up = -state.strength * jnp.minimum(down, state.ceiling)
    return masked_mean(jnp.where(rows.group > 0, up, down), rows.mask), state


def unlearn(strength: float, ceiling: float) -> Objective:
    """Descend on group 0, ascend on group 1.

    Edge case                        Result
    strength = 0                     group 1 moves nothing
    a loss above the ceiling         moves nothing: it is unlearned
    no rows of group 1               the mean loss (plain training)
    """
    return Objective(lambda: Ascent(jnp.float32(strength), jnp.float32(ceiling)), unlearn_update)


def phases(isolated: np.ndarray, epochs: int, unlearning: int) -> Selector:
    """The isolated drawn only in the `unlearning` epochs before the last; the others always, once.

    Edge case                            Result
    epochs <= unlearning                 unlearned in all epochs but the last
    nothing isolated                     weights all 1 (plain training)
    """
    last = epochs - 1
    first = max(epochs - unlearning, 1)
    without = np.where(isolated, 0.0, 1.0)

    def update(state: State, epoch: int, scores: Scores | None) -> tuple[State, Float[np.ndarray, " n"]]:
        return state, np.ones(len(isolated)) if first <= epoch <= last else without

    return Selector(lambda examples: (), lambda epoch: (), update, first=lambda epochs: first)


def loss(logits: Float[np.ndarray, "n k"], label: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Cross-entropy in float64 that still tells apart what float32 rounds to 0."""
    row = np.arange(len(label))
    apart = logits.astype(np.float64) - logits[row, label].astype(np.float64)[:, None]
    apart[row, label] = -np.inf
    most = np.maximum(apart.max(axis=1), 0.0)
    rest = np.exp(apart - most[:, None]).sum(axis=1)
    return np.where(most > 0, most + np.log(rest + np.exp(-most)), np.log1p(rest))


def find(config: Config, evidence: Evidence) -> Found:
    """Flagged, that is isolated: the `share` of the samples with the lowest loss under the reference model.

    Edge case                        Result
    share x n below 1                nobody, and a warning
    equal losses at the cut          all of them are spared
    logits that are not finite       UserError
    """
    a, n = config.abl, len(evidence.label)
    flagging.check_finite("abl", evidence.scores["logits"])
    suspicion = -loss(evidence.scores["logits"], evidence.label)
    count = flagging.whole(a.share, n)
    few = (f"{a.share:g} x {n} is 0; raise abl.share",) if count == 0 else ()
    return flagging.found(evidence, flagging.most_suspicious(suspicion, count), suspicion, warnings=few)


def reference(config: Config, examples: Examples) -> Treatment:
    """`epochs` of losses held at gamma, at the reference model's rate and decay."""
    a = config.abl
    recipe = Recipe(**config.identify)._replace(epochs=a.epochs)
    return Treatment(selectors.everyone(len(examples)), objective=hold(a.gamma, a.gamma_of), recipe=recipe)


def treat(config: Config, case: Case) -> Treatment:
    """On from the reference model without the isolated, then the ascent, then a last epoch without them.

    Raises UserError for a training of one epoch, which has no room for both.
    """
    a = config.abl
    if case.epochs < 2:
        raise UserError(
            "abl unlearns before its last epoch, and training has one epoch; train for at least 2 (erm.epochs)"
        )
    isolated = case.found["flagged"]
    return Treatment(
        phases(isolated, case.epochs, a.unlearning),
        objective=unlearn(a.strength, a.ceiling),
        group=isolated.astype(np.int32),
        start="reference",
    )


METHOD = Method(
    name="abl",
    label="ABL",
    help="isolate the samples that are learned fastest and unlearn them",
    aim="eliminate",
    sole=True,
    fields={
        "gamma": Field(0.5, "loss floor of the reference model, nats", 0, 100),
        "gamma_of": Field(
            "sample",
            "apply the loss floor to each sample, or to each batch (the reference code)",
            choices=tuple(HOLD),
        ),
        "epochs": Field(20, "epochs of the reference model", 1, 100_000),
        "share": Field(0.01, "share of training samples to isolate: those with the lowest loss", 0, 0.5),
        "unlearning": Field(
            5, "epochs of gradient ascent on the isolated samples, before the last epoch", 1, 100_000
        ),
        "strength": Field(0.1, "ascent rate / learning rate (the reference code: 5e-4)", 0, 1000),
        "ceiling": Field(3.0, "loss above which a sample counts as unlearned, nats", high=1000, above=0),
    },
    dials={"share": (0.005, 0.01, 0.05)},
    smoke={"epochs": 1},
    reads=("identify",),
    scores=("logits",),
    find=find,
    reference=reference,
    treat=treat,
    largest=lambda config, n_classes: unlearn(config.abl.strength, config.abl.ceiling),
)
