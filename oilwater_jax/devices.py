"""Devices: one mesh with the axis `data`, replication and sharding, and agreement between processes.

Parameters, optimiser, objective and the training set are copied to every device; the rows of a batch and of a chunk
to be scored are cut along `data`. Programs are compiled for the whole mesh and mean what they mean on one device: a
mean over a batch is over all its rows, wherever they lie.

Of several processes each loads the whole data set and makes the same decisions on the host; the first alone
writes, and `first` tells the others what it read or decided. With one device and one process nothing here
does anything.
"""

import contextlib
import functools
import math
import os
import pickle
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from oilwater_jax.errors import UserError

AXIS = "data"
LIMIT = Path("/sys/fs/cgroup/memory.max")  # what a container may use
JOINING = 300  # seconds in which the processes must come together ($OILWATER_JOINING)
LEAVING = 120  # seconds that a process which ends waits for the others to end too
T = TypeVar("T")


def mesh(devices: Sequence[Any] | None = None) -> Mesh | None:
    """The devices, all of all processes if not given, along `data`; None for one, which needs no mesh."""
    chosen = tuple(jax.devices() if devices is None else devices)
    return _mesh(chosen) if len(chosen) > 1 else None


@functools.cache
def _mesh(devices: tuple[Any, ...]) -> Mesh:
    return Mesh(np.array(devices), (AXIS,))


def replicated(over: Mesh | None = None) -> NamedSharding | None:
    """The sharding of what every device of `over` (the mesh of all) holds whole; None, JAX's choice, without a mesh."""
    over = over or mesh()
    return over and NamedSharding(over, PartitionSpec())


def replicate(tree: Any, over: Mesh | None = None) -> Any:
    """The arrays of a tree, the same in every process, whole on every device; those that are there stay."""
    sharding = replicated(over)
    return jax.tree.map(jnp.asarray if sharding is None else lambda leaf: _place(leaf, sharding), tree)


def shard(array: np.ndarray, axis: int = 0, over: Mesh | None = None) -> np.ndarray | jax.Array:
    """A host array cut along `axis` into one part per device, which must come out even; on one device as it is."""
    over = over or mesh()
    return array if over is None else _place(array, NamedSharding(over, PartitionSpec(*[None] * axis, AXIS)))


def shard_rows(array: Any) -> jax.Array:
    """An array on the host, or images on disk, cut along the first axis; each process reads its devices' rows only."""
    over = mesh()
    if over is None:
        return jnp.asarray(array[:])

    def read(index: Any) -> np.ndarray:
        return array[index[0]]

    return jax.make_array_from_callback(array.shape, NamedSharding(over, PartitionSpec(AXIS)), read)


def _place(array: Any, sharding: NamedSharding) -> jax.Array:
    if jax.process_count() == 1 or (isinstance(array, jax.Array) and array.sharding == sharding):
        return jax.device_put(array, sharding)
    host = np.asarray(array)
    # Not device_put, which compares the processes' arrays in a collective of its own.
    return jax.make_array_from_callback(host.shape, sharding, host.__getitem__)


def memory() -> int:
    """Bytes of memory of one of this process's devices; CPU devices share the host's, or the container's."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"]
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):  # no such container, or no limit: "max"
        host = min(host, int(LIMIT.read_text()))
    return host // jax.local_device_count()


def check_batch(batch: int) -> None:
    """Raise UserError if a batch cannot be cut evenly."""
    count = jax.device_count()
    if batch % count:
        near = max(count, round(batch / count) * count)
        raise UserError(
            f"train.batch = {batch} cannot be split evenly over {count} devices; "
            f"give a multiple of {count} (--config.train.batch={near})"
        )


def join(coordinator: str | None, processes: int | None, process: int | None) -> None:
    """Join several processes into one run, before JAX is used; all None: detect from the cluster.

    `coordinator` is HOST:PORT of the first process. Raises UserError if they do not come together; where they have
    not after JOINING seconds, the process ends with that line, since JAX itself would end it with a page of its own.
    """
    where = "the cluster's environment" if coordinator is None else f"--coordinator={coordinator}"
    seconds = float(os.environ.get("OILWATER_JOINING", JOINING))
    # SIGTERM is heard in Python: see preemption.py.
    jax.config.update("jax_enable_preemption_service", False)
    watch = threading.Timer(seconds, _give_up, (where, seconds))
    watch.daemon = True
    watch.start()
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            initialization_timeout=2 * math.ceil(seconds) + 60,
            shutdown_timeout_seconds=LEAVING,
        )
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"the processes cannot be joined through {where} ({reason})") from error
    finally:
        watch.cancel()


def _give_up(where: str, seconds: float) -> None:
    """End this process in one line, from a thread: the main one is within JAX, and hears nothing."""
    text = (
        f"oilwater: error: the processes cannot be joined through {where}: after {seconds:g} seconds not all of them "
        "are there; start them all, process 0 among them, and check address, port and firewall\n"
    )
    os.write(2, text.encode())
    os._exit(2)


def is_first() -> bool:
    """Whether this process is the one that reads, writes and prints."""
    return jax.process_index() == 0


def first(compute: Callable[[], T]) -> T:
    """What `compute()` returns in the first process, in all of them; it is called there alone.

    All processes must come here in the same order. A UserError there is raised in all of them.
    """
    if jax.process_count() == 1:
        return compute()
    message = b""
    if is_first():
        try:
            outcome: Any = (compute(), None)
        except UserError as error:
            outcome = (None, str(error))
        message = pickle.dumps(outcome)  # from a process of this very run, never from a file
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(message))))
    # To a power of two: each size compiles a program.
    padded = np.zeros(1 << (size - 1).bit_length(), np.uint8)
    padded[: len(message)] = np.frombuffer(message, np.uint8)
    value, complaint = pickle.loads(multihost_utils.broadcast_one_to_all(padded).tobytes())
    if complaint is not None:
        raise UserError(complaint)
    return value


def anywhere(flag: bool) -> bool:
    """Whether the flag is set in any process; every process must call this."""
    return (
        flag if jax.process_count() == 1 else bool(np.any(multihost_utils.process_allgather(np.array(flag))))
    )


def check_same(value: Any, what: str) -> None:
    """Raise UserError in all processes if one value differs from the first; every process must call this."""
    if anywhere(first(lambda: value) != value):
        raise UserError(f"the processes were started with different {what}; give all of them the same")
