"""A small convolutional network for 32x32 images: strided convolutions, global pooling, one linear layer."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class CNN(nn.Module):
    """Per block a 3x3 convolution of stride 2, GroupNorm (8 channels a group) and ReLU; then the mean over
    positions and a linear layer named `head`.

    GroupNorm couples no samples of a batch, so per-sample gradients are well defined. The stride does the
    pooling: a quarter of the arithmetic, and no gradient of a pooling, which XLA's CPU backend is slow at.
    """

    n_classes: int
    widths: Sequence[int] = (16, 32, 64)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], mask: Bool[Array, " b"] | None = None
    ) -> tuple[Float[Array, "b k"], Float[Array, "b d"]]:
        """Logits [b, k] and the features [b, d] that the last layer sees, the same in training."""
        x = image
        for width in self.widths:
            x = nn.Conv(width, (3, 3), strides=(2, 2), dtype=self.dtype)(x)
            x = nn.relu(nn.GroupNorm(num_groups=None, group_size=8, dtype=self.dtype)(x))
        features = jnp.mean(x.astype(jnp.float32), axis=(1, 2))
        return nn.Dense(self.n_classes, name="head")(features), features


def features(name: str, widths: Sequence[int]) -> int:
    """How many features the last layer sees."""
    return widths[-1]


def build(*, n_classes: int, widths: Sequence[int], name: str = "cnn", dtype: Any = jnp.float32) -> CNN:
    """The network of a config's `model` settings; `name` is the only one that this module knows."""
    return CNN(n_classes, tuple(widths), dtype)
