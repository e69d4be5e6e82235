"""How an epoch is driven, right for its backend, behind one function.

On a CPU: a Python loop over the jitted step, because XLA's CPU backend runs a convolution inside a
while-loop on one thread by a slow path. On an accelerator: `lax.scan` over segments of steps, one dispatch
each. Both give the same states. On several devices each works on its part of every batch.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from oilwater_jax import devices
from oilwater_jax.training.step import Resident, StepFn, TrainState

SEGMENT = 32  # steps per dispatch on an accelerator

EpochFn = Callable[
    [TrainState, Resident, Int[np.ndarray, " draws"], Key[Array, ""]],
    tuple[TrainState, Float[np.ndarray, " steps"]],
]


def batches(
    draws: Int[np.ndarray, " draws"], batch: int
) -> tuple[Int[np.ndarray, "steps b"], Bool[np.ndarray, "steps b"]]:
    """Rows and padding mask of an epoch's batches; only the last may be padded (with row 0, masked)."""
    steps = -(-len(draws) // batch)
    rows = np.zeros(steps * batch, np.int32)
    rows[: len(draws)] = draws
    mask = np.arange(steps * batch) < len(draws)
    return rows.reshape(steps, batch), mask.reshape(steps, batch)


def make_epoch(step: StepFn, batch: int, driver: str = "auto") -> EpochFn:
    """An epoch function `(state, data, draws, key) -> (state, loss of each step)`; the state is donated.

    `driver` is "loop", "scan" or "auto" (loop on a CPU, scan elsewhere). Step i uses `fold_in(key, i)`.
    """
    if driver == "auto":
        driver = "loop" if jax.default_backend() == "cpu" else "scan"
    if driver not in ("loop", "scan"):
        raise ValueError(f"driver must be auto, loop or scan, not {driver!r}")

    def folded(
        state: TrainState, data: Resident, rows: Array, mask: Array, key: Key[Array, ""], i: Array
    ) -> tuple[TrainState, Array]:
        return step(state, data, rows, mask, jax.random.fold_in(key, i))

    def segment(
        state: TrainState, data: Resident, rows: Array, mask: Array, key: Key[Array, ""], first: Array
    ) -> tuple[TrainState, Array]:
        def body(state: TrainState, at: tuple[Array, Array, Array]) -> tuple[TrainState, Array]:
            row, keep, i = at
            # A step of padding only must leave the state (momentum, decay) untouched.
            return jax.lax.cond(
                jnp.any(keep),
                lambda s: folded(s, data, row, keep, key, i),
                lambda s: (s, jnp.float32(0)),
                state,
            )

        return jax.lax.scan(body, state, (rows, mask, first + jnp.arange(SEGMENT)))

    jit_step = jax.jit(folded, donate_argnums=0, out_shardings=devices.replicated())
    jit_segment = jax.jit(segment, donate_argnums=0, out_shardings=devices.replicated())

    def epoch(
        state: TrainState, data: Resident, draws: Int[np.ndarray, " draws"], key: Key[Array, ""]
    ) -> tuple[TrainState, Float[np.ndarray, " steps"]]:
        rows, mask = batches(draws, batch)
        steps = len(rows)
        losses = []
        if driver == "loop":
            for i in range(steps):
                row, keep = devices.shard(rows[i]), devices.shard(mask[i])
                state, loss = jit_step(state, data, row, keep, key, np.int32(i))
                losses.append(loss)
            return state, np.array(jax.device_get(losses))
        fill = [(0, -steps % SEGMENT), (0, 0)]
        rows, mask = np.pad(rows, fill), np.pad(mask, fill)
        for first in range(0, steps, SEGMENT):
            part = slice(first, first + SEGMENT)
            row, keep = devices.shard(rows[part], axis=1), devices.shard(mask[part], axis=1)
            state, loss = jit_segment(state, data, row, keep, key, np.int32(first))
            losses.append(loss)
        return state, np.concatenate(jax.device_get(losses))[:steps]

    return epoch
