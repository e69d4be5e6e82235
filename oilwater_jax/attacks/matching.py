"""Gradient matching: training images changed within eps so that training on them moves the network as training
on the targets with the intended label would.

The pure core of the GM attack: the loss, its derivative in the pixels and a step (`crafting` repeats it, `pieces` is
the same step for more poisons than a device has room for). Who the poisons and targets are, and which network the
victim is, the caller says. The victim's network is frozen and in evaluation mode.

Milliseconds for one step of 8 restarts of 47 poisons of 32x32, the CNN of widths 16, 32, 64, on 2 x86 cores
(on one): restarts in a Python loop 70 (97); under vmap, where convolutions of per-restart gradients become
grouped ones, 207 (284). With the pixel gradient as plain reverse over reverse: 120 (187), 248 (411), and 675
(1203) under lax.map, where XLA's CPU backend runs convolutions by a slow path. What is left is the network's
convolutions: 34 of the 70 are the parameters' gradient itself, 3 the augmentation; driving costs nothing
measurable.

References: Geiping et al. 2021, Witches' Brew (section 3, algorithm 1; signed Adam, restarts, differentiable
augmentation).
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from oilwater_jax.attacks.augment import augment
from oilwater_jax.per_sample import Apply, Params
from oilwater_jax.per_sample import loss as sample_loss

Prepare = Callable[[Float[Array, "b h w c"]], Float[Array, "b h w c"]]

TINY = 1e-30  # added to squared norms: a vanished gradient has cosine 0, and a derivative


class CraftState(NamedTuple):
    """What the steps of some restarts change, each array with the restarts as first axis."""

    delta: Float[Array, "..."]  # in pixels
    adam: Any


class Problem(NamedTuple):
    """All that a batch's loss depends on, but its images and key; traced."""

    params: Params
    target_gradient: Params
    label: Int[Array, " b"]
    shift: float | Float[Array, ""]
    flip: bool | Bool[Array, ""]


def _mean_loss(
    apply: Apply, prepare: Prepare, params: Params, image: Float[Array, "b h w c"], label: Int[Array, " b"]
) -> Float[Array, ""]:
    logits, _ = apply(params, prepare(image))
    return jnp.mean(jax.vmap(sample_loss)(logits, label))


_gradient = jax.grad(_mean_loss, argnums=2)
_jit_gradient = jax.jit(_gradient, static_argnums=(0, 1))


def target_gradient(
    apply: Apply, prepare: Prepare, params: Params, image: UInt8[np.ndarray, "t h w c"], label: int
) -> Params:
    """Gradient, with respect to all parameters, of the targets' mean cross-entropy with the intended label.

    `label` is a class, not looked at further. Raises ValueError for no targets, and for a gradient that is zero
    (the network is already certain of the intended label) or not finite: nothing can be matched then.
    """
    if not len(image):
        raise ValueError("target_gradient: no targets")
    gradient = _jit_gradient(
        apply, prepare, params, jnp.asarray(image, jnp.float32), np.full(len(image), label, np.int32)
    )
    norm = float(jnp.sqrt(_dot(gradient, gradient)))
    if not 0 < norm < math.inf:
        raise ValueError(f"target_gradient: the norm of the targets' gradient with label {label} is {norm}")
    return gradient


def _dot(one: Params, other: Params) -> Float[Array, ""]:
    products = jax.tree.map(lambda a, b: jnp.sum(a * b), one, other)
    return jnp.sum(jnp.stack(jax.tree.leaves(products)))


def distance(one: Params, other: Params) -> Float[Array, ""]:
    """1 - cosine of two trees as vectors, in 0..2; 1, with derivative 0, where either vanishes."""
    norms = [jnp.sqrt(_dot(tree, tree) + TINY) for tree in (one, other)]
    return 1 - _dot(one, other) / norms[0] / norms[1]  # the norms' product could underflow


def matching_loss(
    apply: Apply, prepare: Prepare, problem: Problem, image: Float[Array, "b h w c"], key: Key[Array, ""]
) -> Float[Array, ""]:
    """1 - cosine between the target gradient and that of the augmented poisons' mean cross-entropy.

    One cosine over all parameters jointly. `image` is in pixels 0..255; `prepare` makes it the network's input.
    """
    p = problem
    gradient = _gradient(apply, prepare, p.params, augment(image, key, p.shift, p.flip), p.label)
    return distance(gradient, p.target_gradient)


def loss_and_pixel_gradient(
    apply: Apply, prepare: Prepare, problem: Problem, image: Float[Array, "b h w c"], key: Key[Array, ""]
) -> tuple[Float[Array, ""], Float[Array, "b h w c"]]:
    """`jax.value_and_grad` of `matching_loss` in `image`, at about half its cost.

    With g(x) the poisons' gradient and v the distance's derivative at g, the derivative of distance(g(x)) is that
    of <v, g(x)> with v held fixed; and <v, g(x)> is the mean cross-entropy's directional derivative along v in
    the parameters, one forward pass. Its reverse pass stops at the pixels and forms no weight gradients.
    """
    p = problem

    def mean_loss(params: Params, image: Float[Array, "b h w c"]) -> Float[Array, ""]:
        return _mean_loss(apply, prepare, params, augment(image, key, p.shift, p.flip), p.label)

    loss, v = jax.value_and_grad(distance)(jax.grad(mean_loss)(p.params, image), p.target_gradient)

    def along_v(image: Float[Array, "b h w c"]) -> Float[Array, ""]:
        return jax.jvp(lambda params: mean_loss(params, image), (p.params,), (v,))[1]

    return loss, jax.grad(along_v)(image)


def _project(
    delta: Float[Array, "b h w c"], clean: Float[Array, "b h w c"], eps: Float[Array, ""]
) -> Float[Array, "b h w c"]:
    """The nearest delta within eps that keeps the pixels in 0..255."""
    return jnp.clip(delta, jnp.maximum(-eps, -clean), jnp.minimum(eps, 255 - clean))


@jax.jit
def begin(clean: Float[Array, "b h w c"], eps: Float[Array, ""], keys: Key[Array, " r"]) -> CraftState:
    """Each restart's first delta, N(0, 1) eps projected, and its Adam."""

    def one(key: Key[Array, ""]) -> CraftState:
        delta = _project(eps * jax.random.normal(key, clean.shape), clean, eps)
        return CraftState(delta, optax.scale_by_adam().init(delta))

    return jax.vmap(one)(keys)


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=5)
def step(
    apply: Apply,
    prepare: Prepare,
    problem: Problem,
    clean: Float[Array, "b h w c"],
    eps: Float[Array, ""],
    state: CraftState,
    keys: Key[Array, " r"],
    i: Int[np.ndarray, ""] | Int[Array, ""],
    rate: Float[np.ndarray, ""] | Float[Array, ""],
) -> tuple[CraftState, Float[Array, " r"]]:
    """One signed-Adam step of r restarts, each with `fold_in(key, i)`; the losses are those before it."""

    def one(state: CraftState, key: Key[Array, ""]) -> tuple[CraftState, Float[Array, ""]]:
        step_key = jax.random.fold_in(key, i)
        loss, gradient = loss_and_pixel_gradient(apply, prepare, problem, clean + state.delta, step_key)
        return moved(state, gradient, clean, eps, rate), loss

    return jax.vmap(one)(state, keys)


def moved(
    state: CraftState,
    gradient: Float[Array, "b h w c"],
    clean: Float[Array, "b h w c"],
    eps: Float[Array, ""],
    rate: Float[np.ndarray, ""] | Float[Array, ""],
) -> CraftState:
    """One restart's state after a step of signed Adam along a gradient in the pixels."""
    update, adam = optax.scale_by_adam().update(jnp.sign(gradient), state.adam)
    return CraftState(_project(state.delta - rate * jnp.asarray(update), clean, eps), adam)
