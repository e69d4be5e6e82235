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
    """Each image mirrored left-right by a coin of its own (if `flip`), then moved by its own (dy, dx).

    dy and dx are uniform in [-shift, shift] pixels; bilinear, edges repeated; linear in the image. `shift` and
    `flip` may be traced.

    Edge case                 Result
    shift 0, flip False       the images unchanged
    whole-pixel move          pixels moved, none mixed
    """
    b = len(image)
    move_key, flip_key = jax.random.split(key)
    move = shift * jax.random.uniform(move_key, (b, 2), image.dtype, -1.0, 1.0)
    mirrored = jax.random.bernoulli(flip_key, 0.5, (b,)) & flip
    return jax.vmap(resample)(image, move, mirrored)


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
