"""Figures of ONE sample: from its logits, or from its gradient."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

from oilwater_jax.models.variables import Params


def loss(logits: Float[Array, " k"], label: Int[Array, ""]) -> Float[Array, ""]:
    """Cross-entropy of one sample, in nats: -log softmax(logits)[label]."""
    return -jax.nn.log_softmax(logits)[label]


def margin(logits: Float[Array, " k"], label: Int[Array, ""]) -> Float[Array, ""]:
    """The label's logit less the largest other logit; negative iff the sample is misclassified (up to ties)."""
    others = jnp.where(jnp.arange(logits.shape[-1]) == label, -jnp.inf, logits)
    return logits[label] - jnp.max(others)


def last_layer_gradient(logits: Float[Array, " k"], label: Int[Array, ""]) -> Float[Array, " k"]:
    """Gradient of the cross-entropy with respect to the logits: softmax(logits) - onehot(label)."""
    return jax.nn.softmax(logits) - jax.nn.one_hot(label, logits.shape[-1])


def correct(logits: Float[Array, " k"], label: Int[Array, ""]) -> Array:
    """Whether the largest logit is the label's; of equal logits the first counts."""
    return jnp.argmax(logits) == label


def gradient_norm(gradient: Params) -> Float[Array, ""]:
    """L2 norm of one sample's gradient, over all parameters as one vector."""
    return jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(gradient)))


def itself(gradient: Params) -> Params:
    """One sample's gradient, as it is."""
    return gradient


def flat_gradient(gradient: Params) -> Float[Array, " p"]:
    """One sample's gradient as one vector, in the order of `jax.flatten_util.ravel_pytree`."""
    return ravel_pytree(gradient)[0]


def gradient_cosine(gradient: Params, to: Params) -> Float[Array, ""]:
    """Cosine of one sample's gradient and another tree of its shapes, as vectors; 0 where either vanishes."""
    products = jax.tree.map(lambda one, other: jnp.sum(one * other), gradient, to)
    cosine = sum(jax.tree.leaves(products))
    for tree in (gradient, to):
        norm = gradient_norm(tree)
        cosine = cosine / jnp.where(norm == 0, 1.0, norm)  # one by one: the norms' product could underflow
    return cosine


def last_layer_weight_gradient(
    logits: Float[Array, " k"], label: Int[Array, ""], features: Float[Array, " d"]
) -> Float[Array, " p"]:
    """Gradient of the cross-entropy in the last layer's weights, without its bias, as one vector of d x k."""
    return jnp.outer(features, last_layer_gradient(logits, label)).ravel()


FROM_FEATURES: dict[str, Callable[[Any, Any, Any], Array]] = {
    "features": lambda logits, label, features: features,
    "last_layer_weight_gradient": last_layer_weight_gradient,
}
"""Figures of what the last layer sees and yields."""
FROM_LOGITS: dict[str, Callable[[Any, Any], Array]] = {
    "loss": loss,
    "margin": margin,
    "correct": correct,
    "last_layer_gradient": last_layer_gradient,
    "logits": lambda logits, label: logits,
}
