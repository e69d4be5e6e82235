"""LfF, learning from failure: train a biased network alongside the model, and up-weight samples that it fails on.

The biased network b is trained by the generalised cross-entropy (1 - p^q) / q, which prefers what is easy; the
debiased one d, which is reported, by its loss times L_b / (L_b + L_d), where L is a sample's running loss divided by
its class's largest. Both see the same batches; weights are not differentiated.

The published code multiplies the cross-entropy by q p^q instead: its gradient is q times that of (1 - p^q) / q.
SubpopBench's version leaves the running loss and the division out; this one has both.

References: Nam et al. 2020, "Learning from Failure: Training Debiased Classifier from Biased Classifier"; alinlab/LfF
train.py (q 0.7, decay 0.7).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from oilwater_jax import selectors
from oilwater_jax.entries import Config, Method
from oilwater_jax.objectives import masked_mean
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Case, Objective, Rows, State, Treatment

STEP = 512  # samples; training sets of nearly the same size share their compiled step


class LffState(NamedTuple):
    """Running losses of d and b, whether a sample has been seen, each sample's label (of padding: none), settings."""

    running: Float[Array, "2 n"]
    seen: Float[Array, " n"]
    label: Int[Array, " n"]
    classes: Float[Array, " c"]  # its length is the number of classes
    q: Float[Array, ""]
    decay: Float[Array, ""]


def moved(state: LffState, losses: Float[Array, "2 b"], rows: Rows) -> LffState:
    """The running losses after a batch: a sample's first loss, then decay * old + (1 - decay) * new.

    A sample that is in a batch several times counts with its mean loss.
    """
    n = state.running.shape[1]
    at = jnp.where(rows.mask, rows.sample, n)  # padding goes nowhere
    times = jnp.zeros(n, losses.dtype).at[at].add(1.0, mode="drop")
    total = jnp.zeros_like(state.running).at[:, at].add(losses, mode="drop")
    mean = total / jnp.maximum(times, 1.0)[None]
    fresh = state.decay * state.running + (1.0 - state.decay * state.seen)[None] * mean
    inside = times > 0
    return state._replace(
        running=jnp.where(inside[None], fresh, state.running), seen=jnp.where(inside, 1.0, state.seen)
    )


def lff_update(state: LffState, losses: Float[Array, "2 b"], rows: Rows) -> tuple[Float[Array, ""], State]:
    """The two networks' losses together; the first row is d's, the second b's."""
    state = moved(state, jax.lax.stop_gradient(losses), rows)
    n_classes = len(state.classes)
    # One more segment takes the padding's running losses, which are 0.
    of_class = jnp.where(state.label < 0, n_classes, state.label)
    largest = jax.vmap(lambda one: jax.ops.segment_max(one, of_class, n_classes + 1))(state.running)
    largest = jnp.where(largest > 0, largest, 1.0)
    relative = state.running[:, rows.sample] / largest[:, rows.label]
    weight = relative[1] / (relative[0] + relative[1] + 1e-8)
    debiased = masked_mean(weight * losses[0], rows.mask)
    biased = masked_mean((1.0 - jnp.exp(-state.q * losses[1])) / state.q, rows.mask)
    return debiased + biased, state


def lff(label: Int[np.ndarray, " n"], n_classes: int, q: float, decay: float) -> Objective:
    """The objective for samples with these labels.

    Edge case                            Result
    both networks have equal losses      every weight is 1/2
    b's running loss 0, d's not          weight 0
    both 0                               weight 0
    a sample twice in a batch            its running loss moves by the mean of both
    decay 0                              no memory: the batch's losses (their class's largest remembers)
    padding                              counts for nothing
    """
    n = len(label)
    full = n + -n % STEP

    def init() -> LffState:
        padded = np.full(full, -1, np.int32)
        padded[:n] = label
        return LffState(
            jnp.zeros((2, full)),
            jnp.zeros(full),
            jnp.asarray(padded),
            jnp.zeros(n_classes),
            jnp.float32(q),
            jnp.float32(decay),
        )

    return Objective(init, lff_update, networks=2)


def treat(config: Config, case: Case) -> Treatment:
    """Every sample once per epoch, two networks."""
    objective = lff(case.train.label, case.n_classes, config.lff.q, config.lff.decay)
    return Treatment(selectors.everyone(len(case.train)), objective=objective)


METHOD = Method(
    name="lff",
    label="LfF",
    help="train a biased network alongside the model, and up-weight samples that it fails on",
    aim="amplify",
    sole=True,
    fields={
        "q": Field(
            0.7,
            "exponent q of the biased network's loss (1 - p^q) / q; near 0: cross-entropy",
            above=0,
            high=1,
        ),
        "decay": Field(0.7, "decay of the running loss: the share of the old value that stays", 0, 1),
    },
    dials={"q": (0.3, 0.7, 0.95)},
    treat=treat,
    largest=lambda config, n_classes: lff(
        np.zeros(STEP, np.int32), n_classes, config.lff.q, config.lff.decay
    ),
)
