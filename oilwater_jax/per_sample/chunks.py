"""Apply functions of one sample to a data set: vmapped, chunked, split over devices. The only place that does."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int, Shaped

from oilwater_jax.devices import AXIS, mesh, replicate, replicated, shard
from oilwater_jax.devices import memory as device_memory
from oilwater_jax.entries import Score
from oilwater_jax.images import Images
from oilwater_jax.per_sample.convolution import with_matmuls
from oilwater_jax.per_sample.figures import FROM_FEATURES, FROM_LOGITS, Params, loss

Prepare = Callable[[Shaped[Array, "b ..."]], Float[Array, "b ..."]]
Apply = Callable[[Params, Float[Array, "b ..."]], tuple[Float[Array, "b k"], Float[Array, "b d"]]]
Devices = Sequence[Any]  # of jax.Device, which is no type to a type checker
Inputs = Shaped[np.ndarray, "n ..."] | Shaped[Images, "n ..."]
Figure = Callable[..., Any]  # (one sample's gradient, *given) -> arrays

BUDGET = {"cpu": 2**30}  # bytes of per-sample gradients at once
SHARE = 0.5  # of a device's memory, on other platforms
GRADIENT_CHUNK = {"cpu": 64}  # rows at most; on a CPU larger chunks fall out of the cache
MATMUL_BACKENDS = ("cpu",)  # where convolutions of single samples are faster as matmuls


@dataclasses.dataclass(frozen=True)
class Forward:
    """Figures of a chunk that one forward pass yields. Equal instances share their compilation."""

    apply: Apply
    prepare: Prepare
    names: tuple[str, ...]
    given: tuple[Score, ...] = ()  # those of the names that are not built in

    def __call__(
        self, params: Params, given: tuple[Any, ...], image: Shaped[Array, "b ..."], label: Int[Array, " b"]
    ) -> dict[str, Array]:
        """By name; the argument `given` is not looked at."""
        logits, features = self.apply(params, self.prepare(image))
        figures = FROM_LOGITS | {one.name: one.figure for one in self.given}
        return {
            name: jax.vmap(FROM_FEATURES[name])(logits, label, features)
            if name in FROM_FEATURES
            else jax.vmap(figures[name])(logits, label)
            for name in self.names
        }


@dataclasses.dataclass(frozen=True)
class Backward:
    """A figure of a chunk's samples that needs the gradient of each. Equal instances share their compilation."""

    apply: Apply
    prepare: Prepare
    figure: Figure
    platform: str = dataclasses.field(default_factory=jax.default_backend)  # that it is compiled for

    def __call__(
        self, params: Params, given: tuple[Any, ...], image: Shaped[Array, "b ..."], label: Int[Array, " b"]
    ) -> Any:
        """What the figure yields, with the samples as first axis; `given` goes to the figure."""
        apply = with_matmuls(self.apply) if self.platform in MATMUL_BACKENDS else self.apply

        def sample_loss(
            params: Params, image: Shaped[Array, "..."], label: Int[Array, ""]
        ) -> Float[Array, ""]:
            logits, _ = apply(params, self.prepare(image[None]))
            return loss(logits[0], label)

        def one(image: Shaped[Array, "..."], label: Int[Array, ""]) -> Any:
            return self.figure(jax.grad(sample_loss)(params, image, label), *given)

        return jax.vmap(one)(image, label)


def activation_bytes(apply: Apply, params: Params, shape: tuple[int, ...]) -> int:
    """Bytes of the forward pass on one input of `shape` that the gradient in the parameters keeps; nothing is computed.

    Before XLA, which may keep less by computing again.
    """

    def kept(rows: int) -> int:
        image = jax.ShapeDtypeStruct((rows, *shape), np.float32)
        residuals = jax.eval_shape(lambda params, image: jax.vjp(apply, params, image)[1], params, image)
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(residuals))

    return kept(2) - kept(1)  # the difference has no parameters in it


def gradient_chunk(
    params: Params, budget: int | None = None, platform: str | None = None, memory: int | None = None
) -> int:
    """How many samples' gradients a device may hold at once: what `budget` bytes have room for, at least one.

    At most GRADIENT_CHUNK on the platforms it names, 512 elsewhere; the platform and a device's memory are JAX's own if
    not given. Counted are a gradient and a flattened copy of it, not the network's activations: a figure that needs no
    whole gradient takes less than that, because XLA reduces each layer's as it comes.
    """
    platform = platform or jax.default_backend()
    if budget is None:
        budget = BUDGET.get(platform) or int(SHARE * (device_memory() if memory is None else memory))
    size = 2 * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(params))
    return max(1, min(budget // max(size, 1), GRADIENT_CHUNK.get(platform, 512)))


@functools.lru_cache(maxsize=256)
def program(per_chunk: Forward | Backward, over: Mesh | None) -> Any:
    """`(params, given, image, label) -> figures` of one chunk, compiled for the devices of `over` (None: for one)."""
    if over is None:
        return jax.jit(per_chunk.__call__)
    everywhere, rows = PartitionSpec(), PartitionSpec(AXIS)
    # Each device runs the chunk's program on its own rows; left to itself, XLA gathers grouped convolutions.
    shared = jax.shard_map(
        per_chunk.__call__,
        mesh=over,
        in_specs=(everywhere, everywhere, rows, rows),
        out_specs=rows,
        check_vma=False,
    )
    # What other processes' devices hold cannot be read: then every device gets all of it.
    return jax.jit(shared, out_shardings=replicated(over) if jax.process_count() > 1 else None)


def in_chunks(
    per_chunk: Forward | Backward,
    params: Params,
    image: Inputs,
    label: Int[np.ndarray, " n"],
    *,
    chunk: int,
    given: tuple[Any, ...] = (),
    devices: Devices | None = None,
) -> Any:
    """What `per_chunk` yields for all n samples, as arrays on the host.

    Works on `chunk` rows a device at a time; only these, and the results of the chunk before, are on the devices,
    so `image` may be a np.memmap, or Images, larger than memory. `devices` are all, of all processes, if not given;
    with several, each takes its share of the rows of every chunk. Compiles once whatever n is. Raises ValueError for
    no samples or a number of labels that is not that of the images.
    """
    n = len(image)
    if not n:
        raise ValueError("per-sample figures of no samples")
    if len(label) != n:
        raise ValueError(f"{n} images and {len(label)} labels")
    over = mesh(devices)
    run = program(per_chunk, over)
    put: Callable[[Any], Any] = np.asarray
    if over is not None:
        params, given = replicate((params, given), over)
        put = functools.partial(shard, over=over)
    rows = chunk * (over.size if over else 1)
    results: Any = None

    def keep(start: int, part: Any) -> None:
        nonlocal results
        if results is None:
            results = jax.tree.map(lambda leaf: np.empty((n, *leaf.shape[1:]), leaf.dtype), part)
        for whole, own in zip(jax.tree.leaves(results), jax.tree.leaves(jax.device_get(part)), strict=True):
            whole[start : start + rows] = own[: n - start]

    before = None
    for start in range(0, n, rows):
        # The last chunk is filled up with the first rows; what they yield is cut off again.
        at = np.arange(start, start + rows) % n
        part = run(params, given, put(image[at]), put(label[at]))
        if before is not None:
            keep(*before)  # while the devices work on this one
        before = start, part
    if before is not None:
        keep(*before)
    return results
