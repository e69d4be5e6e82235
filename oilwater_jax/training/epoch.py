"""How an epoch is driven, right for its backend, behind one function.

On a CPU: a Python loop over the jitted step, because XLA's CPU backend runs a convolution inside a
while-loop on one thread by a slow path. On an accelerator: `lax.scan` over segments of steps, one dispatch
each. Both give the same states. On several devices each works on its part of every batch.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
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


class Dispatches(NamedTuple):
    """The compiled functions that an epoch consists of; both donate the state.

    `step(state, data, rows [b], mask [b], key, i)` and `segment(state, data, rows [s, b], mask [s, b], key, first)`
    with s = SEGMENT steps.
    """

    step: Any  # of jax.stages.Wrapped, which says nothing of arguments
    segment: Any


def choose_driver(driver: str, platform: str) -> str:
    """For "auto" what suits the platform: loop on a CPU, scan elsewhere. Raises ValueError for an unknown driver."""
    if driver == "auto":
        return "loop" if platform == "cpu" else "scan"
    if driver not in ("loop", "scan"):
        raise ValueError(f"driver must be auto, loop or scan, not {driver!r}")
    return driver


def make_dispatches(step: StepFn, over: Mesh | None) -> Dispatches:
    """A step compiled for the devices of `over` (all of them, if None), when it is first called or lowered."""

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

    return Dispatches(
        *(
            jax.jit(function, donate_argnums=0, out_shardings=devices.replicated(over))
            for function in (folded, segment)
        )
    )


def make_epoch(step: StepFn, batch: int, driver: str = "auto") -> EpochFn:
    """An epoch function `(state, data, draws, key) -> (state, loss of each step)`; the state is donated.

    `driver` is "loop", "scan" or "auto" (loop on a CPU, scan elsewhere). Step i uses `fold_in(key, i)`.
    """
    driver = choose_driver(driver, jax.default_backend())
    jit_step, jit_segment = make_dispatches(step, devices.mesh())

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
