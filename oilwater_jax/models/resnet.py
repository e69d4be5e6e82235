"""ResNet-18, -34 and -50 as torchvision has them.

Version 1.5: the stride of a bottleneck is in its 3x3 convolution. Padding is symmetric and explicit, and layers carry
torchvision's names (`layer1_0` for `layer1.0`), but the last, which is `head` here and `fc` there.

In training, batch normalisation's running variance is moved towards the batch's biased variance (flax; it divides by
n). PyTorch moves it towards the unbiased one (n - 1). With n = samples x positions the two differ by a factor
1 + 1/(n - 1): 1.6% in the last stage of 32x32 images in batches of 64, 0.03% at 224x224.

References: He et al. 2016, Deep Residual Learning for Image Recognition (table 1).
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from oilwater_jax.entries import Model
from oilwater_jax.models.layout import Layout

SHAPES = {  # blocks of each stage, and whether they are bottlenecks
    "resnet18": ((2, 2, 2, 2), False),
    "resnet34": ((3, 4, 6, 3), False),
    "resnet50": ((3, 4, 6, 3), True),
}
WIDTH = 64  # channels of the first stage; each further one has twice as many
EXPANSION = 4  # a bottleneck's output channels / its width
POOLING_PAD: Any = ((1, 1), (1, 1))  # flax takes this, though its annotation knows names only
INIT = nn.initializers.variance_scaling(2.0, "fan_out", "normal")  # He et al., as torchvision


def _conv(width: int, size: int, stride: int, dtype: Any, name: str) -> nn.Conv:
    pad = size // 2
    return nn.Conv(
        width,
        (size, size),
        strides=(stride, stride),
        padding=((pad, pad), (pad, pad)),
        use_bias=False,
        dtype=dtype,
        kernel_init=INIT,
        name=name,
    )


def _norm(mask: Bool[Array, " b"] | None, dtype: Any, name: str) -> Callable[[Array], Array]:
    """Batch normalisation by the samples under the mask, or, without one, by the running statistics."""
    layer = nn.BatchNorm(use_running_average=mask is None, momentum=0.9, epsilon=1e-5, dtype=dtype, name=name)
    return functools.partial(layer, mask=None if mask is None else mask[:, None, None, None])


class Block(nn.Module):
    """A residual block: two 3x3 convolutions, or a bottleneck of 1x1, 3x3 and 1x1."""

    width: int
    stride: int
    bottleneck: bool
    dtype: Any

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], mask: Bool[Array, " b"] | None
    ) -> Float[Array, "b h2 w2 c2"]:
        """The block's output, after the last ReLU."""
        sizes = (1, 3, 1) if self.bottleneck else (3, 3)
        strides = (1, self.stride, 1) if self.bottleneck else (self.stride, 1)
        out = self.width * (EXPANSION if self.bottleneck else 1)
        widths = (*[self.width] * (len(sizes) - 1), out)
        y = x
        for i, (width, size, stride) in enumerate(zip(widths, sizes, strides, strict=True), 1):
            y = nn.relu(y) if i > 1 else y
            y = _conv(width, size, stride, self.dtype, f"conv{i}")(y)
            y = _norm(mask, self.dtype, f"bn{i}")(y)
        if self.stride > 1 or x.shape[-1] != out:
            x = _conv(out, 1, self.stride, self.dtype, "downsample_0")(x)
            x = _norm(mask, self.dtype, "downsample_1")(x)
        return nn.relu(x + y)


class ResNet(nn.Module):
    """Stem (7x7 convolution and 3x3 max pooling, both of stride 2), four stages, mean over positions, `head`."""

    n_classes: int
    blocks: Sequence[int]
    bottleneck: bool
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], mask: Bool[Array, " b"] | None = None
    ) -> tuple[Float[Array, "b k"], Float[Array, "b d"]]:
        """Logits [b, k] and the features [b, d] that the last layer sees."""
        x = _conv(WIDTH, 7, 2, self.dtype, "conv1")(image)
        x = nn.relu(_norm(mask, self.dtype, "bn1")(x))
        x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=POOLING_PAD)
        for stage, n in enumerate(self.blocks):
            for i in range(n):
                stride = 2 if stage and i == 0 else 1
                block = Block(
                    WIDTH * 2**stage, stride, self.bottleneck, self.dtype, name=f"layer{stage + 1}_{i}"
                )
                x = block(x, mask)
        features = jnp.mean(x.astype(jnp.float32), axis=(1, 2))
        return nn.Dense(self.n_classes, name="head")(features), features


def resnet(name: str) -> Model:
    """The ResNet of this name."""
    blocks, bottleneck = SHAPES[name]
    width = WIDTH * 2 ** (len(blocks) - 1) * (EXPANSION if bottleneck else 1)
    return Model(
        name=name,
        help="residual network with batch normalisation, as in torchvision",
        takes=("image",),
        build=lambda config, n_classes, dtype: ResNet(n_classes, blocks, bottleneck, dtype),
        features=lambda config: width,
        layout=Layout({"head": "fc"}, "fc.weight", None),
    )


MODELS = tuple(resnet(name) for name in SHAPES)
