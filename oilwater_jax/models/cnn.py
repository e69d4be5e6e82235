"""A small convolutional network for 32x32 images: strided convolutions, global pooling, one linear layer."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from oilwater_jax.entries import Config, Model
from oilwater_jax.errors import UserError
from oilwater_jax.models.cpu_training import conv, norm_relu
from oilwater_jax.models.variables import Params
from oilwater_jax.settings.field import Field

GROUP = 8  # channels of a group
EPSILON = 1e-6


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
            x = nn.relu(nn.GroupNorm(num_groups=None, group_size=GROUP, epsilon=EPSILON, dtype=self.dtype)(x))
        features = jnp.mean(x.astype(jnp.float32), axis=(1, 2))
        return nn.Dense(self.n_classes, name="head")(features), features


def on_a_cpu(
    params: Params, image: Float[Array, "b h w c"]
) -> tuple[Float[Array, "b k"], Float[Array, "b d"]]:
    """What `CNN` yields, up to rounding, by layers whose gradients are fast on a CPU. In the parameters' precision."""
    x, head = image, params["head"]
    for i in range(sum(name.startswith("Conv_") for name in params)):
        layer, norm = params[f"Conv_{i}"], params[f"GroupNorm_{i}"]
        groups = len(layer["bias"]) // GROUP
        y = conv(x, layer["kernel"], stride=2)
        x = norm_relu(y, layer["bias"], norm["scale"], norm["bias"], groups=groups, epsilon=EPSILON)
    features = jnp.mean(x, axis=(1, 2))
    return features @ head["kernel"] + head["bias"][None], features


def check(config: Config) -> None:
    """Raises UserError for widths that group normalisation cannot cut into groups of 8."""
    if any(width % GROUP for width in config.cnn.widths):
        raise UserError(f"cnn.widths = {tuple(config.cnn.widths)}: each must be a multiple of {GROUP}")


MODEL = Model(
    name="cnn",
    help="small convolutional network with group normalisation",
    takes=("image",),
    fields={"widths": Field((16, 32, 64), "channels of each block (multiples of 8)", 8, 4096)},
    check=check,
    build=lambda config, n_classes, dtype: CNN(n_classes, tuple(config.cnn.widths), dtype),
    features=lambda config: config.cnn.widths[-1],
    on_a_cpu=on_a_cpu,
)
