"""PyTorch's side of `side_by_side.py`: the same network, epoch, per-sample gradients and crafting step.

PyTorch runs eagerly. Images come as they lie in our arrays, [n, h, w, c]; transposed, that is PyTorch's
channels-last layout.
"""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
import torch.nn.functional as F  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.func import functional_call, grad, vmap  # pyright: ignore[reportMissingImports]

Tensor = Any  # torch.Tensor, which is no type where PyTorch is not installed
GROUP = 8  # channels of a group of GroupNorm


class CNN(nn.Module):
    """`oilwater_jax.models.cnn.CNN`: strided convolutions, GroupNorm, ReLU; the mean; a linear layer."""

    def __init__(self, widths: Sequence[int], n_classes: int) -> None:
        super().__init__()
        before = (3, *widths[:-1])
        self.conv = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2) for a, b in zip(before, widths, strict=True))
        self.norm = nn.ModuleList(nn.GroupNorm(width // GROUP, width, eps=1e-6) for width in widths)
        self.head = nn.Linear(widths[-1], n_classes)

    def features(self, image: Tensor) -> Tensor:
        """What the last layer sees, [b, d]."""
        for conv, norm in zip(self.conv, self.norm, strict=True):
            # "SAME" of an even size and stride 2: one more pixel at the far ends, none at the near ones.
            image = torch.relu(norm(conv(F.pad(image, (0, 1, 0, 1)))))
        return image.mean((2, 3))

    def forward(self, image: Tensor) -> Tensor:
        """Logits [b, k] of [b, c, h, w]."""
        return self.head(self.features(image))


def network(params: Any, widths: Sequence[int], n_classes: int, *, channels_last: bool) -> CNN:
    """The network with the weights of flax's parameters."""
    own = CNN(widths, n_classes)
    with torch.no_grad():
        for i, (conv, norm) in enumerate(zip(own.conv, own.norm, strict=True)):
            layer, scale = params[f"Conv_{i}"], params[f"GroupNorm_{i}"]
            conv.weight.copy_(tensor(layer["kernel"]).permute(3, 2, 0, 1))
            conv.bias.copy_(tensor(layer["bias"]))
            norm.weight.copy_(tensor(scale["scale"]))
            norm.bias.copy_(tensor(scale["bias"]))
        own.head.weight.copy_(tensor(params["head"]["kernel"]).T)
        own.head.bias.copy_(tensor(params["head"]["bias"]))
    return own.to(memory_format=torch.channels_last) if channels_last else own


def in_order(own: CNN) -> list[np.ndarray]:
    """The network's parameters in the order of `parameters()`."""
    return [leaf.detach().numpy() for leaf in own.parameters()]


def tensor(array: Any) -> Tensor:
    """A copy of an array."""
    return torch.from_numpy(np.array(array))


def prepared(image: Tensor) -> Tensor:
    """Pixels [b, h, w, c] to the network's input [b, c, h, w], as `training.step.normalise` does."""
    return image.permute(0, 3, 1, 2).float() * (4 / 255) - 2


class Training:
    """Epochs of SGD on a training set that is padded for the augmentation beforehand."""

    def __init__(
        self,
        own: CNN,
        image: np.ndarray,
        label: np.ndarray,
        *,
        batch: int,
        shift: int,
        recipe: Any,
        momentum: float,
    ) -> None:
        self.own, self.batch, self.size, self.reach = own, batch, image.shape[1], 2 * shift
        edges = [(0, 0), (shift, shift), (shift, shift), (0, 0)]
        self.image, self.label = tensor(np.pad(image, edges, mode="edge")), tensor(label).long()
        self.optimiser = torch.optim.SGD(
            own.parameters(),
            lr=recipe.learning_rate,
            momentum=momentum,
            weight_decay=recipe.weight_decay,
            fused=True,
        )

    def epoch(self, draws: np.ndarray, corners: Sequence[np.ndarray] | None = None) -> np.ndarray:
        """Train on the rows `draws`; the loss of each step. `corners` say how each image is shifted (random if not)."""
        losses = []
        along = torch.arange(self.size)
        for i, rows in enumerate(tensor(draws).long().split(self.batch)):
            if corners is None:
                corner = torch.randint(0, self.reach + 1, (len(rows), 2))
            else:
                corner = tensor(corners[i][: len(rows)]).long()
            down, right = (corner[:, axis, None] + along for axis in (0, 1))
            image = prepared(self.image[rows[:, None, None], down[:, :, None], right[:, None, :]])
            self.optimiser.zero_grad(set_to_none=True)
            loss = F.cross_entropy(self.own(image), self.label[rows])
            loss.backward()
            self.optimiser.step()
            losses.append(loss.detach())
        return torch.stack(losses).numpy()

    def compiled(self) -> "Training":
        """The same training through torch.compile, which compiles in its first epoch."""
        twin = copy.copy(self)
        twin.own = torch.compile(self.own)
        return twin


class PerSample:
    """Gradients of each sample by `vmap(grad)`, in chunks."""

    def __init__(self, own: CNN, image: np.ndarray, label: np.ndarray) -> None:
        self.own, self.image, self.label = own, tensor(image), tensor(label).long()
        params = {name: value.detach() for name, value in own.named_parameters()}
        self.head = {name: value for name, value in params.items() if name.startswith("head.")}
        self.body = {name: value for name, value in params.items() if name not in self.head}

    def _chunked(self, per_chunk: Any, inputs: Tensor, chunk: int) -> tuple[np.ndarray, ...]:
        parts = [per_chunk(x, y) for x, y in zip(inputs.split(chunk), self.label.split(chunk), strict=True)]
        return tuple(torch.cat(part).numpy() for part in zip(*parts, strict=True))

    def _loss(self, params: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(self.own, params, (image[None],)), label[None])

    def norms(self, chunk: int) -> np.ndarray:
        """L2 norm of each loss's gradient in all parameters."""

        def one(image: Tensor, label: Tensor) -> tuple[Tensor]:
            found = grad(self._loss)({**self.body, **self.head}, image, label)
            return (torch.sqrt(sum((leaf * leaf).sum() for leaf in found.values())),)

        return self._chunked(lambda x, y: vmap(one)(prepared(x), y), self.image, chunk)[0]

    def last_layer(self, chunk: int) -> tuple[np.ndarray, ...]:
        """Each loss's gradient in the last layer's weights [n, k, d] and bias [n, k], from the images."""

        def one(image: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
            def loss(head: dict[str, Tensor]) -> Tensor:
                return self._loss({**self.body, **head}, image, label)

            found = grad(loss)(self.head)
            return found["head.weight"], found["head.bias"]

        return self._chunked(lambda x, y: vmap(one)(prepared(x), y), self.image, chunk)

    def last_layer_of(self, features: np.ndarray, chunk: int) -> tuple[np.ndarray, ...]:
        """The same from the features that the last layer sees."""

        def one(feature: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
            def loss(head: dict[str, Tensor]) -> Tensor:
                return F.cross_entropy(
                    functional_call(self.own.head, strip(head), (feature[None],)), label[None]
                )

            found = grad(loss)(self.head)
            return found["head.weight"], found["head.bias"]

        return self._chunked(vmap(one), tensor(features), chunk)


def strip(head: dict[str, Tensor]) -> dict[str, Tensor]:
    """The last layer's parameters by its own names."""
    return {name.removeprefix("head."): value for name, value in head.items()}


class Crafting:
    """Steps of gradient matching by double backward: signed Adam on the pixels of r restarts, one after the other."""

    def __init__(
        self,
        own: CNN,
        clean: np.ndarray,
        label: np.ndarray,
        target_gradient: Sequence[np.ndarray],
        *,
        restarts: int,
        eps: float,
        rate: float,
        shift: float,
    ) -> None:
        self.own, self.clean, self.label, self.shift, self.eps = (
            own,
            tensor(clean).float(),
            tensor(label).long(),
            shift,
            eps,
        )
        self.target = [tensor(leaf) for leaf in target_gradient]
        self.params = list(own.parameters())
        noise = eps * torch.randn(restarts, *clean.shape)
        self.deltas = [self._project(one).requires_grad_() for one in noise]
        self.optimisers = [torch.optim.Adam([delta], lr=rate, fused=True) for delta in self.deltas]

    def _project(self, delta: Tensor) -> Tensor:
        low = torch.clamp(-self.clean, min=-self.eps)
        high = torch.clamp(255 - self.clean, max=self.eps)
        return torch.minimum(torch.maximum(delta, low), high)

    def moved(self, image: Tensor, move: Tensor) -> Tensor:
        """Each image moved down and right by its own (dy, dx), bilinear, edges repeated."""
        size = image.shape[1]
        flow = torch.eye(2, 3).repeat(len(image), 1, 1)
        flow[:, :, 2] = -2 * move.flip(1) / size  # x first, in units of half a side
        grid = F.affine_grid(flow, [len(image), image.shape[3], size, size], align_corners=False)
        pixels = image.permute(0, 3, 1, 2)
        moved = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
        return moved.permute(0, 2, 3, 1)

    def loss_and_pixel_gradient(self, image: Tensor, move: Tensor) -> tuple[Tensor, Tensor]:
        """1 - cosine of the poisons' and the targets' gradients, and its gradient in the pixels of `image`."""
        loss = F.cross_entropy(self.own(prepared(self.moved(image, move))), self.label)
        found = torch.autograd.grad(loss, self.params, create_graph=True)
        product = sum((a * b).sum() for a, b in zip(found, self.target, strict=True))
        norms = [
            torch.sqrt(sum((leaf * leaf).sum() for leaf in tree) + 1e-30) for tree in (found, self.target)
        ]
        distance = 1 - product / norms[0] / norms[1]
        return distance.detach(), torch.autograd.grad(distance, image)[0]

    def step(self) -> None:
        """One step of every restart."""
        for delta, optimiser in zip(self.deltas, self.optimisers, strict=True):
            image = self.clean + delta
            move = self.shift * (2 * torch.rand(len(image), 2) - 1)
            _, gradient = self.loss_and_pixel_gradient(image, move)
            delta.grad = gradient.sign()
            optimiser.step()
            with torch.no_grad():
                delta.copy_(self._project(delta))
