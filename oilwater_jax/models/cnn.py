"""A small convolutional network for 32x32 images: strided convolutions, global pooling, one linear layer."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float


class CNN(nn.Module):
    """Per block a 3x3 convolution of stride 2, GroupNorm (8 channels a group) and ReLU; then the mean over
    positions and a linear layer named `head`.

    GroupNorm couples no samples of a batch, so per-sample gradients are well defined. The stride does the
    pooling: a quarter of the arithmetic, and no gradient of a pooling, which XLA's CPU backend is slow at.
    """

    n_classes: int
    widths: Sequence[int] = (16, 32, 64)

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"]) -> tuple[Float[Array, "b k"], Float[Array, "b d"]]:
        """Logits [b, k] and the features [b, d] that the last layer sees."""
        x = image
        for width in self.widths:
            x = nn.Conv(width, (3, 3), strides=(2, 2))(x)
            x = nn.relu(nn.GroupNorm(num_groups=None, group_size=8)(x))
        features = jnp.mean(x, axis=(1, 2))
        return nn.Dense(self.n_classes, name="head")(features), features


def build(*, n_classes: int, widths: Sequence[int]) -> CNN:
    """The network of a config's `model` settings."""
    return CNN(n_classes, tuple(widths))
