"""Training recipes: the optimiser, the learning rate of each epoch, image augmentation.

Everything here is optax's and JAX's; a recipe only chooses. Numbers (rate, decay, clipping) live in the optimiser's
state, so that no number compiles anew; what changes the program's shape is in `Form`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key, Shaped, UInt8

from oilwater_jax.types import Recipe

ASPECTS = (3 / 4, 4 / 3)  # of a random crop: width / height, as torchvision's RandomResizedCrop


class Form(NamedTuple):
    """What of a recipe a step is compiled for."""

    optimiser: str = "sgd"
    pulled: bool = False
    clipped: bool = False
    accumulate: int = 1
    flip: bool = False
    crop: float = 1.0


def form(recipe: Recipe) -> Form:
    """The form of a recipe."""
    return Form(
        recipe.optimiser,
        recipe.pull > 0,
        recipe.clip > 0,
        recipe.accumulate,
        recipe.flip,
        recipe.crop,
    )


def rate(recipe: Recipe, epoch: int) -> float:
    """The learning rate of an epoch (1 is the first), by optax's schedules.

    schedule   after the warm-up
    constant   learning_rate
    cosine     half a cosine from learning_rate; it would be 0 one epoch after the last
    step       times `factor` after each epoch of `milestones`

    In the first `warmup` epochs it grows in equal steps: learning_rate / (warmup + 1), twice that, ...
    """
    warm, left = recipe.warmup, max(1, recipe.epochs - recipe.warmup)
    if epoch <= warm:
        return recipe.learning_rate * epoch / (warm + 1)
    since = epoch - 1
    schedules: dict[str, optax.Schedule] = {
        "constant": optax.constant_schedule(recipe.learning_rate),
        "cosine": lambda at: optax.cosine_decay_schedule(recipe.learning_rate, left)(at - warm),
        "step": optax.piecewise_constant_schedule(
            recipe.learning_rate, dict.fromkeys(recipe.milestones, recipe.factor)
        ),
    }
    return float(np.asarray(schedules[recipe.schedule](since)))


def pull_to_start(pull: float | Float[Array, ""]) -> optax.GradientTransformation:
    """Adds the gradient of `pull` times the squared distance from the parameters that it was begun with."""

    def init(params: optax.Params) -> optax.OptState:
        return params

    def update(
        updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.OptState]:
        moved = jax.tree.map(lambda u, now, start: u + 2 * pull * (now - start), updates, params, state)
        return moved, state

    return optax.GradientTransformation(init, update)


def _sgd(momentum: float, rate: Any, decay: Any) -> optax.GradientTransformation:
    """SGD with momentum and L2 decay added to the gradient, as PyTorch's SGD."""
    return optax.chain(optax.add_decayed_weights(decay), optax.sgd(rate, momentum=momentum))


def _adamw(momentum: float, rate: Any, decay: Any) -> optax.GradientTransformation:
    """AdamW, decay apart from the gradient (Loshchilov & Hutter 2019); beta2 = 0.999. Momentum is beta1."""
    return optax.adamw(rate, b1=momentum, weight_decay=decay)


OPTIMISERS: dict[str, Callable[[float, Any, Any], optax.GradientTransformation]] = {
    "sgd": _sgd,
    "adamw": _adamw,
}


def optimiser(momentum: float, form: Form) -> Callable[[Recipe], optax.GradientTransformation]:
    """The optimiser of a form, given a recipe whose numbers it begins with.

    They live in its state, so no recipe of the same form compiles anew. Gradients are pulled, then clipped to the
    global norm `recipe.clip`, then averaged over `accumulate` batches.
    """

    @optax.inject_hyperparams
    def build(
        learning_rate: Float[Array, ""],
        weight_decay: Float[Array, ""],
        pull: Float[Array, ""],
        clip: Float[Array, ""],
    ) -> optax.GradientTransformation:
        before = [pull_to_start(pull)] if form.pulled else []
        before += [optax.clip_by_global_norm(clip)] if form.clipped else []  # pyright: ignore[reportArgumentType]
        return optax.chain(*before, OPTIMISERS[form.optimiser](momentum, learning_rate, weight_decay))

    def given(recipe: Recipe) -> optax.GradientTransformation:
        numbers = (recipe.learning_rate, recipe.weight_decay, recipe.pull, recipe.clip)
        made = build(*map(jnp.float32, numbers))
        if form.accumulate == 1:
            return made
        return optax.MultiSteps(made, form.accumulate).gradient_transformation()

    return given


def at_rate(opt_state: Any, rate: float) -> Any:
    """An optimiser's state with another learning rate."""
    if isinstance(opt_state, optax.MultiStepsState):
        return opt_state._replace(inner_opt_state=at_rate(opt_state.inner_opt_state, rate))
    # On the devices that the old one is on: a step is compiled for these.
    changed = jnp.full_like(opt_state.hyperparams["learning_rate"], rate)
    return opt_state._replace(hyperparams=opt_state.hyperparams | {"learning_rate": changed})


def random_shift(image: UInt8[Array, "b h w c"], key: Key[Array, ""], pixels: int) -> UInt8[Array, "b h w c"]:
    """Each image moved by its own whole number of pixels in -pixels..pixels, edges repeated."""
    if pixels == 0:
        return image
    b, h, w, c = image.shape
    padded = jnp.pad(image, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)), mode="edge")
    corner = jax.random.randint(key, (b, 2), 0, 2 * pixels + 1)
    cut = jax.vmap(lambda one, at: jax.lax.dynamic_slice(one, (at[0], at[1], 0), (h, w, c)))
    return cut(padded, corner)


def random_flip(image: Shaped[Array, "b h w c"], key: Key[Array, ""]) -> Shaped[Array, "b h w c"]:
    """Each image mirrored left to right with probability one half."""
    return jnp.where(jax.random.bernoulli(key, 0.5, (len(image), 1, 1, 1)), image[:, :, ::-1], image)


def random_crop(
    image: Shaped[Array, "b h w c"], key: Key[Array, ""], smallest: float
) -> Float[Array, "b h w c"]:
    """A rectangle of each image, resized to the image's size (linear, antialiased as `jax.image.resize` is).

    Its share of the area is uniform in smallest..1, the logarithm of its aspect uniform between those of ASPECTS (as
    torchvision's RandomResizedCrop draws them); what would be higher or wider than the image is cut to it.
    """
    b, h, w, _ = image.shape
    of_area, of_aspect, of_place = jax.random.split(key, 3)
    area = jax.random.uniform(of_area, (b,), minval=smallest, maxval=1.0) * h * w
    low, high = jnp.log(jnp.asarray(ASPECTS))
    aspect = jnp.exp(jax.random.uniform(of_aspect, (b,), minval=low, maxval=high))
    sides = jnp.stack([jnp.sqrt(area / aspect), jnp.sqrt(area * aspect)], axis=1)
    whole = jnp.asarray([[h, w]], jnp.float32)
    sides = jnp.minimum(sides, whole)
    corner = jax.random.uniform(of_place, (b, 2)) * (whole - sides)

    def resized(one: Array, side: Array, at: Array) -> Array:
        scale = jnp.asarray([h, w], jnp.float32) / side
        return jax.image.scale_and_translate(
            one.astype(jnp.float32), one.shape, (0, 1), scale, -at * scale, "linear"
        )

    return jax.vmap(resized)(image, sides, corner)


def varied(
    image: Shaped[Array, "b ..."], key: Key[Array, ""], shift: int, form: Form
) -> Shaped[Array, "b ..."]:
    """A batch's images as a training step sees them: shifted; cropped and mirrored where the recipe says so.

    Rows of a table, for which no recipe says so, are as they are.
    """
    image = random_shift(image, key, shift) if shift else image
    if form.crop < 1:
        image = random_crop(image, jax.random.fold_in(key, 4), form.crop)
    return random_flip(image, jax.random.fold_in(key, 3)) if form.flip else image
