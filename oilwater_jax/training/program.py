"""The compiled programs of an experiment, made once and used by every training of every seed."""

import functools
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from oilwater_jax import objectives, rng
from oilwater_jax.entries import Model, Score
from oilwater_jax.models.variables import STATISTICS, Params, join, split
from oilwater_jax.per_sample import Apply, Scorer, make_scorer
from oilwater_jax.settings.config import Config, registry_of, to_json, view
from oilwater_jax.training.epoch import EpochFn, make_epoch
from oilwater_jax.training.step import (
    NORMALISE,
    Kind,
    Prepare,
    StepFn,
    TrainApply,
    TrainState,
    as_it_is,
    make_step,
    private_numbers,
    sgd,
)
from oilwater_jax.types import Private, Recipe, State

SCORE_CHUNK = 256  # rows per forward pass; larger ones fall out of a core's cache
TABLE_CHUNK = 2048  # of a table's rows, which are short


class Network(NamedTuple):
    """Pure functions around one network."""

    init_params: Callable[[int], Params]  # seed -> parameters
    apply: Apply  # frozen: a sample's logits depend on it alone
    train_apply: TrainApply
    prepare: Prepare  # pixels to what the two take
    score: Scorer


# (parameters of each network, recipe, the objective's first state, aggregation) -> the state before the first step.
Begin = Callable[[tuple[Params, ...], Recipe, State, Private | None], TrainState]
PLAIN = Kind(objectives.erm_update)


class Program(NamedTuple):
    """Pure functions around one network and one kind of objective."""

    score: Scorer
    begin: Begin
    step: StepFn  # what an epoch repeats
    epoch: EpochFn


def network(config: Config, image_shape: tuple[int, ...], n_classes: int) -> Network:
    """The network of a config's `model`, for images [h, w, c] or rows of a table [d].

    Equal settings share their compilations.
    """
    registry, m = registry_of(config), config.model
    entry = registry.model(m.name)
    seen = json.dumps(to_json(view(config, entry)), sort_keys=True)
    return _network(entry, seen, m.precision, m.normalise, image_shape, n_classes, registry.scores())


def width(config: Config) -> int:
    """How many features the last layer of a config's network sees."""
    entry = registry_of(config).model(config.model.name)
    return entry.features(view(config, entry))


def build(config: Config, image_shape: tuple[int, ...], n_classes: int, kind: Kind = PLAIN) -> Program:
    """The programs for a config's `model` and `train`, images [h, w, c] and a kind of step.

    Equal settings share their compilations.
    """
    train = config.train
    return _program(
        network(config, image_shape, n_classes),
        kind,
        train.batch,
        train.momentum,
        train.shift if len(image_shape) == 3 else 0,  # rows of a table cannot be shifted
        train.driver,
    )


def score_chunk(image_shape: tuple[int, ...], platform: str | None = None) -> int:
    """Rows per forward pass: on a CPU fewer of larger images, so that little is computed only to fill a chunk up.

    The platform is JAX's own if not given.
    """
    if len(image_shape) != 3:
        return TABLE_CHUNK
    if (platform or jax.default_backend()) != "cpu":
        return SCORE_CHUNK
    return max(16, min(SCORE_CHUNK, SCORE_CHUNK * 32**2 // (image_shape[0] * image_shape[1])))


@functools.lru_cache(maxsize=32)
def _network(
    entry: Model,
    seen: str,
    precision: str,
    normalise: str,
    image_shape: tuple[int, ...],
    n_classes: int,
    scores: tuple[Score, ...],
) -> Network:
    """`seen` is what the model sees of a config, as JSON: two configs that agree in it share their network."""
    layers = entry.build(ConfigDict(json.loads(seen)), n_classes, jnp.dtype(precision))
    prepare = NORMALISE[normalise] if len(image_shape) == 3 else as_it_is

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

    scorer = make_scorer(apply, prepare, score_chunk(image_shape), scores)
    return Network(init_params, apply, train_apply, prepare, scorer)


@functools.lru_cache(maxsize=64)
def _program(network: Network, kind: Kind, batch: int, momentum: float, shift: int, driver: str) -> Program:
    optimiser = sgd(momentum, pulled=kind.pulled)

    def begin(
        params: tuple[Params, ...], recipe: Recipe, objective_state: State, private: Private | None
    ) -> TrainState:
        # The hyperparameters in the state rule, so the transformation built below serves every recipe.
        moving = tuple(split(one, kind.trained)[0] for one in params)
        opt_state = optimiser(recipe).init(moving)
        return TrainState(params[0], opt_state, objective_state, params[1:], private_numbers(private))

    def frozen(params: Params, image: Any, mask: Any) -> Any:
        return network.apply(params, image)[0], {}

    step = make_step(
        network.train_apply if kind.trained == "all" else frozen,
        network.apply,
        network.prepare,
        optimiser(Recipe(0.0, 0.0, 1)),
        kind,
        shift,
    )
    return Program(network.score, begin, step, make_epoch(step, batch, driver))
