"""The programs of an experiment, lowered from shapes alone: the very functions that a run compiles.

An argument stands here as it lies in a run: parameters, optimiser and a resident training set whole on every device,
the rows of a batch or chunk cut along the devices.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec, SingleDeviceSharding

from oilwater_jax import devices, objectives, registry
from oilwater_jax.attacks import matching
from oilwater_jax.config import Config
from oilwater_jax.errors import UserError
from oilwater_jax.fields import GRADIENTS
from oilwater_jax.per_sample import Params, gradient_chunk
from oilwater_jax.per_sample.chunks import Backward, Forward, program
from oilwater_jax.per_sample.scores import FROM_GRADIENT, Named
from oilwater_jax.planning.chips import Target
from oilwater_jax.planning.sizes import Sizes
from oilwater_jax.robustness.clustering import capacity
from oilwater_jax.training import program as programs
from oilwater_jax.training.epoch import SEGMENT, choose_driver, make_dispatches
from oilwater_jax.training.feed import CAPACITY_STEP, Batch, Resident, streams
from oilwater_jax.training.step import Recipe
from oilwater_jax.types import Objective

TRAIN, SCORE, GRADIENT, CRAFT = "train step", "scoring chunk", "per-sample gradients", "GM crafting step"


class Planned(NamedTuple):
    """A program: how much it does in a call, a jitted function and its arguments, their bytes per chip, what helps."""

    name: str
    per_call: int  # samples; restarts of the crafting step
    note: str
    function: Any
    arguments: tuple[Any, ...]  # shapes, and what is static
    known: dict[str, int]
    mend: str


def objective(config: Config, sizes: Sizes) -> Objective:
    """The objective of the config's method: for GEORGE group DRO over as many clusters as it may find."""
    if config.method.name != "george":
        return objectives.erm()
    clusters = sizes.n_classes * config.george.k_max
    return objectives.group_dro(
        np.ones(clusters, np.int64),
        eta=config.group_dro.eta,
        adjustment=config.george.adjustment,
        capacity=capacity(clusters),
    )


def nbytes(tree: Any) -> int:
    """Bytes of a tree of arrays or shapes; random keys are next to none."""
    return sum(
        math.prod(leaf.shape) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
        if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    )


class Layout:
    """Shapes of arguments with where they lie on a target's devices."""

    def __init__(self, target: Target) -> None:
        self.mesh = target.mesh
        self.devices = target.devices

    def whole(self, tree: Any) -> Any:
        """On every device."""
        return self._placed(tree, PartitionSpec())

    def cut(self, shape: tuple[int, ...], dtype: Any, axis: int = 0) -> Any:
        """One part of it on each device."""
        return self._placed(_shape(shape, dtype), PartitionSpec(*[None] * axis, devices.AXIS))

    def first(self, tree: Any) -> Any:
        """On the first device alone."""
        sharding = None if self.mesh is None else SingleDeviceSharding(self.mesh.devices.flat[0])
        return _with(tree, sharding)

    def _placed(self, tree: Any, spec: PartitionSpec) -> Any:
        return _with(tree, self.mesh and NamedSharding(self.mesh, spec))


def _with(tree: Any, sharding: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree)


def plan(config: Config, sizes: Sizes, target: Target) -> list[Planned]:
    """The programs of a config, in order. Raises UserError where the batch cannot be split evenly."""
    if config.train.batch % target.devices:
        near = max(target.devices, round(config.train.batch / target.devices) * target.devices)
        raise UserError(
            f"train.batch = {config.train.batch} cannot be split evenly over the {target.devices} chips of "
            f"{target.name}; give a multiple of {target.devices} (--config.train.batch={near})"
        )
    network = programs.network(config, sizes.shape, sizes.n_classes)
    params = jax.eval_shape(lambda: network.init_params(0))
    layout = Layout(target)
    found = [
        train_step(config, sizes, target, layout, params),
        scoring(config, sizes, target, layout, network, params),
        gradients(config, sizes, target, layout, network, params),
    ]
    if config.attack.name == "gm":
        found.append(crafting(config, sizes, target, layout, network, params))
    return found


def train_step(config: Config, sizes: Sizes, target: Target, layout: Layout, params: Params) -> Planned:
    """The step as an epoch dispatches it: alone, or a segment of them in a scan.

    A resident set's segment is what an accelerator runs, so its memory counts; XLA counts the operations of a loop's
    body once, so they are one step's.
    """
    kind = objective(config, sizes)
    built = programs.build(config, sizes.shape, sizes.n_classes, kind.update)
    state = jax.eval_shape(lambda params: built.begin(params, Recipe(0.0, 0.0, 1), kind.init()), params)
    dispatches = make_dispatches(built.step, target.mesh)
    batch = config.train.batch
    if streams(config.train.placement, sizes.poisoned * math.prod(sizes.shape), target.chip.memory):
        function, how, known = dispatches.sent, "streamed", {}
        columns = (layout.cut((batch,), dtype) for dtype in (jnp.int32, jnp.int32, jnp.bool_))
        fed: tuple[Any, ...] = (Batch(layout.cut((batch, *sizes.shape), jnp.uint8), *columns),)
    else:
        rows = sizes.poisoned + -sizes.poisoned % CAPACITY_STEP
        data = Resident(
            _shape((rows, *sizes.shape), jnp.uint8),
            _shape((rows,), jnp.int32),
            _shape((rows,), jnp.int32),
        )
        scan = choose_driver(config.train.driver, target.platform) == "scan"
        function, how = (
            (dispatches.segment, f"scan of {SEGMENT} steps") if scan else (dispatches.step, "one step")
        )
        shape = (SEGMENT, batch) if scan else (batch,)
        cut = (layout.cut(shape, dtype, axis=len(shape) - 1) for dtype in (jnp.int32, jnp.bool_))
        fed, known = (layout.whole(data), *cut), {"training set": nbytes(data)}
    arguments = (layout.whole(state), *fed, layout.whole(_key()), layout.whole(_shape((), jnp.int32)))
    return Planned(
        name=TRAIN,
        per_call=batch,
        note=f"batch {batch}, {config.model.precision}, {kind.update.__name__}, {how}",
        function=function,
        arguments=arguments,
        known={
            "parameters": nbytes(state.params),
            "optimiser and objective": nbytes(state) - nbytes(state.params),
            **known,
        },
        mend="a smaller train.batch, model.precision=bfloat16, more chips, or (training set) train.placement=streamed",
    )


def scoring(
    config: Config,
    sizes: Sizes,
    target: Target,
    layout: Layout,
    network: programs.Network,
    params: Params,
) -> Planned:
    """A chunk of the pass that identification makes, with all that its method asks for."""
    names = registry.resolve(registry.METHODS, config.method.name).SCORES
    chunk = programs.score_chunk(sizes.shape, target.platform)
    rows = chunk * layout.devices
    per_chunk = Forward(network.apply, network.prepare, tuple(names))
    return Planned(
        name=SCORE,
        per_call=rows,
        note=f"{chunk} rows a chip: {', '.join(names)}",
        function=program(per_chunk, layout.mesh),
        arguments=_chunk(layout, params, rows, sizes),
        known=_chunk_bytes(params, chunk, sizes),
        mend="a smaller network or model.precision=bfloat16",
    )


def gradients(
    config: Config,
    sizes: Sizes,
    target: Target,
    layout: Layout,
    network: programs.Network,
    params: Params,
) -> Planned:
    """A chunk of the pass that EPIc makes where it compares all parameters' gradients, else of gradient norms."""
    wanted = GRADIENTS[config.epic.gradients]
    name = wanted if wanted in FROM_GRADIENT else "gradient_norm"
    chunk = gradient_chunk(params, platform=target.platform)
    per_chunk = Backward(network.apply, network.prepare, Named((name,)), target.platform)
    return Planned(
        name=GRADIENT,
        per_call=chunk * layout.devices,
        note=f"{chunk} rows a chip: {name}",
        function=program(per_chunk, layout.mesh),
        arguments=_chunk(layout, params, chunk * layout.devices, sizes),
        known=_chunk_bytes(params, chunk, sizes),
        mend="a smaller network, or epic.gradients=last_layer, which needs none",
    )


def crafting(
    config: Config,
    sizes: Sizes,
    target: Target,
    layout: Layout,
    network: programs.Network,
    params: Params,
) -> Planned:
    """A step of gradient matching as the attack makes it: on one device."""
    gm = config.attack.gm
    at_once = matching.default_at_once(
        network.apply,
        params,
        (sizes.poisons, *sizes.shape),
        restarts=gm.restarts,
        platform=target.platform,
        memory=target.chip.memory,
    )
    image = _shape((sizes.poisons, *sizes.shape), jnp.float32)
    keys = _shape((at_once,), _key().dtype)
    scalar = _shape((), jnp.float32)
    state = jax.eval_shape(matching.begin, image, scalar, keys)
    problem = matching.Problem(
        params,
        params,
        _shape((sizes.poisons,), jnp.int32),
        scalar,
        _shape((), jnp.bool_),
    )
    arguments = (problem, image, scalar, state, keys, _shape((), jnp.int32), scalar)
    return Planned(
        name=CRAFT,
        per_call=at_once,
        note=f"{sizes.poisons} poisons, {at_once} restarts at once",
        function=matching.step,
        arguments=(network.apply, network.prepare, *layout.first(arguments)),
        known={
            "parameters": nbytes(params),
            "target gradient": nbytes(params),
            "poisons": nbytes((image, state)),
        },
        mend="a smaller attack.budget or fewer attack.gm.restarts",
    )


def _chunk(layout: Layout, params: Params, rows: int, sizes: Sizes) -> tuple[Any, ...]:
    image, label = layout.cut((rows, *sizes.shape), jnp.uint8), layout.cut((rows,), jnp.int32)
    return (layout.whole(params), (), image, label)


def _chunk_bytes(params: Params, rows: int, sizes: Sizes) -> dict[str, int]:
    return {"parameters": nbytes(params), "images": rows * math.prod(sizes.shape)}


def _shape(shape: tuple[int, ...], dtype: Any) -> Any:
    """Stands for an array, which is what the type checkers are to take it for."""
    return jax.ShapeDtypeStruct(shape, dtype)


def _key() -> Any:
    return jax.eval_shape(lambda: jax.random.key(0))
