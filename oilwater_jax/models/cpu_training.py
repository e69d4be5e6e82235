"""Layers whose gradients over a batch are fast on a CPU: convolutions as matmuls, group norm with its ReLU.

XLA's CPU backend is slow at the gradients of convolutions (inside a loop, at convolutions altogether) and at group
norms, whose groups of a few channels it cannot vectorise. Here each layer has a derivative of its own, of matmuls and
of sums over channels. A network that trains by them computes what its flax module computes, up to rounding, on the
same parameters.

Layers with own derivatives know no forward mode, and a gradient of a gradient only by way of these. What needs single
samples' gradients keeps the module's `apply` (`per_sample.convolution`).
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

WINDOW = 3

# What a function keeps for its derivative.
Residuals = tuple[Any, ...]


def _padded(x: Float[Array, "b h w c"], stride: int) -> tuple[Float[Array, "b h3 w3 c"], int, int]:
    """The image with the zeros that flax's padding "SAME" gives it, and how many windows it has down and across."""
    pads = lax.padtype_to_pads(x.shape[1:3], (WINDOW, WINDOW), (stride, stride), "SAME")
    return jnp.pad(x, [(0, 0), *pads, (0, 0)]), -(-x.shape[1] // stride), -(-x.shape[2] // stride)


def columns(x: Float[Array, "b h w c"], stride: int) -> Float[Array, "b h2 w2 k"]:
    """For each position of a 3x3 window its 9c inputs, row by row.

    Three columns of all rows are put side by side first, then three rows of these: fewer, larger copies than nine.
    """
    x, high, wide = _padded(x, stride)
    if stride == 2:  # the first two of a window's columns lie side by side already
        pairs = x[:, :, : 2 * wide].reshape(*x.shape[:2], wide, 2 * x.shape[3])
        x = jnp.concatenate([pairs, x[:, :, 2::2]], axis=-1)
    else:
        x = jnp.concatenate([x[:, :, j : j + wide] for j in range(WINDOW)], axis=-1)
    reach = stride * (high - 1) + 1
    return jnp.concatenate([x[:, i : i + reach : stride] for i in range(WINDOW)], axis=-1)


def columns_at_once(x: Float[Array, "b h w c"], stride: int) -> Float[Array, "b h2 w2 k"]:
    """The same from slices of the image alone: of these XLA makes the faster transpose."""
    x, high, wide = _padded(x, stride)
    if stride == 1:
        taken = [x[:, i : i + high, j : j + wide] for i in range(WINDOW) for j in range(WINDOW)]
        return jnp.concatenate(taken, axis=-1)
    c = x.shape[3]
    x = jnp.pad(x, [(0, 0), (0, 1), (0, 1), (0, 0)]).reshape(len(x), high + 1, 2, wide + 1, 2 * c)
    taken = []
    for i in range(WINDOW):
        row = x[:, i // 2 : i // 2 + high, i % 2]
        taken += [row[:, :, :wide], row[:, :, 1:, :c]]
    return jnp.concatenate(taken, axis=-1)


@functools.lru_cache(maxsize=8)
def _conv(stride: int) -> Callable[[Array, Array], Array]:
    def forward(x: Array, kernel: Array) -> tuple[Array, Residuals]:
        taken = columns(x, stride)
        flat = taken.reshape(len(x), -1, taken.shape[-1]) @ kernel.reshape(-1, kernel.shape[-1])
        return flat.reshape(*taken.shape[:-1], -1), (x, taken, kernel)

    def backward(kept: Residuals, d: Array) -> tuple[Array, Array]:
        x, taken, kernel = kept
        d = lax.optimization_barrier(d)  # else its elementwise makers are computed again in each use
        size, n = kernel[..., 0].size, kernel.shape[-1]
        flat = d.reshape(-1, n)
        # (d^T x)^T, which XLA would fold into the slower x^T d, were the transpose not behind a reshape.
        turned = lax.dot_general(flat, taken.reshape(-1, size), (((0,), (0,)), ((), ())))
        of_kernel = turned.reshape(n, *kernel.shape[:3]).transpose(1, 2, 3, 0)
        take = functools.partial(columns_at_once, stride=stride)
        back = jax.linear_transpose(take, jax.ShapeDtypeStruct(x.shape, x.dtype))
        (of_x,) = back((flat @ kernel.reshape(size, n).T).reshape(taken.shape))
        return of_x, of_kernel

    @jax.custom_vjp
    def conv(x: Array, kernel: Array) -> Array:
        return forward(x, kernel)[0]

    conv.defvjp(forward, backward)
    return conv


def conv(
    x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 c n"], stride: int
) -> Float[Array, "b h2 w2 n"]:
    """What `nn.Conv(n, (3, 3), strides=stride, use_bias=False)` yields, up to rounding, for any size."""
    return _conv(stride)(x, kernel)


def _over_groups(channel: Float[Array, "b c"], groups: int) -> Float[Array, "b c"]:
    """The sum over each group, for each of its channels."""
    b, c = channel.shape
    return jnp.repeat(channel.reshape(b, groups, -1).sum(-1), c // groups, axis=-1)


def _everywhere(channel: Float[Array, "b c"]) -> Float[Array, "b 1 1 c"]:
    return channel[:, None, None]


def _over_samples(channel: Float[Array, "b c"]) -> Float[Array, " c"]:
    """The sum over a batch, by a matmul: XLA's CPU backend adds up rows slowly."""
    return (jnp.ones((1, len(channel)), channel.dtype) @ channel)[0]


@functools.lru_cache(maxsize=64)
def _norm_relu(groups: int, epsilon: float) -> Callable[[Array, Array, Array, Array], Array]:
    def forward(y: Array, bias: Array, scale: Array, shift: Array) -> tuple[Array, Residuals]:
        bias, scale, shift = bias[None], scale[None], shift[None]
        positions = y.shape[1] * y.shape[2]
        count = positions * y.shape[3] // groups
        total, squares = y.sum((1, 2)), (y * y).sum((1, 2))
        mean = _over_groups(total + positions * bias, groups) / count
        square = _over_groups(squares + 2 * bias * total + positions * bias * bias, groups) / count
        inverse = lax.rsqrt(jnp.maximum(square - mean * mean, 0) + epsilon)
        slope = inverse * scale
        # Kept apart from the large arrays' loop, where XLA would compute them for every entry.
        slope, offset = lax.optimization_barrier((slope, shift + (bias - mean) * slope))
        z = jnp.maximum(y * _everywhere(slope) + _everywhere(offset), 0)
        return z, (y, bias, scale, total, mean, inverse, slope, offset)

    def backward(kept: Residuals, d: Array) -> tuple[Array, Array, Array, Array]:
        y, bias, scale, total, mean, inverse, slope, offset = kept
        positions = y.shape[1] * y.shape[2]
        count = positions * y.shape[3] // groups
        d = lax.optimization_barrier(d)
        g = jnp.where(y * _everywhere(slope) + _everywhere(offset) > 0, d, 0)
        first, second = g.sum((1, 2)), (g * y).sum((1, 2))
        of_scale = (second + (bias - mean) * first) * inverse  # sum of g times what was normalised
        a = _over_groups(scale * first, groups) / count
        b = _over_groups(scale * of_scale, groups) / count
        # The derivative in y is slope g + by y + at: one pass over the large arrays.
        by = -inverse * inverse * b
        at = -inverse * a - by * (mean - bias)
        slope, by, at = lax.optimization_barrier((slope, by, at))
        of_y = _everywhere(slope) * g + _everywhere(by) * y + _everywhere(at)
        of_bias = slope * first + by * total + positions * at  # its sum over the positions
        return of_y, _over_samples(of_bias), _over_samples(of_scale), _over_samples(first)

    @jax.custom_vjp
    def norm_relu(y: Array, bias: Array, scale: Array, shift: Array) -> Array:
        return forward(y, bias, scale, shift)[0]

    norm_relu.defvjp(forward, backward)
    return norm_relu


def norm_relu(
    y: Float[Array, "b h w c"],
    bias: Float[Array, " c"],
    scale: Float[Array, " c"],
    shift: Float[Array, " c"],
    *,
    groups: int,
    epsilon: float,
) -> Float[Array, "b h w c"]:
    """ReLU of `nn.GroupNorm`, with `scale` and bias `shift`, of y + bias: a convolution's output and its bias.

    The variance is E[x^2] - E[x]^2, as flax's is.
    """
    return _norm_relu(groups, epsilon)(y, bias, scale, shift)
