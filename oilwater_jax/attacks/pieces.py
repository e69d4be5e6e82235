"""A step of gradient matching for more poisons than fit on a device: two passes over pieces of them.

The loss is the cosine of a sum over all poisons, so no piece has a loss of its own. The first pass adds the pieces'
gradients up and yields the loss and its derivative v at the sum; the second takes each piece's pixel gradient along v.
That is `matching.loss_and_pixel_gradient` of all poisons at once but for the order of the sums: the same draws, the
same poisons. It costs one forward pass more than a step in one piece, where the gradient and its derivative share it.

What lies on the device meanwhile is the images, one restart's state and gradient, and one piece's activations. The last
piece begins early enough to be full; what it has in common with the one before counts nothing there.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from oilwater_jax.attacks import matching
from oilwater_jax.attacks.augment import draw, resample
from oilwater_jax.attacks.matching import CraftState, Prepare, Problem
from oilwater_jax.per_sample import Apply, Params
from oilwater_jax.per_sample import loss as sample_loss

Pixels = Float[Array, "b h w c"]
Delta = Float[Array, "1 b h w c"]  # of one restart, as its state has it
Scalar = Int[np.ndarray, ""] | Int[Array, ""]
Rate = Float[np.ndarray, ""] | Float[Array, ""]


class _Piece(NamedTuple):
    """Some of the poisons, with the augmentation that is theirs and each one's part in the mean (0: another's)."""

    image: Float[Array, "p h w c"]
    label: Int[Array, " p"]
    move: Float[Array, "p 2"]
    mirrored: Bool[Array, " p"]
    part: Float[Array, " p"]
    at: Int[Array, ""]  # where it begins


def _cut(
    problem: Problem, rows: int, clean: Pixels, delta: Delta, key: Key[Array, ""], first: Scalar
) -> _Piece:
    n = len(clean)
    at = jnp.minimum(first, n - rows)
    move, mirrored = draw(n, clean.dtype, key, problem.shift, problem.flip)

    def own(array: Array) -> Array:
        return jax.lax.dynamic_slice_in_dim(array, at, rows)

    part = jnp.where(at + jnp.arange(rows) >= first, 1 / n, 0).astype(clean.dtype)
    return _Piece(own(clean) + own(delta[0]), own(problem.label), own(move), own(mirrored), part, at)


def _part_of_loss(
    apply: Apply, prepare: Prepare, params: Params, image: Pixels, piece: _Piece
) -> Float[Array, ""]:
    """A piece's part of all poisons' mean cross-entropy; `image` stands for its images."""
    augmented = jax.vmap(resample)(image, piece.move, piece.mirrored)
    logits, _ = apply(params, prepare(augmented))
    return jnp.sum(piece.part * jax.vmap(sample_loss)(logits, piece.label))


@functools.partial(jax.jit, static_argnums=(0, 1, 2), donate_argnums=3)
def add_gradient(
    apply: Apply,
    prepare: Prepare,
    rows: int,
    total: Params,
    problem: Problem,
    clean: Pixels,
    delta: Delta,
    key: Key[Array, ""],
    first: Scalar,
) -> Params:
    """`total` and the gradient of the piece of `rows` poisons from `first` on; `total` is given away."""
    piece = _cut(problem, rows, clean, delta, key, first)
    gradient = jax.grad(_part_of_loss, argnums=2)(apply, prepare, problem.params, piece.image, piece)
    return jax.tree.map(jnp.add, total, gradient)


@jax.jit
def direction(total: Params, problem: Problem) -> tuple[Float[Array, ""], Params]:
    """The loss of all poisons' gradient, and its derivative there."""
    return jax.value_and_grad(matching.distance)(total, problem.target_gradient)


@functools.partial(jax.jit, static_argnums=(0, 1, 2), donate_argnums=3)
def set_pixel_gradient(
    apply: Apply,
    prepare: Prepare,
    rows: int,
    whole: Pixels,
    v: Params,
    problem: Problem,
    clean: Pixels,
    delta: Delta,
    key: Key[Array, ""],
    first: Scalar,
) -> Pixels:
    """`whole` with the pixel gradient of the piece from `first` on in its place; `whole` is given away."""
    piece = _cut(problem, rows, clean, delta, key, first)

    def along_v(image: Pixels) -> Float[Array, ""]:
        return jax.jvp(
            lambda params: _part_of_loss(apply, prepare, params, image, piece), (problem.params,), (v,)
        )[1]

    gradient = jax.grad(along_v)(piece.image)
    before = jax.lax.dynamic_slice_in_dim(whole, piece.at, rows)
    own = (piece.part > 0)[:, None, None, None]
    return jax.lax.dynamic_update_slice_in_dim(whole, jnp.where(own, gradient, before), piece.at, 0)


def _firsts(n: int, rows: int) -> list[np.ndarray]:
    return [np.asarray(first, np.int32) for first in range(0, n, rows)]


def gradient(
    apply: Apply,
    prepare: Prepare,
    rows: int,
    problem: Problem,
    clean: Pixels,
    delta: Delta,
    key: Key[Array, ""],
) -> Params:
    """The gradient of the mean cross-entropy of `clean + delta`, all augmented, `rows` poisons at a time."""
    total = jax.tree.map(jnp.zeros_like, problem.params)
    for first in _firsts(len(clean), rows):
        total = add_gradient(apply, prepare, rows, total, problem, clean, delta, key, first)
    return total


def matching_loss(
    apply: Apply,
    prepare: Prepare,
    rows: int,
    problem: Problem,
    clean: Pixels,
    delta: Delta,
    key: Key[Array, ""],
) -> Float[Array, ""]:
    """`matching.matching_loss` of `clean + delta`, `rows` poisons at a time."""
    return direction(gradient(apply, prepare, rows, problem, clean, delta, key), problem)[0]


def loss_and_pixel_gradient(
    apply: Apply,
    prepare: Prepare,
    rows: int,
    problem: Problem,
    clean: Pixels,
    delta: Delta,
    key: Key[Array, ""],
) -> tuple[Float[Array, ""], Pixels]:
    """`matching.loss_and_pixel_gradient` of `clean + delta`, `rows` poisons at a time."""
    loss, v = direction(gradient(apply, prepare, rows, problem, clean, delta, key), problem)
    whole = jnp.zeros_like(clean)
    for first in _firsts(len(clean), rows):
        whole = set_pixel_gradient(apply, prepare, rows, whole, v, problem, clean, delta, key, first)
    return loss, whole


@functools.partial(jax.jit, donate_argnums=0)
def _move(
    state: CraftState, gradient: Pixels, clean: Pixels, eps: Float[Array, ""], rate: Rate
) -> CraftState:
    return jax.vmap(matching.moved, in_axes=(0, 0, None, None, None))(state, gradient[None], clean, eps, rate)


_fold_in = jax.jit(jax.random.fold_in)


def step(
    apply: Apply,
    prepare: Prepare,
    problem: Problem,
    clean: Pixels,
    eps: Float[Array, ""],
    state: CraftState,
    keys: Key[Array, "1"],
    i: Scalar,
    rate: Rate,
    *,
    rows: int,
) -> tuple[CraftState, Float[Array, "1"]]:
    """`matching.step` of one restart, `rows` poisons at a time; the state is given away."""
    key = _fold_in(keys[0], i)
    loss, pixels = loss_and_pixel_gradient(apply, prepare, rows, problem, clean, state.delta, key)
    return _move(state, pixels, clean, eps, rate), loss[None]
