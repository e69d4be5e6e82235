"""The training step: a pure function (state, batch, key) -> (state, loss)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Key, UInt8

from oilwater_jax.models.variables import Params, join, split
from oilwater_jax.per_sample import Apply, gradient_norm
from oilwater_jax.per_sample import loss as sample_loss
from oilwater_jax.per_sample.chunks import MATMUL_BACKENDS
from oilwater_jax.per_sample.convolution import with_matmuls
from oilwater_jax.training.feed import Batch
from oilwater_jax.training.recipes import Form, varied
from oilwater_jax.types import Mix, Mixed, Private, Rows, State, Update

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of RGB in 0..1

Pixels = UInt8[Array, "b h w c"] | Float[Array, "b h w c"]
Prepare = Callable[[Any], Float[Array, "b ..."]]  # images or rows of a table to the network's input
# (params, image, mask of samples) -> logits and, of a network that has them, the statistics after this batch.
TrainApply = Callable[[Params, Float[Array, "b ..."], Bool[Array, " b"]], tuple[Float[Array, "b k"], Params]]


class TrainState(NamedTuple):
    """All that training changes; a checkpoint is this and the selector's state.

    `others` are the parameters of further networks that an objective trains beside the one that is reported;
    `private` is the aggregation of gradients, if it is not the mean: numbers, so that another setting compiles nothing.
    """

    params: Params
    opt_state: Any
    objective_state: State
    others: tuple[Params, ...] = ()
    private: tuple[Array, ...] = ()


class Kind(NamedTuple):
    """The static properties of a compiled step: the objective's `update`, number of networks, what is trained, how.

    `mix` is the objective's, where it has one.
    """

    update: Update
    networks: int = 1
    trained: str = "all"
    private: bool = False
    form: Form = Form()
    mix: Mix | None = None


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


def as_it_is(row: Float[Array, "b d"]) -> Float[Array, "b d"]:
    """Rows of a table are standardised where the data are made."""
    return row


NORMALISE = {"half": normalise, "imagenet": normalise_imagenet, "inception": normalise_inception}


StepFn = Callable[[TrainState, Batch, Key[Array, ""]], tuple[TrainState, Float[Array, ""]]]


def make_step(
    apply: TrainApply,
    sample_apply: Apply,
    prepare: Prepare,
    optimiser: optax.GradientTransformation,
    kind: Kind,
    shift: int,
) -> StepFn:
    """The pure step function, not yet jitted; `sample_apply` is for gradients of single samples.

    `step(state, batch, key)` trains on the batch's rows where its mask is True and returns the new state and the
    loss of the batch. The optimiser sees what is trained alone; running statistics are those that `apply` returns.
    """

    def scalar(
        moving: tuple[Params, ...],
        fixed: tuple[Params, ...],
        objective_state: State,
        image: Float[Array, "b ..."],
        batch: Batch,
        mixed: Mixed | None,
    ) -> tuple[Float[Array, ""], tuple[State, tuple[Params, ...]]]:
        image = image if mixed is None else mixed.image
        outputs = [apply({**one, **rest}, image, batch.mask) for one, rest in zip(moving, fixed, strict=True)]
        losses = jnp.stack([row_losses(logits, batch.rows, mixed) for logits, _ in outputs])
        value, objective_state = kind.update(objective_state, losses, batch.rows)
        return value, (objective_state, tuple(moved for _, moved in outputs))

    def step(state: TrainState, batch: Batch, key: Key[Array, ""]) -> tuple[TrainState, Float[Array, ""]]:
        image = prepare(varied(batch.image, key, shift, kind.form))
        parts = [split(params, kind.trained) for params in (state.params, *state.others)]
        moving, fixed = (tuple(part) for part in zip(*parts, strict=True))
        mixed = None
        if kind.mix is not None:
            mixed = kind.mix(state.objective_state, jax.random.fold_in(key, 2), image, batch.rows)
        (value, (objective_state, moved)), grads = jax.value_and_grad(scalar, has_aux=True)(
            moving, fixed, state.objective_state, image, batch, mixed
        )
        if kind.private:
            clip, noise = state.private
            total = private_gradient(sample_apply, moving[0], fixed[0], image, batch, clip)
            grads = (noised(total, clip * noise, len(batch.mask), jax.random.fold_in(key, 1)),)
        updates, opt_state = optimiser.update(grads, state.opt_state, moving)
        after: list[Params] = [
            join({"params": {**rest, **new}, **out})
            for new, rest, out in zip(_applied(moving, updates), fixed, moved, strict=True)
        ]
        return TrainState(after[0], opt_state, objective_state, tuple(after[1:]), state.private), value

    return step


def row_losses(logits: Float[Array, "b k"], rows: Rows, mixed: Mixed | None) -> Float[Array, " b"]:
    """Each row's loss; of a mixed batch the mixture of those of its two labels."""
    own = jax.vmap(sample_loss)(logits, rows.label)
    if mixed is None:
        return own
    return mixed.ratio * own + (1 - mixed.ratio) * jax.vmap(sample_loss)(logits, mixed.second)


def _applied(moving: tuple[Params, ...], updates: Any) -> Any:
    """Each network's weights after a step."""
    return optax.apply_updates(moving, updates)


def private_gradient(
    apply: Apply,
    moving: Params,
    fixed: Params,
    image: Float[Array, "b ..."],
    batch: Batch,
    clip: Float[Array, ""],
) -> Params:
    """Sum over the batch's rows of each row's gradient of its loss, scaled down to the norm `clip` where it is longer.

    References: Abadi et al. 2016, "Deep Learning with Differential Privacy", algorithm 1.
    """
    if jax.default_backend() in MATMUL_BACKENDS:
        apply = with_matmuls(apply)

    def one(image: Array, label: Array, keep: Array) -> Params:
        def own(moving: Params) -> Float[Array, ""]:
            logits, _ = apply({**moving, **fixed}, image[None])
            return sample_loss(logits[0], label)

        gradient = jax.grad(own)(moving)
        norm = gradient_norm(gradient)
        scale = keep * jnp.minimum(1.0, clip / jnp.maximum(norm, 1e-12))
        return jax.tree.map(lambda leaf: leaf * scale, gradient)

    rows = jax.vmap(one)(image, batch.label, batch.mask)
    return jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), rows)


def noised(total: Params, deviation: Float[Array, ""], batch: int, key: Key[Array, ""]) -> Params:
    """The sum with normal noise of that standard deviation in every coordinate, divided by the batch's size."""
    leaves, structure = jax.tree.flatten(total)
    keys = jax.random.split(key, len(leaves))
    moved = [
        (leaf + deviation * jax.random.normal(one, leaf.shape, leaf.dtype)) / batch
        for leaf, one in zip(leaves, keys, strict=True)
    ]
    return jax.tree.unflatten(structure, moved)


def private_numbers(private: Private | None) -> tuple[Array, ...]:
    """What a state holds of an aggregation."""
    return () if private is None else (jnp.float32(private.clip), jnp.float32(private.noise))
