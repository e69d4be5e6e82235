"""Per-sample figures: each written for ONE sample; vmapped and chunked here and nowhere else.

Stage: one pass over a data set with frozen parameters, in evaluation mode, without augmentation.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from oilwater_jax.models.variables import Params
from oilwater_jax.types import Examples, Scores

Apply = Callable[[Params, Float[Array, "b h w c"]], tuple[Float[Array, "b k"], Float[Array, "b d"]]]


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


FROM_LOGITS: dict[str, Callable[[Any, Any], Array]] = {
    "loss": loss,
    "margin": margin,
    "correct": correct,
    "last_layer_gradient": last_layer_gradient,
    "logits": lambda logits, label: logits,
}
NAMES = (*FROM_LOGITS, "features")
Scorer = Callable[[Params, Examples | UInt8[np.ndarray, "n h w c"], Sequence[str]], Scores]


def make_scorer(
    apply: Apply, prepare: Callable[[UInt8[Array, "b h w c"]], Float[Array, "b h w c"]], chunk: int
) -> Scorer:
    """A function `(params, examples, names) -> Scores` that passes over a data set in chunks of one shape.

    Bare images may stand for examples where no named score needs labels ("logits", "features").
    Each set of names compiles once, whatever n is. Raises ValueError for an unknown name.
    """

    def one_chunk(params: Params, image: Array, label: Array, names: tuple[str, ...]) -> dict[str, Array]:
        logits, features = apply(params, prepare(image))
        return {
            name: features if name == "features" else jax.vmap(FROM_LOGITS[name])(logits, label)
            for name in names
        }

    jitted = jax.jit(one_chunk, static_argnums=3)

    def scorer(
        params: Params, examples: Examples | UInt8[np.ndarray, "n h w c"], names: Sequence[str]
    ) -> Scores:
        if unknown := [name for name in names if name not in NAMES]:
            raise ValueError(f"unknown score {unknown[0]!r}; known: {', '.join(NAMES)}")
        if isinstance(examples, Examples):
            image, label = examples.image, examples.label
        else:
            image, label = examples, np.zeros(len(examples), np.int32)
        n = len(image)
        if not n:
            raise ValueError("scores of no samples")
        parts = []
        for start in range(0, n, chunk):
            # The last chunk is filled up with the first rows; what they yield is cut off again.
            rows = np.arange(start, start + chunk) % n
            parts.append(jitted(params, image[rows], label[rows], tuple(names)))
        host = jax.device_get(parts)
        return {name: np.concatenate([part[name] for part in host])[:n] for name in names}

    return scorer
