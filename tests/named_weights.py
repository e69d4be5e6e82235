"""Weights that need no file: each tensor is drawn from a generator seeded by its name.

Run as a script (needs torch and torchvision) it prints the logits that test_models.py holds: PyTorch's, of
torchvision's networks in evaluation mode.
"""

import jax
import numpy as np

from oilwater_jax import rng
from oilwater_jax.models import weights

CLASSES = 3


def tensors(model, side, n_classes=CLASSES):
    """A network's tensors in PyTorch's layout; running statistics are not trivial."""
    leaves = jax.tree_util.tree_leaves_with_path(weights.template(model, n_classes, side))
    found = {}
    for path, leaf in leaves:
        name = weights.torch_name(model, tuple(key.key for key in path))
        shape = tuple(leaf.shape[axis] for axis in weights.to_torch(leaf))
        draw = np.random.default_rng(rng.name_id(name)).standard_normal(shape)
        fan_in = np.prod(shape[1:], initial=1.0)
        if name.endswith("running_var"):
            draw = 1 + np.abs(draw)
        elif len(shape) == 1:
            draw = 0.1 * draw + ("bias" not in name and "mean" not in name)
        elif len(shape) == 3:  # class token, positions
            draw = 0.5 * draw
        else:
            draw = draw / np.sqrt(fan_in)
        found[name] = draw.astype(np.float32)
    return found


def image(side, n=2):
    """Normalised images."""
    return np.random.default_rng(side).standard_normal((n, side, side, 3)).astype(np.float32)


VIT_NAMES = {  # timm's to torchvision's; they apply in this order
    "patch_embed.proj": "conv_proj",
    "cls_token": "class_token",
    "pos_embed": "encoder.pos_embedding",
    "blocks.": "encoder.layers.encoder_layer_",
    "norm1": "ln_1",
    "norm2": "ln_2",
    "attn.qkv.": "self_attention.in_proj_",
    "attn.proj": "self_attention.out_proj",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.3",
    "head": "heads.head",
}


def import_torchvision():
    """torchvision, whose networks need none of its compiled operators: these are of one build of torch only."""
    import torch  # pyright: ignore[reportMissingImports]

    try:
        import torchvision  # pyright: ignore[reportMissingImports]
    except RuntimeError:
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor d, Tensor s, float t) -> Tensor")
        import torchvision  # pyright: ignore[reportMissingImports]
    return torchvision


def torch_logits(model, side, pixels):
    """PyTorch's logits of the network with these weights."""
    import torch  # pyright: ignore[reportMissingImports]

    torchvision = import_torchvision()
    named = tensors(model, side)
    if model == "vit_s16":
        network = torchvision.models.VisionTransformer(
            side, 16, 12, 6, 384, 1536, num_classes=CLASSES
        )  # image, patch, layers, heads, width, perceptron
        named = {
            f"encoder.ln.{k.removeprefix('norm.')}" if k.startswith("norm.") else k: v
            for k, v in named.items()
        }
        for ours, theirs in VIT_NAMES.items():
            named = {name.replace(ours, theirs): array for name, array in named.items()}
    else:
        network = getattr(torchvision.models, model)(num_classes=CLASSES)
        counters = [name for name in network.state_dict() if name.endswith("num_batches_tracked")]
        named |= dict.fromkeys(counters, np.array(0))
    network.load_state_dict({name: torch.from_numpy(array) for name, array in named.items()}, strict=True)
    with torch.no_grad():
        return network.eval()(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())).numpy()


if __name__ == "__main__":
    for one in ("resnet18", "resnet50", "vit_s16"):
        print(one, torch_logits(one, 32, image(32)).tolist())
