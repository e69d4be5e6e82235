"""The compiled programs of an experiment, made once and used by every training of every seed."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from oilwater_jax import objectives, registry, rng
from oilwater_jax.config import Config
from oilwater_jax.per_sample import Params, Scorer, make_scorer
from oilwater_jax.training.epoch import EpochFn, make_epoch
from oilwater_jax.training.step import Recipe, TrainState, make_step, normalise, sgd
from oilwater_jax.types import State

SCORE_CHUNK = 256  # rows per forward pass; larger ones fall out of a core's cache


class Program(NamedTuple):
    """Pure functions around one network and one objective."""

    init_params: Callable[[int], Params]  # seed -> parameters
    begin: Callable[[Params, Recipe], TrainState]
    epoch: EpochFn
    score: Scorer


def build(config: Config, image_shape: tuple[int, ...], n_classes: int) -> Program:
    """The programs for a config's `model` and `train` and images [h, w, c]; equal settings share compilations."""
    model = tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in config.model.items())
    train = config.train
    return _build(model, image_shape, n_classes, train.batch, train.momentum, train.shift, train.driver)


@functools.lru_cache(maxsize=32)
def _build(
    model: tuple[tuple[str, Any], ...],
    image_shape: tuple[int, ...],
    n_classes: int,
    batch: int,
    momentum: float,
    shift: int,
    driver: str,
) -> Program:
    settings = dict(model)
    module = registry.resolve(registry.MODELS, settings.pop("name"))
    network = module.build(n_classes=n_classes, **settings)
    optimiser = sgd(momentum)
    objective = objectives.erm()

    def apply(params: Params, image: Any) -> Any:
        return network.apply({"params": params}, image)

    def init_params(seed: int) -> Params:
        return network.init(rng.key(seed, "parameters"), jnp.zeros((1, *image_shape)))["params"]

    def begin(params: Params, recipe: Recipe) -> TrainState:
        # The hyperparameters in the state rule, so the transformation built here serves every recipe.
        return TrainState(params, optimiser(recipe).init(params), objective.init())

    any_recipe: State = optimiser(Recipe(0.0, 0.0, 1))
    step = make_step(apply, any_recipe, objective, shift)
    return Program(
        init_params, begin, make_epoch(step, batch, driver), make_scorer(apply, normalise, SCORE_CHUNK)
    )
