"""The training step: a pure function (state, batch, key) -> (state, loss)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Key, UInt8

from oilwater_jax.models.variables import Params, join, split
from oilwater_jax.per_sample import loss as sample_loss
from oilwater_jax.training.feed import Batch
from oilwater_jax.types import State, Update

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of RGB in 0..1

Pixels = UInt8[Array, "b h w c"] | Float[Array, "b h w c"]
Prepare = Callable[[Pixels], Float[Array, "b h w c"]]
# (params, image, mask of samples) -> logits and, of a network that has them, the statistics after this batch.
TrainApply = Callable[
    [Params, Float[Array, "b h w c"], Bool[Array, " b"]], tuple[Float[Array, "b k"], Params]
]


class TrainState(NamedTuple):
    """All that training changes; a checkpoint is this and the selector's state."""

    params: Params
    opt_state: Any
    objective_state: State


class Recipe(NamedTuple):
    """The optimisation settings of one training; numbers, so that changing them compiles nothing."""

    learning_rate: float
    weight_decay: float
    epochs: int


def sgd(momentum: float) -> Callable[[Recipe], optax.GradientTransformation]:
    """SGD with momentum and L2 decay added to the gradient (as PyTorch's SGD does), given a recipe.

    Learning rate and decay live in the optimiser's state, so no recipe compiles anew.
    """

    @optax.inject_hyperparams
    def build(
        learning_rate: Float[Array, ""], weight_decay: Float[Array, ""]
    ) -> optax.GradientTransformation:
        return optax.chain(
            optax.add_decayed_weights(weight_decay), optax.sgd(learning_rate, momentum=momentum)
        )

    return lambda recipe: build(
        learning_rate=jnp.float32(recipe.learning_rate), weight_decay=jnp.float32(recipe.weight_decay)
    )


def normalise(image: Pixels) -> Float[Array, "b h w c"]:
    """Pixels 0..255 to float32 in -2..2: (x / 255 - 0.5) / 0.25."""
    return image.astype(jnp.float32) * (4.0 / 255.0) - 2.0


def normalise_inception(image: Pixels) -> Float[Array, "b h w c"]:
    """Pixels 0..255 to float32 in -1..1: (x / 255 - 0.5) / 0.5, as timm's own ViT weights expect."""
    return image.astype(jnp.float32) * (2.0 / 255.0) - 1.0


def normalise_imagenet(image: Pixels) -> Float[Array, "b h w c"]:
    """RGB pixels 0..255 to float32, (x / 255 - mean) / std of ImageNet's channels: torchvision's and DeiT's weights."""
    mean, std = (jnp.array(numbers).reshape(1, 1, 1, 3) for numbers in (IMAGENET_MEAN, IMAGENET_STD))
    return (image.astype(jnp.float32) / 255.0 - mean) / std


NORMALISE = {"half": normalise, "imagenet": normalise_imagenet, "inception": normalise_inception}


def random_shift(image: UInt8[Array, "b h w c"], key: Key[Array, ""], pixels: int) -> UInt8[Array, "b h w c"]:
    """Each image moved by its own whole number of pixels in -pixels..pixels, edges repeated."""
    if pixels == 0:
        return image
    b, h, w, c = image.shape
    padded = jnp.pad(image, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)), mode="edge")
    corner = jax.random.randint(key, (b, 2), 0, 2 * pixels + 1)
    cut = jax.vmap(lambda one, at: jax.lax.dynamic_slice(one, (at[0], at[1], 0), (h, w, c)))
    return cut(padded, corner)


StepFn = Callable[[TrainState, Batch, Key[Array, ""]], tuple[TrainState, Float[Array, ""]]]


def make_step(
    apply: TrainApply,
    prepare: Prepare,
    optimiser: optax.GradientTransformation,
    update_objective: Update,
    shift: int,
) -> StepFn:
    """The pure step function, not yet jitted.

    `step(state, batch, key)` trains on the batch's rows where its mask is True and returns the new state and the
    loss of the batch. The optimiser sees the weights alone; running statistics are those that `apply` returns.
    """

    def step(state: TrainState, batch: Batch, key: Key[Array, ""]) -> tuple[TrainState, Float[Array, ""]]:
        image = prepare(random_shift(batch.image, key, shift))
        weights, statistics = split(state.params)

        def scalar(weights: Params) -> tuple[Float[Array, ""], tuple[State, Params]]:
            logits, moved = apply({**weights, **statistics}, image, batch.mask)
            losses = jax.vmap(sample_loss)(logits, batch.label)
            value, objective_state = update_objective(state.objective_state, losses, batch.group, batch.mask)
            return value, (objective_state, moved)

        (value, (objective_state, moved)), grads = jax.value_and_grad(scalar, has_aux=True)(weights)
        updates, opt_state = optimiser.update(grads, state.opt_state, weights)
        params = join({"params": optax.apply_updates(weights, updates), **moved})
        return TrainState(params, opt_state, objective_state), value

    return step
