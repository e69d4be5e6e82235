"""The compiled programs of an experiment, made once and used by every training of every seed."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from oilwater_jax import objectives, registry, rng
from oilwater_jax.config import Config
from oilwater_jax.models.variables import STATISTICS, Params, join, split
from oilwater_jax.per_sample import Apply, Scorer, make_scorer
from oilwater_jax.training.epoch import EpochFn, make_epoch
from oilwater_jax.training.step import (
    NORMALISE,
    Prepare,
    Recipe,
    StepFn,
    TrainApply,
    TrainState,
    make_step,
    sgd,
)
from oilwater_jax.types import State, Update

SCORE_CHUNK = 256  # rows per forward pass; larger ones fall out of a core's cache


class Network(NamedTuple):
    """Pure functions around one network."""

    init_params: Callable[[int], Params]  # seed -> parameters
    apply: Apply  # frozen: a sample's logits depend on it alone
    train_apply: TrainApply
    prepare: Prepare  # pixels to what the two take
    score: Scorer


class Program(NamedTuple):
    """Pure functions around one network and one kind of objective."""

    score: Scorer
    begin: Callable[[Params, Recipe, State], TrainState]  # the last is the objective's first state
    step: StepFn  # what an epoch repeats
    epoch: EpochFn


def network(config: Config, image_shape: tuple[int, ...], n_classes: int) -> Network:
    """The network of a config's `model`, for images [h, w, c]. Equal settings share their compilations."""
    m = config.model
    return _network(m.name, tuple(m.widths), m.precision, m.normalise, image_shape, n_classes)


def build(
    config: Config, image_shape: tuple[int, ...], n_classes: int, update: Update = objectives.erm_update
) -> Program:
    """The programs for a config's `model` and `train`, images [h, w, c] and an objective's `update`.

    Equal settings share their compilations.
    """
    train = config.train
    return _program(
        network(config, image_shape, n_classes),
        update,
        train.batch,
        train.momentum,
        train.shift,
        train.driver,
    )


def score_chunk(image_shape: tuple[int, ...], platform: str | None = None) -> int:
    """Rows per forward pass: on a CPU fewer of larger images, so that little is computed only to fill a chunk up.

    The platform is JAX's own if not given.
    """
    if (platform or jax.default_backend()) != "cpu":
        return SCORE_CHUNK
    return max(16, min(SCORE_CHUNK, SCORE_CHUNK * 32**2 // (image_shape[0] * image_shape[1])))


@functools.lru_cache(maxsize=32)
def _network(
    name: str,
    widths: tuple[int, ...],
    precision: str,
    normalise: str,
    image_shape: tuple[int, ...],
    n_classes: int,
) -> Network:
    module = registry.resolve(registry.MODELS, name)
    layers = module.build(name=name, n_classes=n_classes, widths=widths, dtype=jnp.dtype(precision))
    prepare = NORMALISE[normalise]

    def apply(params: Params, image: Any) -> Any:
        weights, statistics = split(params)
        # Whoever differentiates in `params` finds zeros for the statistics: a gradient is the weights' alone.
        return layers.apply({"params": weights, **jax.lax.stop_gradient(statistics)}, image)

    def train_apply(params: Params, image: Any, mask: Any) -> Any:
        weights, statistics = split(params)
        (logits, _), moved = layers.apply(
            {"params": weights, **statistics}, image, mask, mutable=[STATISTICS]
        )
        return logits, moved

    jit_init = jax.jit(layers.init)  # one program, without the forward pass that flax makes to see the shapes

    def init_params(seed: int) -> Params:
        return join(jit_init(rng.key(seed, "parameters"), jnp.zeros((1, *image_shape))))

    return Network(
        init_params, apply, train_apply, prepare, make_scorer(apply, prepare, score_chunk(image_shape))
    )


@functools.lru_cache(maxsize=32)
def _program(
    network: Network, update: Update, batch: int, momentum: float, shift: int, driver: str
) -> Program:
    optimiser = sgd(momentum)

    def begin(params: Params, recipe: Recipe, objective_state: State) -> TrainState:
        # The hyperparameters in the state rule, so the transformation built below serves every recipe.
        return TrainState(params, optimiser(recipe).init(split(params)[0]), objective_state)

    step = make_step(network.train_apply, network.prepare, optimiser(Recipe(0.0, 0.0, 1)), update, shift)
    return Program(network.score, begin, step, make_epoch(step, batch, driver))
