"""Per-sample figures: each written for ONE sample; vmapped and chunked here and nowhere else.

Stage: one pass over a data set with frozen parameters, in evaluation mode, without augmentation.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Key, UInt8

from oilwater_jax import devices, rng
from oilwater_jax.models.variables import Params
from oilwater_jax.types import Examples, Scores

Figure = Callable[[Params], Any]  # of one sample's gradient
Prepare = Callable[[UInt8[Array, "b h w c"]], Float[Array, "b h w c"]]
Apply = Callable[[Params, Float[Array, "b h w c"]], tuple[Float[Array, "b k"], Float[Array, "b d"]]]

BLOCK = 2**16  # rows of the projection that exist at once: 16 MB for 64 dimensions
BUDGET = 2**30  # bytes of per-sample gradients on a device at once
GRADIENT_CHUNK = {"cpu": 64}  # rows at most; on a CPU larger chunks fall out of the cache


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


@dataclasses.dataclass(frozen=True)
class Projection:
    """A random linear map of gradients to `dim` dimensions that keeps distances in expectation.

    Its entries are +-1/sqrt(dim) with equal odds (Rademacher), drawn by `seed` and a parameter's place in the
    flattened tree: the same for every sample, chunk, network of these shapes and epoch. For any two
    gradients, with v their difference, the squared distance of the projections has the mean |v|_2^2 and the
    variance 2/dim (|v|_2^4 - |v|_4^4) <= 2/dim |v|_2^4: at 64 dimensions a standard deviation of at most 18% of
    the squared distance, 9% of the distance. More than a fraction e off has odds of at most
    2 exp(-dim (e^2/4 - e^3/6)).

    The matrix of a network of 24M parameters would be 6 GB. It is drawn, BLOCK rows at a time, where it is used: one
    random bit an entry, and one draw for all samples of a chunk. The product costs 2 dim numbers a parameter
    and sample, less than a 224x224 backward pass. A count sketch would cost 1/dim of it at the same variance, but
    has no such bound of the odds for gradients with a few large entries, and its scattered sums are slow on CPUs
    and not repeatable on GPUs.

    References: Achlioptas 2003, "Database-friendly random projections" (the bound); Park et al. 2023, TRAK (the use).
    """

    dim: int = 64
    seed: int = 0

    def __call__(self, gradient: Params) -> Float[Array, " dim"]:
        """The projection of one sample's gradient, all parameters as one vector."""
        vector, _ = ravel_pytree(gradient)
        rows = min(len(vector), BLOCK)
        blocks = -(-len(vector) // rows)
        vector = jnp.pad(vector, (0, blocks * rows - len(vector)))
        key = rng.key(self.seed, "projected_gradient")

        def add(block: Int[Array, ""], total: Float[Array, " dim"]) -> Float[Array, " dim"]:
            part = lax.dynamic_slice_in_dim(vector, block * rows, rows)
            signs = self._signs(jax.random.fold_in(key, block), rows)
            return total + jnp.matmul(part, signs, precision=lax.Precision.HIGHEST)

        return lax.fori_loop(0, blocks, add, jnp.zeros(self.dim)) / np.float32(np.sqrt(self.dim))

    def _signs(self, key: Key[Array, ""], rows: int) -> Float[Array, "r dim"]:
        words = jax.random.bits(key, (rows, -(-self.dim // 32)), jnp.uint32)
        bits = (words[:, :, None] >> jnp.arange(32, dtype=jnp.uint32)[None, None]) & 1
        return 1.0 - 2.0 * bits.reshape(rows, -1)[:, : self.dim].astype(jnp.float32)


FROM_LOGITS: dict[str, Callable[[Any, Any], Array]] = {
    "loss": loss,
    "margin": margin,
    "correct": correct,
    "last_layer_gradient": last_layer_gradient,
    "logits": lambda logits, label: logits,
}
FROM_GRADIENT: dict[str, Figure] = {"gradient_norm": gradient_norm, "projected_gradient": Projection()}
NAMES = (*FROM_LOGITS, "features", *FROM_GRADIENT)
LABEL_FREE = ("logits", "features")
Scorer = Callable[[Params, Examples | UInt8[np.ndarray, "n h w c"], Sequence[str]], Scores]


@dataclasses.dataclass(frozen=True)
class _Forward:
    """Figures of a chunk that one forward pass yields. Equal instances share their compilation."""

    apply: Apply
    prepare: Prepare
    names: tuple[str, ...]

    def __call__(
        self, params: Params, image: UInt8[Array, "b h w c"], label: Int[Array, " b"]
    ) -> dict[str, Array]:
        logits, features = self.apply(params, self.prepare(image))
        return {
            name: features if name == "features" else jax.vmap(FROM_LOGITS[name])(logits, label)
            for name in self.names
        }


@dataclasses.dataclass(frozen=True)
class _Gradient:
    """Figures of a chunk that need every sample's gradient. Equal instances share their compilation."""

    apply: Apply
    prepare: Prepare
    figures: tuple[tuple[str, Figure], ...]

    def __call__(
        self, params: Params, image: UInt8[Array, "b h w c"], label: Int[Array, " b"]
    ) -> dict[str, Any]:
        def sample_loss(params: Params, image: Array, label: Array) -> Array:
            logits, _ = self.apply(params, self.prepare(image[None]))
            return loss(logits[0], label)

        def one(image: Array, label: Array) -> dict[str, Any]:
            gradient = jax.grad(sample_loss)(params, image, label)
            return {name: figure(gradient) for name, figure in self.figures}

        return jax.vmap(one)(image, label)


@functools.lru_cache(maxsize=64)
def _jitted(per_chunk: _Forward | _Gradient) -> Callable[..., dict[str, Any]]:
    return devices.by_rows(per_chunk.__call__)


def gradient_chunk(params: Params, budget: int = BUDGET) -> int:
    """How many samples' gradients to hold at once: what `budget` bytes have room for, at least one.

    At most GRADIENT_CHUNK on the backends it names, 512 elsewhere. Counted are a gradient and a flattened copy
    of it, not the network's activations.
    """
    size = 2 * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(params))
    return max(1, min(budget // max(size, 1), GRADIENT_CHUNK.get(jax.default_backend(), 512)))


def _in_chunks(
    per_chunk: _Forward | _Gradient,
    chunk: int,
    params: Params,
    image: UInt8[np.ndarray, "n h w c"],
    label: Int[np.ndarray, " n"],
) -> dict[str, Any]:
    """What `per_chunk` yields for all n samples, on the host; only the chunk at work is on the device.

    `chunk` rows at once on each device.
    """
    n, chunk = len(image), chunk * jax.device_count()
    program, params = _jitted(per_chunk), devices.replicate(params)
    parts = []
    for start in range(0, n, chunk):
        # The last chunk is filled up with the first rows; what they yield is cut off again.
        rows = np.arange(start, start + chunk) % n
        parts.append(program(params, devices.shard(image[rows]), devices.shard(label[rows])))
    host = jax.device_get(parts)
    return jax.tree.map(lambda *rows: np.concatenate(rows)[:n], *host)


def make_scorer(apply: Apply, prepare: Prepare, chunk: int) -> Scorer:
    """A function `(params, examples, names) -> Scores` that passes over a data set in chunks of one shape.

    Bare images may stand for examples where no named score needs labels ("logits", "features").
    Each set of names compiles once, whatever n is: what needs gradients in a program of its own, in chunks of
    `gradient_chunk` rows. Raises ValueError for an unknown name, no samples, or labels that are needed and missing.
    """

    def scorer(
        params: Params, examples: Examples | UInt8[np.ndarray, "n h w c"], names: Sequence[str]
    ) -> Scores:
        if unknown := [name for name in names if name not in NAMES]:
            raise ValueError(f"unknown score {unknown[0]!r}; known: {', '.join(NAMES)}")
        if isinstance(examples, Examples):
            image, label = examples.image, examples.label
        elif needing := [name for name in names if name not in LABEL_FREE]:
            raise ValueError(f"the score {needing[0]!r} needs labels, and bare images have none")
        else:
            image, label = examples, np.zeros(len(examples), np.int32)
        if not len(image):
            raise ValueError("scores of no samples")
        scores: Scores = {}
        if forward := tuple(name for name in names if name not in FROM_GRADIENT):
            scores |= _in_chunks(_Forward(apply, prepare, forward), chunk, params, image, label)
        if figures := tuple((name, FROM_GRADIENT[name]) for name in names if name in FROM_GRADIENT):
            rows = gradient_chunk(params)
            scores |= _in_chunks(_Gradient(apply, prepare, figures), rows, params, image, label)
        return {name: scores[name] for name in names}

    return scorer
