"""ViT-S/16, the vision transformer of DeiT-small: 384 wide, 12 deep, 6 heads, patches of 16x16, pre-norm.

A class token and learned positions; layer norm has eps 1e-6, GELU is the exact one. Layers carry timm's names (see
`TORCH_NAMES`). Nothing couples the samples of a batch, and training computes what the frozen network does.

References: Dosovitskiy et al. 2021, An Image is Worth 16x16 Words; Touvron et al. 2021, DeiT (table 1).
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from oilwater_jax.entries import Model
from oilwater_jax.errors import UserError
from oilwater_jax.models.layout import Layout

PATCH = 16  # pixels
WIDTH, DEPTH, HEADS = 384, 12, 6
# Parts of our names that are others in timm's files.
TORCH_NAMES = {
    "patch_embed_proj": "patch_embed.proj",
    "attn_qkv": "attn.qkv",
    "attn_proj": "attn.proj",
    "mlp_fc1": "mlp.fc1",
    "mlp_fc2": "mlp.fc2",
}
INIT = nn.initializers.truncated_normal(0.02)


class Block(nn.Module):
    """Self-attention, then a perceptron of 4 x width, each on the normalised input and added to it."""

    heads: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b t d"]) -> Float[Array, "b t d"]:
        """The tokens after the block."""
        b, t, width = x.shape

        def dense(width: int, name: str) -> nn.Dense:
            return nn.Dense(width, dtype=self.dtype, kernel_init=INIT, name=name)

        y = nn.LayerNorm(epsilon=1e-6, dtype=self.dtype, name="norm1")(x)
        qkv = dense(3 * width, "attn_qkv")(y).reshape(b, t, 3, self.heads, width // self.heads)
        y = jax.nn.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2])
        x = x + dense(width, "attn_proj")(y.reshape(b, t, width))
        y = nn.LayerNorm(epsilon=1e-6, dtype=self.dtype, name="norm2")(x)
        y = jax.nn.gelu(dense(4 * width, "mlp_fc1")(y), approximate=False)
        return x + dense(width, "mlp_fc2")(y)


class ViT(nn.Module):
    """Patches to tokens, a class token before them, positions added, the blocks, layer norm, `head`."""

    n_classes: int
    width: int = WIDTH
    depth: int = DEPTH
    heads: int = HEADS
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], mask: Bool[Array, " b"] | None = None
    ) -> tuple[Float[Array, "b k"], Float[Array, "b d"]]:
        """Logits [b, k] and the features [b, d] (the class token's) that the last layer sees, the same in training.

        Raises UserError for images whose sides are not multiples of the patch.
        """
        b, h, w, _ = image.shape
        if h % PATCH or w % PATCH:
            raise UserError(
                f"model.name = 'vit_s16' cuts images into patches of {PATCH}x{PATCH} pixels, and {h}x{w} is not "
                "a multiple of that; choose another network or data set"
            )
        size = (PATCH, PATCH)
        x = nn.Conv(
            self.width, size, strides=size, padding="VALID", dtype=self.dtype, name="patch_embed_proj"
        )(image)
        x = x.reshape(b, -1, self.width)
        first = self.param("cls_token", INIT, (1, 1, self.width)).astype(x.dtype)
        x = jnp.concatenate([jnp.broadcast_to(first, (b, 1, self.width)), x], axis=1)
        position = self.param("pos_embed", INIT, (1, x.shape[1], self.width))
        x = x + jnp.broadcast_to(position, x.shape).astype(x.dtype)
        for i in range(self.depth):
            x = Block(self.heads, self.dtype, name=f"blocks_{i}")(x)
        features = nn.LayerNorm(epsilon=1e-6, name="norm")(x[:, 0].astype(jnp.float32))
        return nn.Dense(self.n_classes, kernel_init=INIT, name="head")(features), features


MODEL = Model(
    name="vit_s16",
    help="vision transformer, DeiT-small of timm",
    takes=("image",),
    build=lambda config, n_classes, dtype: ViT(n_classes, dtype=dtype),
    features=lambda config: WIDTH,
    layout=Layout(TORCH_NAMES, "head.weight", "pos_embed"),
)
