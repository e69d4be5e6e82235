"""The programs of an experiment, lowered from shapes alone: the very functions that a run compiles.

An argument stands here as it lies in a run: parameters, optimiser and a resident training set whole on every device,
the rows of a batch or chunk cut along the devices.
"""

import math
from collections.abc import Container
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec, SingleDeviceSharding

from oilwater_jax import devices, objectives
from oilwater_jax.attacks.lab import Costly
from oilwater_jax.errors import UserError
from oilwater_jax.per_sample import Params, gradient_chunk
from oilwater_jax.per_sample.chunks import Backward, Forward, program
from oilwater_jax.per_sample.scores import FROM_GRADIENT, Named
from oilwater_jax.planning.chips import Target
from oilwater_jax.planning.sizes import Sizes
from oilwater_jax.rows import Row
from oilwater_jax.settings.config import Config, looks_of, registry_of, rows_of, view
from oilwater_jax.training import program as programs
from oilwater_jax.training.epoch import SEGMENT, make_dispatches
from oilwater_jax.training.feed import CAPACITY_STEP, Batch, Resident, lines_of, streams
from oilwater_jax.training.step import Kind
from oilwater_jax.types import Objective, Recipe

TRAIN, SCORE, GRADIENT = "train step", "scoring chunk", "per-sample gradients"


class Planned(NamedTuple):
    """A program: how much it does in a call, a jitted function and its arguments, their bytes per chip, what helps."""

    name: str
    chips: int  # that work on a call together
    per_call: int  # samples; restarts of the crafting step
    note: str
    function: Any
    arguments: tuple[Any, ...]  # shapes, and what is static
    known: dict[str, int]
    mend: str
    costly: Costly | None = None  # of the attack's own program


def objective(config: Config, row: Row, n_classes: int) -> tuple[str, Objective]:
    """The program of a row's training steps, by name, and the largest objective that it may have."""
    registry = registry_of(config)
    for atom in row.last:
        method = registry.method(atom.name)
        if method.largest:
            return f"{TRAIN}, {method.label or method.name}", method.largest(view(config, method), n_classes)
    return TRAIN, objectives.erm()


def kinds(config: Config, n_classes: int) -> dict[str, Objective]:
    """Every kind of step that an experiment's rows train with; ERM's, which reference models have, first."""
    return {TRAIN: objectives.erm()} | dict(objective(config, row, n_classes) for row in rows_of(config))


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
    """The programs of a config that its rows call, in order. Raises UserError if the batch cannot be split evenly.

    Train steps both of all chips together and of one chip. In a pass over samples each chip runs the chunk's program on
    its own rows, as if alone, so that one chip's program stands for both.
    """
    if config.train.batch % target.devices:
        near = max(target.devices, round(config.train.batch / target.devices) * target.devices)
        raise UserError(
            f"train.batch = {config.train.batch} cannot be split evenly over the {target.devices} chips of "
            f"{target.name}; give a multiple of {target.devices} (--config.train.batch={near})"
        )
    network = programs.network(config, sizes.shape, sizes.n_classes, target.platform)
    params = jax.eval_shape(lambda: network.init_params(0))
    one = target.one
    layout = Layout(one)
    found = [
        train_step(config, sizes, over, Layout(over), params, name, kind)
        for over in ([one, target] if target.devices > 1 else [one])
        for name, kind in kinds(config, sizes.n_classes).items()
    ]
    found.append(scoring(config, sizes, one, layout, network, params))
    if scores(config, FROM_GRADIENT, wanted=True):
        found.append(gradients(config, sizes, one, layout, network, params))
    costly = crafting(config, sizes, one, network, params)
    return [*found, *(crafted(each, layout, params) for each in costly)]


def train_step(
    config: Config,
    sizes: Sizes,
    target: Target,
    layout: Layout,
    params: Params,
    name: str,
    kind: Objective,
) -> Planned:
    """The step as an epoch dispatches it: alone, or a segment of them in a scan.

    A resident set's segment is what an accelerator runs, so its memory counts; XLA counts the operations of a loop's
    body once, so they are one step's.
    """
    made_for = Kind(kind.update, kind.networks)
    built = programs.build(config, sizes.shape, sizes.n_classes, made_for, target.platform)
    everyone = (params,) * kind.networks
    state = jax.eval_shape(
        lambda params: built.begin(params, Recipe(0.0, 0.0, 1), kind.init(), None), everyone
    )
    dispatches = make_dispatches(built.step, target.mesh)
    batch = config.train.batch
    if streams(config.train.placement, sizes.poisoned * math.prod(sizes.shape), target.chip.memory):
        function, how, known = dispatches.sent, "streamed", {}
        columns = (layout.cut((batch,), dtype) for dtype in (jnp.int32, jnp.int32, jnp.int32, jnp.bool_))
        fed: tuple[Any, ...] = (Batch(layout.cut((batch, *sizes.shape), jnp.uint8), *columns),)
    else:
        rows = sizes.poisoned + -sizes.poisoned % CAPACITY_STEP
        data = Resident(
            _shape((rows, *lines_of(sizes.shape)), jnp.uint8),
            _shape((rows,), jnp.int32),
            _shape((rows,), jnp.int32),
            _shape((0, *sizes.shape), jnp.uint8),
        )
        network = programs.network(config, sizes.shape, sizes.n_classes, target.platform)
        scan = programs.driver_of(network, config.train.driver) == "scan"
        function, how = (
            (dispatches.segment, f"scan of {SEGMENT} steps") if scan else (dispatches.step, "one step")
        )
        shape = (SEGMENT, batch) if scan else (batch,)
        cut = (layout.cut(shape, dtype, axis=len(shape) - 1) for dtype in (jnp.int32, jnp.bool_))
        fed, known = (layout.whole(data), *cut), {"training set": nbytes(data)}
    arguments = (layout.whole(state), *fed, layout.whole(_key()), layout.whole(_shape((), jnp.int32)))
    return Planned(
        name=name,
        chips=target.devices,
        per_call=batch,
        note=f"batch {batch}, {config.model.precision}, {kind.update.__name__}, {how}",
        function=function,
        arguments=arguments,
        known={
            "parameters": nbytes(everyone),
            "optimiser and objective": nbytes(state) - nbytes(everyone),
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
    """A chunk of the pass over a reference model, with all that the methods ask for without gradients."""
    names = scores(config, FROM_GRADIENT, wanted=False) or ("correct",)
    chunk = programs.score_chunk(sizes.shape, target.platform)
    rows = chunk * layout.devices
    per_chunk = Forward(network.forward, network.prepare, tuple(names))
    return Planned(
        name=SCORE,
        chips=1,
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
    """A chunk of a pass that needs every sample's gradient, with all that the methods ask for."""
    names = scores(config, FROM_GRADIENT, wanted=True)
    chunk = gradient_chunk(params, platform=target.platform, memory=target.chip.memory)
    per_chunk = Backward(network.apply, network.prepare, Named(names), target.platform)
    return Planned(
        name=GRADIENT,
        chips=1,
        per_call=chunk * layout.devices,
        note=f"{chunk} rows a chip: {', '.join(names)}",
        function=program(per_chunk, layout.mesh),
        arguments=_chunk(layout, params, chunk * layout.devices, sizes),
        known=_chunk_bytes(params, chunk, sizes),
        mend="a smaller network, or a method that compares last-layer gradients, which need none",
    )


def scores(config: Config, gradients: Container[str], *, wanted: bool) -> tuple[str, ...]:
    """The scores that a config's methods ask for, beforehand or in rounds: those that need `gradients`, or do not."""
    registry, found = registry_of(config), []
    for row in (*rows_of(config), *looks_of(config)):
        for atom in row.atoms:
            method = registry.method(atom.name)
            seen = view(config, method)
            found += [*method.scores_of(seen), *method.in_rounds(seen)]
    return tuple(name for name in dict.fromkeys(found) if (name in gradients) == wanted)


def crafting(
    config: Config, sizes: Sizes, target: Target, network: programs.Network, params: Params
) -> tuple[Costly, ...]:
    """The programs that the attack's poisons are made by, where that is costly: on one device."""
    attack = registry_of(config).attack(config.attack.name)
    if attack.crafting is None:
        return ()
    return attack.crafting(
        view(config, attack),
        network.apply,
        network.prepare,
        params,
        (sizes.poisons, *sizes.shape),
        target.platform,
        target.chip.memory,
    )


def crafted(costly: Costly, layout: Layout, params: Params) -> Planned:
    """The costly program as planned."""
    tenants = {name: nbytes(tree) for name, tree in costly.tenants.items()}
    return Planned(
        name=costly.what,
        chips=1,
        per_call=costly.at_once,
        note=costly.note,
        function=costly.function,
        arguments=(*costly.static, *layout.first(costly.arguments)),
        known={"parameters": nbytes(params), **tenants},
        mend=costly.mend,
        costly=costly,
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
