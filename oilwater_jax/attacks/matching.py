"""Gradient matching: training images changed within eps so that training on them moves the network as training
on the targets with the intended label would.

The pure core of the GM attack: who the poisons and targets are, and which network the victim is, the caller says.
The victim's network is frozen and in evaluation mode.

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

from oilwater_jax import devices
from oilwater_jax.attacks.augment import augment
from oilwater_jax.per_sample import Apply, Params, activation_bytes
from oilwater_jax.per_sample import loss as sample_loss

Prepare = Callable[[Float[Array, "b h w c"]], Float[Array, "b h w c"]]
Listener = Callable[[int, float], None]

# Parts of the steps after which the step size falls to a tenth: 93, 156 and 218 of 250.
DECAY_AT = (3 / 8, 5 / 8, 7 / 8)
FINAL_DRAWS = 8  # augmentations that a restart's final loss is the mean over, the same for every restart
SHARE = 0.8  # of an accelerator's memory that restarts may take together
LISTEN_EVERY = 10  # steps; each report waits for the device
TINY = 1e-30  # added to squared norms: a vanished gradient has cosine 0, and a derivative


class Settings(NamedTuple):
    """How poisons are crafted; numbers to the compiled step, so that changing them compiles nothing."""

    eps: float = 16.0  # largest change of a pixel, in pixel steps of 0..255
    steps: int = 250
    restarts: int = 8
    step_size: float = 0.1  # in units of eps
    shift: float = 2.0  # largest shift of the augmentation, in pixels
    flip: bool = False  # whether half the augmented images are mirrored


class Crafted(NamedTuple):
    """The poisons of the best restart, every restart's final loss, and the loss before each step's update."""

    image: UInt8[np.ndarray, "b h w c"]
    losses: Float[np.ndarray, " restarts"]
    history: Float[np.ndarray, "restarts steps"]


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
        update, adam = optax.scale_by_adam().update(jnp.sign(gradient), state.adam)
        return CraftState(_project(state.delta - rate * jnp.asarray(update), clean, eps), adam), loss

    return jax.vmap(one)(state, keys)


_jit_loss = jax.jit(matching_loss, static_argnums=(0, 1))


def _final_losses(
    apply: Apply,
    prepare: Prepare,
    problem: Problem,
    image: UInt8[np.ndarray, "r b h w c"],
    key: Key[Array, ""],
) -> Float[np.ndarray, " r"]:
    """Each restart's mean loss over the same FINAL_DRAWS augmentations."""
    draws = [jax.random.fold_in(key, draw) for draw in range(FINAL_DRAWS)]
    losses = [
        [_jit_loss(apply, prepare, problem, jnp.asarray(one, jnp.float32), draw) for draw in draws]
        for one in image
    ]
    return np.mean(jax.device_get(losses), axis=1)


def _round(
    image: UInt8[np.ndarray, "b h w c"], delta: Float[np.ndarray, "r b h w c"], eps: float
) -> UInt8[np.ndarray, "r b h w c"]:
    """Whole pixels no further than eps from the image: a fractional eps must not be rounded up."""
    change = np.clip(np.rint(delta), -math.floor(eps), math.floor(eps))
    return np.clip(image[None] + change, 0, 255).astype(np.uint8)


def rates(settings: Settings) -> Float[np.ndarray, " steps"]:
    """The step size of each step, in pixels."""
    falls = [max(1, math.floor(part * settings.steps)) for part in DECAY_AT]
    fallen = np.searchsorted(falls, np.arange(settings.steps), side="right")
    return (settings.step_size * settings.eps * 0.1**fallen).astype(np.float32)


def default_at_once(
    apply: Apply, params: Params, shape: tuple[int, ...], *, restarts: int, platform: str, memory: int
) -> int:
    """How many restarts share a dispatch if nobody says: 1 on a CPU, elsewhere all that a device has room for.

    `shape` is that of all images [b, h, w, c], `memory` the device's in bytes. A restart keeps the forward pass on each
    image and its derivative along the target's gradient. Divides `restarts`; at least 1.
    """
    if platform == "cpu":
        return 1
    each = 2 * shape[0] * activation_bytes(apply, params, shape[1:])
    most = max(1, int(SHARE * memory) // max(each, 1))
    return max(count for count in range(1, restarts + 1) if restarts % count == 0 and count <= most)


def _check(image: np.ndarray, settings: Settings, at_once: int) -> None:
    if not len(image):
        raise ValueError("craft: no images")
    if not 0 <= settings.eps <= 255:
        raise ValueError(f"craft: eps must be in 0..255, not {settings.eps}")
    if settings.steps < 1 or settings.restarts < 1:
        raise ValueError(f"craft: {settings.steps} steps, {settings.restarts} restarts; at least 1 of each")
    if at_once < 1 or settings.restarts % at_once:
        raise ValueError(f"craft: {settings.restarts} restarts cannot run {at_once} at once")


def craft(
    apply: Apply,
    prepare: Prepare,
    params: Params,
    *,
    image: UInt8[np.ndarray, "b h w c"],
    label: Int[np.ndarray, " b"],
    target_gradient: Params,
    settings: Settings,
    key: Key[Array, ""],
    listener: Listener = lambda step, loss: None,
    at_once: int | None = None,
) -> Crafted:
    """Poisons from `image`, no pixel further than eps from where it was; of all restarts the one that ends best.

    A restart's final loss is the mean over FINAL_DRAWS augmentations of its rounded images, the same for all
    restarts. `listener(steps done, lowest loss)` hears every LISTEN_EVERY steps and at the end. `at_once` restarts
    share a dispatch: by default 1 on a CPU and as many as have room elsewhere; it must divide `restarts`.
    Restart r draws by `fold_in(key, r)`, whatever the others do. One compilation serves all settings.
    Raises ValueError for no images or settings out of range.

    Edge case      Result
    eps 0          the images unchanged
    eps 0.9        the images unchanged: pixels are whole
    """
    if at_once is None:
        at_once = default_at_once(
            apply,
            params,
            image.shape,
            restarts=settings.restarts,
            platform=jax.default_backend(),
            memory=devices.memory(),
        )
    _check(image, settings, at_once)
    shift, flip = jnp.float32(settings.shift), jnp.asarray(settings.flip)
    problem = Problem(params, target_gradient, jnp.asarray(label), shift, flip)
    clean, eps = jnp.asarray(image, jnp.float32), jnp.float32(settings.eps)
    restart_key, final_key = jax.random.split(key)
    keys = [jax.random.fold_in(restart_key, r) for r in range(settings.restarts)]
    groups = [jnp.stack(keys[first : first + at_once]) for first in range(0, len(keys), at_once)]
    states = [begin(clean, eps, group) for group in groups]
    history = []
    for i, rate in enumerate(rates(settings)):
        losses = []
        for at, group in enumerate(groups):
            states[at], loss = step(
                apply,
                prepare,
                problem,
                clean,
                eps,
                states[at],
                group,
                np.asarray(i, np.int32),
                np.asarray(rate),
            )
            losses.append(loss)
        history.append(losses)
        # Only here is the device waited for; in between the host runs ahead of it.
        if (i + 1) % LISTEN_EVERY == 0 or i + 1 == settings.steps:
            listener(i + 1, float(np.min(jax.device_get(losses))))
    delta = np.concatenate([np.asarray(state.delta) for state in states])
    rounded = _round(image, delta, settings.eps)
    final = _final_losses(apply, prepare, problem, rounded, final_key)
    steps = [np.concatenate(losses) for losses in jax.device_get(history)]
    return Crafted(rounded[np.nanargmin(final)], final, np.stack(steps, axis=1))
