"""The compiled programs of an experiment, made once and used by every training of every seed."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from oilwater_jax import objectives, registry, rng
from oilwater_jax.config import Config
from oilwater_jax.per_sample import Apply, Params, Scorer, make_scorer
from oilwater_jax.training.epoch import EpochFn, make_epoch
from oilwater_jax.training.step import Recipe, TrainState, make_step, normalise, sgd
from oilwater_jax.types import State, Update

SCORE_CHUNK = 256  # rows per forward pass; larger ones fall out of a core's cache


class Network(NamedTuple):
    """Pure functions around one network."""

    init_params: Callable[[int], Params]  # seed -> parameters
    apply: Apply
    score: Scorer


class Program(NamedTuple):
    """Pure functions around one network and one kind of objective."""

    score: Scorer
    begin: Callable[[Params, Recipe, State], TrainState]  # the last is the objective's first state
    epoch: EpochFn


def network(config: Config, image_shape: tuple[int, ...], n_classes: int) -> Network:
    """The network of a config's `model`, for images [h, w, c]. Equal settings share their compilations."""
    model = tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in config.model.items())
    return _network(model, image_shape, n_classes)


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


@functools.lru_cache(maxsize=32)
def _network(model: tuple[tuple[str, Any], ...], image_shape: tuple[int, ...], n_classes: int) -> Network:
    settings = dict(model)
    module = registry.resolve(registry.MODELS, settings.pop("name"))
    layers = module.build(n_classes=n_classes, **settings)

    def apply(params: Params, image: Any) -> Any:
        return layers.apply({"params": params}, image)

    def init_params(seed: int) -> Params:
        return layers.init(rng.key(seed, "parameters"), jnp.zeros((1, *image_shape)))["params"]

    return Network(init_params, apply, make_scorer(apply, normalise, SCORE_CHUNK))


@functools.lru_cache(maxsize=32)
def _program(
    network: Network, update: Update, batch: int, momentum: float, shift: int, driver: str
) -> Program:
    optimiser = sgd(momentum)

    def begin(params: Params, recipe: Recipe, objective_state: State) -> TrainState:
        # The hyperparameters in the state rule, so the transformation built below serves every recipe.
        return TrainState(params, optimiser(recipe).init(params), objective_state)

    step = make_step(network.apply, optimiser(Recipe(0.0, 0.0, 1)), update, shift)
    return Program(network.score, begin, make_epoch(step, batch, driver))
