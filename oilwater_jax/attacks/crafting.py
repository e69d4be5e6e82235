"""Craft the poisons of GM: all restarts, with as many restarts and poisons at once as fit on a device.

References: Geiping et al. 2021, Witches' Brew (algorithm 1).
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt8

from oilwater_jax import devices
from oilwater_jax.attacks import matching, pieces
from oilwater_jax.attacks.matching import Prepare, Problem
from oilwater_jax.per_sample import Apply, Params, activation_bytes

Listener = Callable[[int, int, float], None]

# Parts of the steps after which the step size falls to a tenth: 93, 156 and 218 of 250.
DECAY_AT = (3 / 8, 5 / 8, 7 / 8)
FINAL_DRAWS = 8  # augmentations that a restart's final loss is the mean over, the same for every restart
SHARE = 0.8  # of a device's memory that crafting may take
LISTEN_EVERY = 10  # steps; each report waits for the device
STATE, COMMON = (
    5,
    2,
)  # float images that a restart (delta, Adam's two, gradient, sum) and all restarts keep of a poison
WEIGHTS = 6  # trees of the parameters' size: they, the target's gradient, the sum, its direction, and two in the making


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


class Room(NamedTuple):
    """Sizes of the work: restarts per dispatch, and poisons per piece.

    Pieces of fewer than all poisons are for one restart at a time.
    """

    restarts: int
    poisons: int


_jit_loss = jax.jit(matching.matching_loss, static_argnums=(0, 1))


def _final_losses(
    apply: Apply,
    prepare: Prepare,
    problem: Problem,
    image: list[UInt8[np.ndarray, "b h w c"]],
    rows: int,
    key: Key[Array, ""],
) -> Float[np.ndarray, " r"]:
    """Each restart's mean loss over the same FINAL_DRAWS augmentations."""

    def loss(one: Float[Array, "b h w c"], draw: Key[Array, ""]) -> Float[Array, ""]:
        if rows == len(one):
            return _jit_loss(apply, prepare, problem, one, draw)
        return pieces.matching_loss(apply, prepare, rows, problem, one, jnp.zeros_like(one)[None], draw)

    draws = [jax.random.fold_in(key, draw) for draw in range(FINAL_DRAWS)]
    losses = [[loss(jnp.asarray(one, jnp.float32), draw) for draw in draws] for one in image]
    return np.mean(jax.device_get(losses), axis=1)


def _round(
    image: UInt8[np.ndarray, "b h w c"], delta: Float[np.ndarray, "r b h w c"], eps: float
) -> UInt8[np.ndarray, "r b h w c"]:
    """Whole pixels no further than eps from the image: a fractional eps must not be rounded up."""
    change = np.clip(np.rint(delta), -math.floor(eps), math.floor(eps))
    return np.clip(image[None] + change, 0, 255).astype(np.uint8)


def rates(settings: Settings) -> Float[np.ndarray, " steps"]:
    """The step size of each step, in the units of eps."""
    falls = [max(1, math.floor(part * settings.steps)) for part in DECAY_AT]
    fallen = np.searchsorted(falls, np.arange(settings.steps), side="right")
    return (settings.step_size * settings.eps * 0.1**fallen).astype(np.float32)


def room(
    apply: Apply, params: Params, shape: tuple[int, ...], *, restarts: int, platform: str, memory: int
) -> Room:
    """Default sizes of the work: one restart on a CPU, elsewhere as much as fits on a device.

    `shape` is that of all images [b, h, w, c], `memory` the device's in bytes. A poison's loss and its pixel gradient
    keep the forward pass on it and that pass's derivative along the target's gradient; beside these, what lies on
    the device all along. Where not even one restart of all poisons has room, its poisons go in pieces of nearly equal
    size, at least one in each. The restarts of a dispatch divide `restarts`.
    """
    n, (height, width, channels) = shape[0], shape[1:]
    each = 2 * activation_bytes(apply, params, shape[1:])
    image = 4 * height * width * channels
    kept = WEIGHTS * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(params))
    left = int(SHARE * memory) - kept - COMMON * n * image
    most = left // (n * (each + STATE * image))
    if most < 1:
        rows = min(n, max(1, (left - STATE * n * image) // each))
        return Room(1, -(-n // -(-n // rows)))
    if platform == "cpu":
        return Room(1, n)
    return Room(max(one for one in range(1, restarts + 1) if restarts % one == 0 and one <= most), n)


def _check(image: np.ndarray, settings: Settings, at_once: Room | None) -> None:
    n, restarts = len(image), settings.restarts
    if not n:
        raise ValueError("craft: no images")
    if not 0 <= settings.eps <= 255:
        raise ValueError(f"craft: eps must be in 0..255, not {settings.eps}")
    if settings.steps < 1 or restarts < 1:
        raise ValueError(f"craft: {settings.steps} steps, {restarts} restarts; at least 1 of each")
    if at_once is None:
        return
    if at_once.restarts < 1 or restarts % at_once.restarts:
        raise ValueError(f"craft: {restarts} restarts cannot run {at_once.restarts} at once")
    if not 1 <= at_once.poisons <= n or (at_once.restarts > 1 and at_once.poisons < n):
        raise ValueError(
            f"craft: {n} poisons in pieces of {at_once.poisons}, {at_once.restarts} restarts at once"
        )


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
    listener: Listener = lambda step, of, loss: None,
    at_once: Room | None = None,
) -> Crafted:
    """Poisons from `image`, no pixel further than eps from where it was; of all restarts the one that ends best.

    A restart's final loss is the mean over FINAL_DRAWS augmentations of its rounded images, the same for all
    restarts. `listener(steps done, of, lowest loss)` hears every LISTEN_EVERY steps of the restarts at work, and when
    they end. `at_once` is what shares a dispatch, by default what `room` says; figures depend on it by rounding only.
    Restart r draws by `fold_in(key, r)`, whatever the others do. One compilation serves all settings.
    Raises ValueError for no images or settings out of range.

    Edge case      Result
    eps 0          the images unchanged
    eps 0.9        the images unchanged: pixels are whole
    """
    _check(image, settings, at_once)
    if at_once is None:
        platform, memory = jax.default_backend(), devices.memory()
        at_once = room(
            apply, params, image.shape, restarts=settings.restarts, platform=platform, memory=memory
        )
    shift, flip = jnp.float32(settings.shift), jnp.asarray(settings.flip)
    problem = Problem(params, target_gradient, jnp.asarray(label), shift, flip)
    clean, eps = jnp.asarray(image, jnp.float32), jnp.float32(settings.eps)
    restart_key, final_key = jax.random.split(key)
    keys = [jax.random.fold_in(restart_key, r) for r in range(settings.restarts)]
    groups = [jnp.stack(keys[at : at + at_once.restarts]) for at in range(0, len(keys), at_once.restarts)]
    step = matching.step
    if at_once.poisons < len(image):
        step = functools.partial(pieces.step, rows=at_once.poisons)
    total = len(groups) * settings.steps
    rounded, history = [], []
    for number, group in enumerate(groups):
        state, losses = matching.begin(clean, eps, group), []
        for i, rate in enumerate(rates(settings)):
            state, loss = step(
                apply, prepare, problem, clean, eps, state, group, np.asarray(i, np.int32), np.asarray(rate)
            )
            losses.append(loss)
            # Only here is the device waited for; in between the host runs ahead of it.
            if (i + 1) % LISTEN_EVERY == 0 or i + 1 == settings.steps:
                listener(number * settings.steps + i + 1, total, float(np.min(jax.device_get(loss))))
        rounded += list(_round(image, np.asarray(state.delta), settings.eps))
        history.append(np.stack(jax.device_get(losses), axis=1))
    final = _final_losses(apply, prepare, problem, rounded, at_once.poisons, final_key)
    return Crafted(rounded[np.nanargmin(final)], final, np.concatenate(history))
