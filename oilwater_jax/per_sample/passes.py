"""One pass over a data set for one kind of per-sample figure: parameters and images in, NumPy arrays out."""

from typing import Any, TypedDict, Unpack

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from oilwater_jax.per_sample.chunks import (
    Apply,
    Backward,
    Devices,
    Figure,
    Forward,
    Inputs,
    Prepare,
    gradient_chunk,
    in_chunks,
)
from oilwater_jax.per_sample.distances import LastLayer
from oilwater_jax.per_sample.figures import Params, flat_gradient, gradient_cosine, gradient_norm, itself
from oilwater_jax.per_sample.projection import Projection

FORWARD_CHUNK = 256  # rows per forward pass on a device; larger ones fall out of a core's cache
Labels = Int[np.ndarray, " n"]


def as_float(image: Shaped[Array, "b ..."]) -> Float[Array, "b ..."]:
    """Inputs as float32, otherwise as they are."""
    return image.astype(jnp.float32)


class How(TypedDict, total=False):
    """Keywords that every function here takes."""

    prepare: Prepare  # makes a chunk of images the network's input; `as_float` if not given
    devices: Devices  # that share every chunk; all, of all processes, if not given
    budget: int  # bytes of per-sample gradients on a device at once; as `gradient_chunk` has it if not given


def _forward(
    names: tuple[str, ...], apply: Apply, params: Params, image: Inputs, label: Labels, how: How
) -> Any:
    per_chunk = Forward(apply, how.get("prepare", as_float), names)
    return in_chunks(per_chunk, params, image, label, chunk=FORWARD_CHUNK, devices=how.get("devices"))


def _backward(
    figure: Figure, apply: Apply, params: Params, image: Inputs, label: Labels, how: How, *given: Any
) -> Any:
    per_chunk = Backward(apply, how.get("prepare", as_float), figure)
    chunk = gradient_chunk(params, how.get("budget"))
    return in_chunks(per_chunk, params, image, label, chunk=chunk, given=given, devices=how.get("devices"))


def losses(
    apply: Apply, params: Params, image: Inputs, label: Labels, **how: Unpack[How]
) -> Float[np.ndarray, " n"]:
    """Cross-entropy of each sample, in nats."""
    return _forward(("loss",), apply, params, image, label, how)["loss"]


def margins(
    apply: Apply, params: Params, image: Inputs, label: Labels, **how: Unpack[How]
) -> Float[np.ndarray, " n"]:
    """Each sample's logit of its label less the largest other logit."""
    return _forward(("margin",), apply, params, image, label, how)["margin"]


def last_layer_gradients(
    apply: Apply, params: Params, image: Inputs, label: Labels, **how: Unpack[How]
) -> Float[np.ndarray, "n k"]:
    """Each loss's gradient in the logits, which is that in the last layer's bias: softmax - onehot, in closed form."""
    return _forward(("last_layer_gradient",), apply, params, image, label, how)["last_layer_gradient"]


def last_layer_weight_gradients(
    apply: Apply, params: Params, image: Inputs, label: Labels, *, bias: bool = True, **how: Unpack[How]
) -> LastLayer:
    """Each loss's gradient in the last layer's weights (and bias), in closed form, as factors.

    For a last layer logits = features @ kernel + bias; `pairwise_distances` takes the result as it is.
    """
    found = _forward(("last_layer_gradient", "features"), apply, params, image, label, how)
    features = found["features"]
    if bias:
        features = np.concatenate([features, np.ones_like(features[:, :1])], axis=1)
    return LastLayer(found["last_layer_gradient"], features)


def gradients(apply: Apply, params: Params, image: Inputs, label: Labels, **how: Unpack[How]) -> Params:
    """Each loss's gradient in all parameters: the tree of `params`, each leaf with a first axis of n.

    n times the parameters' memory on the host.
    """
    return _backward(itself, apply, params, image, label, how)


def flat_gradients(
    apply: Apply, params: Params, image: Inputs, label: Labels, **how: Unpack[How]
) -> Float[np.ndarray, "n p"]:
    """The same as one vector each, in the order of `jax.flatten_util.ravel_pytree`."""
    return _backward(flat_gradient, apply, params, image, label, how)


def projected_gradients(
    apply: Apply,
    params: Params,
    image: Inputs,
    label: Labels,
    *,
    dim: int = 64,
    seed: int = 0,
    **how: Unpack[How],
) -> Float[np.ndarray, "n dim"]:
    """The same, projected at random to `dim` dimensions that keep distances in expectation (see `Projection`)."""
    return _backward(Projection(dim, seed), apply, params, image, label, how)


def gradient_norms(
    apply: Apply, params: Params, image: Inputs, label: Labels, **how: Unpack[How]
) -> Float[np.ndarray, " n"]:
    """L2 norm of each loss's gradient in all parameters."""
    return _backward(gradient_norm, apply, params, image, label, how)


def gradient_cosines(
    apply: Apply, params: Params, image: Inputs, label: Labels, to: Params, **how: Unpack[How]
) -> Float[np.ndarray, " n"]:
    """Cosine of each loss's gradient and `to`, a tree of the parameters' shapes; 0 where either vanishes."""
    return _backward(gradient_cosine, apply, params, image, label, how, to)
