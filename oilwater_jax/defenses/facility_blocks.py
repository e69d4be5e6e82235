"""Exact greedy facility location for points in any dimension, in blocks, without the n x n matrix.

Stage: inside `facility_location`, which merges duplicates and scales distances.

A pick changes the loss of the points that it wins, about n / (number of medoids) of them, and other candidates'
gains only through these. So every candidate's gain is kept and lessened by what those points no longer offer:
about n^2 ln(k) distances in all, each computed where it is used. Subtracting rounds by the size of what was
subtracted from, so each gain carries a bound of its error; a candidate that might be the best but whose gain is
not known well enough for the comparison is evaluated anew, as in the lazy greedy.

References: Minoux 1978, "Accelerated greedy algorithms for maximizing submodular set functions".
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

BLOCK = 16  # rows at once: [BLOCK, n] numbers are what is held
UNROLL = 32  # dimensions up to here are summed in one fused expression


class Picks(NamedTuple):
    """State after a number of picks."""

    gain: Float[Array, " m"]  # of each candidate, up to `error`; -inf: chosen, or padding
    error: Float[Array, " m"]
    loss: Float[Array, " m"]  # of each point, to its most similar medoid
    nearest: Int[Array, " m"]  # that medoid's pick number
    medoids: Int[Array, " m"]  # in pick order
    number: Int[Array, ""]  # of picks so far


def losses(candidates: Float[Array, "b d"], points: Float[Array, "m d"]) -> Float[Array, "b m"]:
    """1 - exp(-distance), from differences: |a|^2 + |b|^2 - 2ab would lose half the digits of near points."""
    d = points.shape[1]
    if d <= UNROLL:
        columns = ((candidates[:, i, None] - points[None, :, i]) ** 2 for i in range(d))
        squared = functools.reduce(jnp.add, columns)
    else:

        def add(i: Int[Array, ""], total: Float[Array, "b m"]) -> Float[Array, "b m"]:
            return total + (candidates[:, i, None] - points[None, :, i]) ** 2

        squared = lax.fori_loop(0, d, add, jnp.zeros((len(candidates), len(points)), points.dtype))
    return -jnp.expm1(-jnp.sqrt(squared))


@jax.jit
def gains(
    candidates: Float[Array, "b d"],
    points: Float[Array, "m d"],
    weight: Float[Array, " m"],
    loss: Float[Array, " m"],
) -> Float[Array, " b"]:
    """By how much each candidate would lower sum_i weight_i loss_i."""
    return jnp.maximum(loss[None] - losses(candidates, points), 0.0) @ weight


@functools.partial(jax.jit, static_argnames="tie")
def greedy(
    points: Float[Array, "m d"],
    weight: Float[Array, " m"],
    n: Int[Array, ""],
    k: Int[Array, ""],
    *,
    tie: float,
) -> tuple[Int[Array, " m"], Int[Array, " m"]]:
    """The first k picks (entries from k on mean nothing), and the pick number of each point's nearest medoid.

    Rows from n on are padding of weight 0; m is a multiple of BLOCK; distances are already scaled. Of candidates
    whose gains are within the fraction `tie` of the best, the lowest row is picked; a point goes over to a later
    medoid only if that is nearer by more than this fraction.
    """
    m = len(points)
    row = jnp.arange(m)
    rounding = 16 * math.sqrt(m) * jnp.finfo(points.dtype).eps  # of a sum of m terms, with room to spare

    def first_gains(block: Int[Array, ""]) -> Float[Array, " b"]:
        candidates = lax.dynamic_slice_in_dim(points, block * BLOCK, BLOCK)
        return gains(candidates, points, weight, jnp.ones_like(weight))

    def in_doubt(picks: Picks) -> Bool[Array, " m"]:
        best = jnp.max(picks.gain)
        return (picks.gain + picks.error >= best * (1 - tie)) & (picks.error > 0.1 * tie * best)

    def look(picks: Picks) -> Picks:
        (rows,) = jnp.nonzero(in_doubt(picks), size=BLOCK, fill_value=m)
        exact = gains(points[jnp.minimum(rows, m - 1)], points, weight, picks.loss)
        return picks._replace(
            gain=picks.gain.at[rows].set(exact, mode="drop"),
            error=picks.error.at[rows].set(rounding * exact, mode="drop"),
        )

    def pick(picks: Picks) -> Picks:
        picks = lax.while_loop(lambda picks: jnp.any(in_doubt(picks)), look, picks)
        medoid = jnp.argmax(picks.gain >= jnp.max(picks.gain) * (1 - tie))
        own = losses(points[medoid][None], points)[0]
        loss = jnp.minimum(picks.loss, own)
        won = loss < picks.loss
        n_won = jnp.sum(won)
        (rows,) = jnp.nonzero(won, size=m, fill_value=m - 1)

        def lessen(block: Int[Array, ""], gain: Float[Array, " m"]) -> Float[Array, " m"]:
            at = block * BLOCK + jnp.arange(BLOCK)
            some = lax.dynamic_slice_in_dim(rows, block * BLOCK, BLOCK)
            apart = losses(points[some], points)
            before = jnp.maximum(picks.loss[some, None], apart)
            less = before - jnp.maximum(loss[some, None], apart)
            return gain - jnp.where(at < n_won, weight[some], 0.0) @ less

        gain = lax.fori_loop(0, (n_won + BLOCK - 1) // BLOCK, lessen, picks.gain)
        return Picks(
            gain=gain.at[medoid].set(-jnp.inf),
            error=picks.error,
            loss=loss,
            nearest=jnp.where(own < picks.loss * (1 - tie), picks.number, picks.nearest),
            medoids=picks.medoids.at[picks.number].set(medoid),
            number=picks.number + 1,
        )

    gain = lax.map(first_gains, jnp.arange(m // BLOCK)).reshape(m)
    nothing = jnp.zeros(m, row.dtype)
    start = Picks(
        gain=jnp.where(row < n, gain, -jnp.inf),
        error=rounding * gain,
        loss=jnp.ones(m, points.dtype),
        nearest=nothing,
        medoids=nothing,
        number=jnp.zeros((), row.dtype),
    )
    picks = lax.while_loop(lambda picks: picks.number < k, pick, start)
    return picks.medoids, picks.nearest


@functools.partial(jax.jit, static_argnames="tie")
def best_of(
    points: Float[Array, "m d"],
    weight: Float[Array, " m"],
    state: tuple[Float[Array, " m"], Int[Array, " m"]],
    rows: Int[Array, " r"],
    number: Int[Array, ""],
    *,
    tie: float,
) -> tuple[Int[Array, ""], tuple[Float[Array, " m"], Int[Array, " m"]]]:
    """One pick among `rows`, ascending up to repeats, r a multiple of BLOCK: the medoid and the next state.

    The state is each point's loss to its nearest medoid, and that medoid's pick number.
    """
    loss, nearest = state
    blocks = points[rows].reshape(-1, BLOCK, points.shape[1])
    gain = lax.map(lambda block: gains(block, points, weight, loss), blocks).reshape(-1)
    medoid = rows[jnp.argmax(gain >= jnp.max(gain) * (1 - tie))]
    own = losses(points[medoid][None], points)[0]
    nearer = own < loss * (1 - tie)
    return medoid, (jnp.minimum(loss, own), jnp.where(nearer, number, nearest))
