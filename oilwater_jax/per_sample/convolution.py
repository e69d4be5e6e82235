"""Convolutions as shifted slices and one matmul, for the gradients of single samples.

`vmap(grad)` turns a convolution into a grouped one, with a group for every sample, which XLA's CPU backend is slow
at. Of the matmul it makes batched matmuls.
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


def with_matmuls(apply: Callable[..., Any]) -> Callable[..., Any]:
    """A function of flax.linen modules with their `nn.Conv` layers computed `as_matmul`, on the same parameters.

    Layers that bring a convolution of their own are left as they are, and so is what is not flax.linen.
    """

    def intercept(
        call: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext
    ) -> Any:
        layer = context.module
        plain = type(layer) is nn.Conv and context.method_name == "__call__"
        if not plain or layer.conv_general_dilated or layer.conv_general_dilated_cls:
            return call(*args, **kwargs)
        twin = layer.clone(parent=None, conv_general_dilated=as_matmul)
        return twin.apply(layer.variables, *args, **kwargs)

    def through(*args: Any) -> Any:
        with nn.intercept_methods(intercept):
            return apply(*args)

    return through
