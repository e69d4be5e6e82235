"""Run an epoch, as a loop or a scan, behind one function.

`lax.scan` over segments of steps, one dispatch each; or a Python loop over the jitted step, for a network with
convolutions on a CPU, because XLA's CPU backend runs a convolution inside a while-loop on one thread by a slow path
(`program.Network.driver` says which). Both give the same states. A streamed training set is a loop over its batches on
any backend. On several devices each works on its part of every batch.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int, Key

from oilwater_jax import devices
from oilwater_jax.training.feed import Batch, Resident, Streamed
from oilwater_jax.training.step import StepFn, TrainState

SEGMENT = 32  # steps per dispatch on an accelerator, and between two looks at the clock anywhere

# The state, the losses of the steps since the last, and how many steps the whole epoch has.
Segments = Iterator[tuple[TrainState, Float[np.ndarray, " steps"], int]]
EpochFn = Callable[
    [TrainState, Resident | Streamed, Int[np.ndarray, " draws"], Key[Array, ""], int], Segments
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
    """The compiled functions that an epoch consists of; all donate the state.

    `sent(state, batch, key, i)` is a step on a batch that was sent, `step(state, data, rows [b], mask [b], key, i)` one
    on rows of a resident set, `segment(state, data, rows [s, b], mask [s, b], key, first)` s = SEGMENT of these.
    """

    sent: Any  # of jax.stages.Wrapped, which says nothing of arguments
    step: Any
    segment: Any


def make_dispatches(step: StepFn, over: Mesh | None) -> Dispatches:
    """A step compiled for the devices of `over` (all of them, if None), when it is first called or lowered."""

    def sent(state: TrainState, data: Batch, key: Key[Array, ""], i: Array) -> tuple[TrainState, Array]:
        return step(state, data, jax.random.fold_in(key, i))

    def picked(
        state: TrainState, data: Resident, rows: Array, mask: Array, key: Key[Array, ""], i: Array
    ) -> tuple[TrainState, Array]:
        return sent(state, data.batch(rows, mask), key, i)

    def segment(
        state: TrainState, data: Resident, rows: Array, mask: Array, key: Key[Array, ""], first: Array
    ) -> tuple[TrainState, Array]:
        def body(state: TrainState, at: tuple[Array, Array, Array]) -> tuple[TrainState, Array]:
            row, keep, i = at
            # A step of padding only must leave the state (momentum, decay) untouched.
            return jax.lax.cond(
                jnp.any(keep),
                lambda s: picked(s, data, row, keep, key, i),
                lambda s: (s, jnp.float32(0)),
                state,
            )

        return jax.lax.scan(body, state, (rows, mask, first + jnp.arange(SEGMENT)))

    return Dispatches(
        *(
            jax.jit(function, donate_argnums=0, out_shardings=devices.replicated(over))
            for function in (sent, picked, segment)
        )
    )


def make_epoch(step: StepFn, batch: int, driver: str) -> EpochFn:
    """An epoch function `(state, data, draws, key, first) -> segments`, from step `first` on; the state is donated.

    Yields every SEGMENT steps and at the end: a place to save and to stop. Step i uses `fold_in(key, i)`. Raises
    ValueError for a `driver` that is neither "loop" nor "scan".
    """
    if driver not in ("loop", "scan"):
        raise ValueError(f"driver must be loop or scan, not {driver!r}")
    jit_sent, jit_step, jit_segment = make_dispatches(step, devices.mesh())

    def epoch(
        state: TrainState,
        data: Resident | Streamed,
        draws: Int[np.ndarray, " draws"],
        key: Key[Array, ""],
        first: int = 0,
    ) -> Segments:
        rows, mask = batches(draws, batch)
        steps = len(rows)
        stream = data.batches(rows, mask, first) if isinstance(data, Streamed) else iter(())
        for start in range(first, steps, SEGMENT):
            end = min(start + SEGMENT, steps)
            if isinstance(data, Resident) and driver == "scan":
                fill = [(0, start + SEGMENT - end), (0, 0)]
                row, keep = (devices.shard(np.pad(part[start:end], fill), axis=1) for part in (rows, mask))
                state, losses = jit_segment(state, data, row, keep, key, np.int32(start))
                yield state, jax.device_get(losses)[: end - start], steps
                continue
            losses = []
            for i in range(start, end):
                if isinstance(data, Streamed):
                    state, loss = jit_sent(state, next(stream), key, np.int32(i))
                else:
                    row, keep = devices.shard(rows[i]), devices.shard(mask[i])
                    state, loss = jit_step(state, data, row, keep, key, np.int32(i))
                losses.append(loss)
            yield state, np.array(jax.device_get(losses)), steps

    return epoch
