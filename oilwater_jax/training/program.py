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
from oilwater_jax.training import recipes
from oilwater_jax.training.epoch import EpochFn, make_epoch
from oilwater_jax.training.step import (
    NORMALISE,
    Kind,
    Prepare,
    StepFn,
    TrainApply,
    TrainState,
    make_step,
    private_numbers,
)
from oilwater_jax.types import Private, Recipe, State

SCORE_CHUNK = 256  # rows per forward pass on an accelerator
CPU_CHUNK = 64  # on a CPU: larger ones fall out of a core's cache


class Network(NamedTuple):
    """Pure functions around one network."""

    init_params: Callable[[int], Params]  # seed -> parameters
    apply: Apply  # frozen: a sample's logits depend on it alone
    forward: Apply  # the same up to rounding, and faster where no single sample's gradient is asked for
    train_apply: TrainApply
    driver: str  # of an epoch: what suits the network on its platform
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


def network(
    config: Config, image_shape: tuple[int, ...], n_classes: int, platform: str | None = None
) -> Network:
    """The network of a config's `model`, for images [h, w, c]. Equal settings share their compilations.

    The platform that it is compiled for is JAX's own if not given.
    """
    registry, m = registry_of(config), config.model
    entry = registry.model(m.name)
    seen = json.dumps(to_json(view(config, entry)), sort_keys=True)
    platform = platform or jax.default_backend()
    scores = registry.scores()
    return _network(entry, seen, m.precision, m.normalise, image_shape, n_classes, scores, platform)


def width(config: Config) -> int:
    """How many features the last layer of a config's network sees."""
    entry = registry_of(config).model(config.model.name)
    return entry.features(view(config, entry))


def build(
    config: Config,
    image_shape: tuple[int, ...],
    n_classes: int,
    kind: Kind = PLAIN,
    platform: str | None = None,
) -> Program:
    """The programs for a config's `model` and `train`, images [h, w, c] and a kind of step.

    Equal settings share their compilations. The platform is JAX's own if not given.
    """
    train = config.train
    return _program(
        network(config, image_shape, n_classes, platform),
        kind,
        train.batch,
        train.momentum,
        train.shift,
        train.driver,
    )


def score_chunk(image_shape: tuple[int, ...], platform: str | None = None) -> int:
    """Rows per forward pass: on a CPU fewer, of larger images still fewer, so that little only fills a chunk up.

    The platform is JAX's own if not given.
    """
    if (platform or jax.default_backend()) != "cpu":
        return SCORE_CHUNK
    return max(16, min(CPU_CHUNK, 4 * CPU_CHUNK * 32**2 // (image_shape[0] * image_shape[1])))


@functools.lru_cache(maxsize=32)
def _network(
    entry: Model,
    seen: str,
    precision: str,
    normalise: str,
    image_shape: tuple[int, ...],
    n_classes: int,
    scores: tuple[Score, ...],
    platform: str,
) -> Network:
    """`seen` is what the model sees of a config, as JSON: two configs that agree in it share their network."""
    layers = entry.build(ConfigDict(json.loads(seen)), n_classes, jnp.dtype(precision))
    prepare = NORMALISE[normalise]
    by = entry.on_a_cpu if platform == "cpu" and precision == "float32" else None

    def apply(params: Params, image: Any) -> Any:
        weights, statistics = split(params)
        # Whoever differentiates in `params` finds zeros for the statistics: a gradient is the weights' alone.
        return layers.apply({"params": weights, **jax.lax.stop_gradient(statistics)}, image)

    def train_apply(params: Params, image: Any, mask: Any) -> Any:
        weights, statistics = split(params)
        if by is not None:
            return by(weights, image)[0], statistics
        (logits, _), moved = layers.apply(
            {"params": weights, **statistics}, image, mask, mutable=[STATISTICS]
        )
        return logits, moved

    jit_init = jax.jit(layers.init)  # one program, without the forward pass that flax makes to see the shapes

    def init_params(seed: int) -> Params:
        return join(jit_init(rng.key(seed, "parameters"), jnp.zeros((1, *image_shape))))

    forward = by or apply
    scorer = make_scorer(apply, prepare, score_chunk(image_shape, platform), scores, forward)
    loops = platform == "cpu" and convolves(train_apply, layers, image_shape)
    driver = "loop" if loops else "scan"
    return Network(init_params, apply, forward, train_apply, driver, prepare, scorer)


def convolves(train_apply: TrainApply, layers: Any, image_shape: tuple[int, ...]) -> bool:
    """Whether a training step has one of XLA's convolutions in it. Nothing is computed."""
    image = jnp.zeros((1, *image_shape))
    params = jax.eval_shape(lambda: join(layers.init(jax.random.key(0), image)))
    traced = jax.make_jaxpr(train_apply)(params, image, jnp.ones(1, bool))
    return jax.lax.conv_general_dilated_p.name in str(traced)


@functools.lru_cache(maxsize=64)
def _program(network: Network, kind: Kind, batch: int, momentum: float, shift: int, driver: str) -> Program:
    optimiser = recipes.optimiser(momentum, kind.form)

    def begin(
        params: tuple[Params, ...], recipe: Recipe, objective_state: State, private: Private | None
    ) -> TrainState:
        # The hyperparameters in the state rule, so the transformation built below serves every recipe.
        moving = tuple(split(one, kind.trained)[0] for one in params)
        opt_state = optimiser(recipe).init(moving)
        return TrainState(params[0], opt_state, objective_state, params[1:], private_numbers(private))

    def frozen(params: Params, image: Any, mask: Any) -> Any:
        return network.forward(params, image)[0], {}

    step = make_step(
        network.train_apply if kind.trained == "all" else frozen,
        network.apply,
        network.prepare,
        optimiser(Recipe(0.0, 0.0, 1)),
        kind,
        shift,
    )
    return Program(network.score, begin, step, make_epoch(step, batch, driver_of(network, driver)))


def driver_of(network: Network, driver: str) -> str:
    """How an epoch is driven, given `train.driver`: auto is what suits the network."""
    return network.driver if driver == "auto" else driver
