"""Layers in forms that suit the gradients of single samples on a CPU, on the same parameters.

Convolutions as shifted slices and one matmul: `vmap(grad)` turns a convolution into a grouped one, with a group for
every sample, which XLA's CPU backend is slow at; of the matmul it makes batched matmuls. Group norms by sums of
channels, which XLA vectorises, where flax sums a group's few channels first.
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float


def as_matmul(
    image: Float[Array, "b *space c"],
    kernel: Float[Array, "*window c_in c_out"],
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    *,
    lhs_dilation: Sequence[int],
    rhs_dilation: Sequence[int],
    feature_group_count: int,
    precision: Any,
    dimension_numbers: Any,
) -> Float[Array, "b *out c_out"]:
    """What `lax.conv_general_dilated` yields for channels last, up to rounding.

    Dilated and grouped convolutions are left to it. Holds the input once for every position of the window.
    """
    if max(*lhs_dilation, *rhs_dilation, feature_group_count) > 1:
        return lax.conv_general_dilated(
            image,
            kernel,
            strides,
            padding,
            lhs_dilation=lhs_dilation,
            rhs_dilation=rhs_dilation,
            feature_group_count=feature_group_count,
            precision=precision,
            dimension_numbers=dimension_numbers,
        )
    window = kernel.shape[:-2]
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(image.shape[1:-1], window, strides, padding)
    image = jnp.pad(image, [(0, 0), *padding, (0, 0)])
    # Where a window may begin, along each axis: 0 .. last, by the stride.
    lasts = [
        (size - wide) // step * step
        for size, wide, step in zip(image.shape[1:-1], window, strides, strict=True)
    ]
    shifted = [
        image[:, *(slice(i, i + last + 1, step) for i, last, step in zip(at, lasts, strides, strict=True))]
        for at in np.ndindex(*window)
    ]
    return jnp.matmul(
        jnp.concatenate(shifted, axis=-1), kernel.reshape(-1, kernel.shape[-1]), precision=precision
    )


def group_norm(
    image: Float[Array, "b *space c"],
    scale: Float[Array, " c"],
    bias: Float[Array, " c"],
    *,
    groups: int,
    epsilon: float,
) -> Float[Array, "b *space c"]:
    """What `nn.GroupNorm` yields with scale, bias and its fast variance E[x^2] - E[x]^2, up to rounding."""
    b, c = image.shape[0], image.shape[-1]
    positions = tuple(range(1, image.ndim - 1))
    count = image[0].size // groups

    def over_groups(channel: Float[Array, "b c"]) -> Float[Array, "b c"]:
        """The mean over each group, for each of its channels."""
        return jnp.repeat(channel.reshape(b, groups, -1).sum(-1) / count, c // groups, axis=-1)

    mean, square = over_groups(image.sum(positions)), over_groups((image * image).sum(positions))
    slope = lax.rsqrt(jnp.maximum(square - mean * mean, 0) + epsilon) * scale[None]
    shift = bias[None] - mean * slope
    return image * jnp.expand_dims(slope, positions) + jnp.expand_dims(shift, positions)


def _is_plain_group_norm(layer: Any, args: Any, kwargs: Any) -> bool:
    if type(layer) is not nn.GroupNorm or kwargs or args[0].dtype != jnp.float32:
        return False
    usual = layer.use_scale and layer.use_bias and layer.use_fast_variance
    across = layer.reduction_axes is not None or layer.axis_name is not None
    return usual and not across and layer.dtype in (None, jnp.float32)


def with_matmuls(apply: Callable[..., Any]) -> Callable[..., Any]:
    """A function of flax.linen modules with `nn.Conv` computed `as_matmul` and `nn.GroupNorm` by `group_norm`.

    Layers that bring a convolution of their own, group norms with other settings or inputs than float32's, and what is
    not flax.linen are left as they are.
    """

    def intercept(
        call: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext
    ) -> Any:
        layer: Any = context.module
        if context.method_name == "__call__" and _is_plain_group_norm(layer, args, kwargs):
            own = layer.variables["params"]
            groups = layer.num_groups or args[0].shape[-1] // layer.group_size
            return group_norm(args[0], own["scale"], own["bias"], groups=groups, epsilon=layer.epsilon)
        plain = type(layer) is nn.Conv and context.method_name == "__call__"
        if not plain or layer.conv_general_dilated or layer.conv_general_dilated_cls:
            return call(*args, **kwargs)
        twin = layer.clone(parent=None, conv_general_dilated=as_matmul)
        return twin.apply(layer.variables, *args, **kwargs)

    def through(*args: Any) -> Any:
        with nn.intercept_methods(intercept):
            return apply(*args)

    return through
