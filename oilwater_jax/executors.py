"""Where the units of a sweep run: processes of this machine, or a Ray cluster (extra `ray`).

A worker process has a share of its own: accelerators (`accelerators.py`) where the machine has some, else a core. It
is pinned to one core, or to an accelerator's part of the cores, however many there are for each: XLA's and BLAS's sums
depend, in their last digits, on the number of threads, and a sweep's figures must not depend on the number of workers.
"""

import abc
import contextlib
import fcntl
import functools
import importlib
import itertools
import multiprocessing
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import IO, Any
from urllib.parse import urlsplit

from oilwater_jax import accelerators
from oilwater_jax.accelerators import Share
from oilwater_jax.errors import UserError
from oilwater_jax.files import open_lock, private_folder

EXECUTORS = ("processes", "ray")
SETTINGS = ("JAX_", "XLA_", "OILWATER_")  # environment variables that a cluster's workers take from the sweep
REACH = 5.0  # seconds in which a cluster's address must answer
WAIT = 0.5  # seconds between two looks for a free share


class WorkerDied(Exception):
    """The process of a call died, and its result is lost."""


class Executor(contextlib.AbstractContextManager):
    """Worker processes as a context manager; leaving it by an exception stops them at once."""

    @abc.abstractmethod
    def workers(self) -> int:
        """Number of concurrent calls."""

    @abc.abstractmethod
    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Have a worker process call a function."""

    @abc.abstractmethod
    def result(self, future: Future[Any]) -> Any:
        """What a call returned, once its future is done. Raises WorkerDied if it never will return."""


def make(
    name: str, *, workers: int = 0, address: str = "", per_unit: int = 1, platforms: str | None = None
) -> Executor:
    """The executor of this name, one of EXECUTORS, with `per_unit` accelerators for a unit; `address` is for ray.

    `platforms` is JAX_PLATFORMS as the workers are to have it; None: as this process has it. Raises UserError.
    """
    platforms = os.environ.get("JAX_PLATFORMS", "") if platforms is None else platforms
    if name == "ray":
        return Ray(address, workers, per_unit, platforms)
    if address:
        raise UserError(f"--address={address} is a Ray cluster's; it goes with --executor=ray")
    return Processes(workers, accelerators.shares(accelerators.find(platforms), per_unit), platforms)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Processes(Executor):
    """A pool of processes of this machine: one per share, or per core without shares; at most `workers`.

    A pool whose worker died is replaced. Raises UserError for more workers than there are shares.
    """

    def __init__(self, workers: int = 0, shares: Sequence[Share] = (), platforms: str = "") -> None:
        private_folder()  # where it cannot be used, that is said before any process is started
        if shares and workers > len(shares):
            raise UserError(
                f"--workers={workers}, but the accelerators of this machine are enough for {len(shares)} at a time; "
                "leave it out, or set JAX_PLATFORMS=cpu to use the cores"
            )
        self._workers = workers or len(shares) or cores()
        each = max(1, cores() // len(shares)) if shares else 1
        self._started = (os.getpid(), tuple(shares), each, platforms)
        self._pool = self._make()

    def _make(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # JAX's threads do not survive a fork
        return ProcessPoolExecutor(
            self._workers, mp_context=context, initializer=_start, initargs=self._started
        )

    def workers(self) -> int:
        """As Executor."""
        return self._workers

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """As Executor."""
        try:
            return self._pool.submit(function, *arguments)
        except BrokenProcessPool:
            self._pool.shutdown()
            self._pool = self._make()
            return self._pool.submit(function, *arguments)

    def result(self, future: Future[Any]) -> Any:
        """As Executor. One worker that dies takes all calls of its pool along."""
        try:
            return future.result()
        except BrokenProcessPool as error:
            raise WorkerDied from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind:
            for child in multiprocessing.active_children():
                child.terminate()
        self._pool.shutdown()


class Ray(Executor):
    """The workers of a running Ray cluster, each call on `per_unit` of its GPUs or TPU chips, or else on one CPU.

    `address` is HOST:PORT or what else `ray.init` takes; empty: $RAY_ADDRESS, or the cluster of this machine.
    `workers` bounds the calls at a time, 0: what the cluster has room for. With accelerators a call has its part of the
    cluster's CPUs. JAX_PLATFORMS=cpu: on CPUs. The machines must have this very package, its
    dependencies, and the files that a call names. Raises UserError if Ray or the cluster is not there.
    """

    def __init__(self, address: str = "", workers: int = 0, per_unit: int = 1, platforms: str = "") -> None:
        # How often Ray tries each address: its default, 20, takes many minutes over a dead one.
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")
        try:
            self._ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise UserError(
                "--executor=ray needs the package ray: pip install 'oilwater_jax[ray]', or leave --executor out"
            ) from error
        address = address or os.environ.get("RAY_ADDRESS") or "auto"
        try:
            _reach(address)
            self._ray.init(address, logging_level="ERROR", log_to_driver=False)
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(
                f"no Ray cluster can be reached at {address} ({error}); start one (ray start --head), "
                "or give another --address=HOST:PORT"
            ) from error
        resources = self._ray.cluster_resources()
        self._wanted = wanted(resources, per_unit, platforms)
        settings = {name: value for name, value in os.environ.items() if name.startswith(SETTINGS)}
        settings["JAX_PLATFORMS"] = platforms
        self._call = functools.partial(
            self._ray.remote(_call).options(name="oilwater", max_retries=0, **self._wanted).remote,
            os.getcwd(),
            settings,
            self._wanted["num_cpus"],
        )
        self._workers = workers

    def workers(self) -> int:
        """As Executor; it changes with the cluster."""
        return self._workers or room(self._ray.cluster_resources(), self._wanted)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """As Executor."""
        return self._call(function, *arguments).future()

    def result(self, future: Future[Any]) -> Any:
        """As Executor. Raises UserError if a machine cannot so much as begin."""
        try:
            return future.result()
        except self._ray.exceptions.RayTaskError as error:
            raise UserError(
                f"a machine of the Ray cluster cannot work ({str(error).splitlines()[-1]}); "
                "each needs the same oilwater_jax as this one"
            ) from error
        except self._ray.exceptions.RayError as error:
            raise WorkerDied from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ray.shutdown()  # the cluster ends the workers of whoever leaves it


def _reach(address: str) -> None:
    """Knock at HOST:PORT, since Ray itself gives a dead address up only after minutes. Raises OSError."""
    place = urlsplit(address if "://" in address else f"ray://{address}")
    if place.hostname and place.port:
        socket.create_connection((place.hostname, place.port), REACH).close()


def wanted(resources: Mapping[str, float], per_unit: int, platforms: str) -> dict[str, Any]:
    """What a unit asks a Ray cluster of these resources for, as options of a remote function. Raises UserError."""
    first = platforms.partition(",")[0]
    for kind, called in (("TPU", ("", "tpu")), ("GPU", ("", "cuda", "gpu"))):
        count = int(resources.get(kind, 0))
        if count and first in called:
            accelerators.check_per_unit(kind, count, per_unit)
            part = max(1, int(resources.get("CPU", 1)) * per_unit // count)
            asked = {"num_gpus": per_unit} if kind == "GPU" else {"resources": {kind: per_unit}}
            return {"num_cpus": part, **asked}
    accelerators.check_per_unit("", 0, per_unit)
    return {"num_cpus": 1}


def room(resources: Mapping[str, float], asked: Mapping[str, Any]) -> int:
    """How many units that ask for this a cluster has room for at a time; at least one, which then waits."""
    needs = {"CPU": asked["num_cpus"], "GPU": asked.get("num_gpus", 0), **asked.get("resources", {})}
    return max(1, min(int(resources.get(name, 0) // need) for name, need in needs.items() if need))


def _call(
    folder: str, settings: Mapping[str, str], count: int, function: Callable[..., Any], *arguments: Any
) -> Any:
    """A call in a process of the cluster, which knows nothing of where it came from but its accelerators."""
    _set(settings)
    with contextlib.suppress(OSError):  # a machine without the folder can still do what names no file in it
        os.chdir(folder)
    take_cores(count)
    return function(*arguments)


def _start(parent: int, shares: tuple[Share, ...], count: int, platforms: str) -> None:
    """Begin a process of the pool: with its share, on so many cores, and gone when the sweep is gone."""
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    _set({"JAX_PLATFORMS": platforms} | dict(take_share(shares).environment if shares else {}))
    take_cores(count)


def _set(environment: Mapping[str, str]) -> None:
    """Set variables before JAX is used; the user's own script may have imported it already."""
    os.environ.update(environment)
    if not os.environ.get("JAX_PLATFORMS"):
        os.environ.pop("JAX_PLATFORMS", None)
    if "jax" in sys.modules:
        sys.modules["jax"].config.update("jax_platforms", os.environ.get("JAX_PLATFORMS"))


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)  # without this, a killed sweep would leave its workers behind, holding stages


_HELD: list[IO[bytes]] = []  # locks that this process has until it ends


def _lock(name: str) -> IO[bytes] | None:
    """A lock among this user's processes, if it is free. The kernel gives it back when its process ends, however."""
    lock = open_lock(private_folder() / f"{name}.lock")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def take_share(shares: Sequence[Share]) -> Share:
    """Take, for good, the first share whose devices no other worker of this user has; wait for one if need be."""
    told = False
    while True:
        for share in shares:
            locks = [_lock(device) for device in share.devices]
            if all(locks):
                _HELD.extend(lock for lock in locks if lock)
                return share
            for lock in filter(None, locks):
                lock.close()
        if not told:
            print("oilwater: waiting for accelerators that another sweep is using", file=sys.stderr)
            told = True
        time.sleep(WAIT)


@functools.cache
def take_cores(count: int) -> tuple[int, ...]:
    """Pin this process for good to `count` cores, those that the fewest other workers of this user are pinned to."""
    if not hasattr(os, "sched_setaffinity"):
        return ()
    own = sorted(os.sched_getaffinity(0))
    taken: set[int] = set()
    for turn, core in _turns(own):
        if len(taken) == min(count, len(own)):
            break
        lock = None if core in taken else _lock(f"core{core}-{turn}")
        if lock:
            _HELD.append(lock)
            taken.add(core)
    os.sched_setaffinity(0, taken)
    return tuple(sorted(taken))


def _turns(own: list[int]) -> Iterator[tuple[int, int]]:
    """Every core once, then every core twice, ..."""
    return ((turn, core) for turn in itertools.count() for core in own)
