"""A multilayer perceptron for tables: dense layers with ReLU, one linear layer. Images are flattened."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from oilwater_jax.entries import Config, Model
from oilwater_jax.settings.field import Field


class MLP(nn.Module):
    """A dense layer and ReLU for each width, then a linear layer named `head`; nothing couples samples."""

    n_classes: int
    widths: Sequence[int] = (64, 32)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, image: Float[Array, "b ..."], mask: Bool[Array, " b"] | None = None
    ) -> tuple[Float[Array, "b k"], Float[Array, "b d"]]:
        """Logits [b, k] and the features [b, d] that the last layer sees, the same in training."""
        x = image.reshape(len(image), -1)
        for width in self.widths:
            x = nn.relu(nn.Dense(width, dtype=self.dtype)(x))
        features = x.astype(jnp.float32)
        return nn.Dense(self.n_classes, name="head")(features), features


def build(config: Config, n_classes: int, dtype: Any) -> MLP:
    """The network of a config."""
    return MLP(n_classes, tuple(config.mlp.widths), dtype)


MODEL = Model(
    name="mlp",
    help="multilayer perceptron, for tables",
    fields={"widths": Field((64, 32), "units of each hidden layer", 1, 65_536)},
    build=build,
    features=lambda config: config.mlp.widths[-1],
)
