"""Augmentation that gradients pass through: random mirroring and sub-pixel shift."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key


def augment(
    image: Float[Array, "b h w c"],
    key: Key[Array, ""],
    shift: float | Float[Array, ""],
    flip: bool | Bool[Array, ""],
) -> Float[Array, "b h w c"]:
    """Flip each image left-right with probability 1/2 (if `flip`), then shift it by its own random (dy, dx).

    dy and dx are uniform in [-shift, shift] pixels; bilinear, edges repeated; linear in the image. `shift` and
    `flip` may be traced.

    Edge case                 Result
    shift 0, flip False       the images unchanged
    whole-pixel move          pixels moved, none mixed
    """
    return jax.vmap(resample)(image, *draw(len(image), image.dtype, key, shift, flip))


def draw(
    b: int,
    dtype: Any,
    key: Key[Array, ""],
    shift: float | Float[Array, ""],
    flip: bool | Bool[Array, ""],
) -> tuple[Float[Array, "b 2"], Bool[Array, " b"]]:
    """The moves of b images in pixels, and which of them are mirrored: what `resample` takes."""
    move_key, flip_key = jax.random.split(key)
    move = shift * jax.random.uniform(move_key, (b, 2), dtype, -1.0, 1.0)
    return move, jax.random.bernoulli(flip_key, 0.5, (b,)) & flip


def resample(
    image: Float[Array, "h w c"], move: Float[Array, "2"], mirrored: Bool[Array, ""]
) -> Float[Array, "h w c"]:
    """One image, mirrored left-right if asked, then moved down and right by `move` pixels, edges repeated.

    Two small matrix products instead of a gather, whose derivative would be a scatter.
    """
    h, w, _ = image.shape
    row = _source(h, move[0], image.dtype)
    column = _source(w, move[1], image.dtype)
    column = jnp.where(mirrored, w - 1 - column, column)
    # Full precision: an accelerator's default would round pixels to 8 bits of mantissa.
    highest = jax.lax.Precision.HIGHEST
    return jnp.einsum("ij,kl,jlc->ikc", _weights(row), _weights(column), image, precision=highest)


def _source(size: int, move: Float[Array, ""], dtype: Any) -> Float[Array, " n"]:
    """Where along the line each pixel of a moved line comes from."""
    return jnp.clip(jnp.arange(size, dtype=dtype) - move, 0, size - 1)


def _weights(source: Float[Array, " n"]) -> Float[Array, "n n"]:
    """Linear interpolation as a matrix: the share of each old pixel (column) in each new one (row)."""
    old = jnp.arange(len(source), dtype=source.dtype)
    return jnp.maximum(0, 1 - jnp.abs(source[:, None] - old[None, :]))
