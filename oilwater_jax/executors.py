"""Where the units of a sweep are worked on: processes of this machine, or those of a Ray cluster (extra `ray`).

Every worker process is pinned to one core, however many there are for each: XLA's sums depend, in their last
digits, on the number of threads, and a sweep's figures must not depend on the number of workers.
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
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import IO, Any
from urllib.parse import urlsplit

from oilwater_jax.errors import UserError
from oilwater_jax.files import open_lock, private_folder

EXECUTORS = ("processes", "ray")
SETTINGS = ("JAX_", "XLA_", "OILWATER_")  # environment variables that a cluster's workers take from the sweep
REACH = 5.0  # seconds in which a cluster's address must answer


class WorkerDied(Exception):
    """The process that worked on a call is gone, and its result with it."""


class Executor(contextlib.AbstractContextManager):
    """Worker processes as a context: leaving it by an exception stops them at once, whatever they are at."""

    @abc.abstractmethod
    def workers(self) -> int:
        """How many calls it can work on at a time."""

    @abc.abstractmethod
    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Have a worker process call a function."""

    @abc.abstractmethod
    def result(self, future: Future[Any]) -> Any:
        """What a call returned, once its future is done. Raises WorkerDied if it never will return."""


def make(name: str, *, workers: int = 0, address: str = "") -> Executor:
    """The executor of this name, one of EXECUTORS; `address` is for ray. Raises UserError."""
    if name == "ray":
        return Ray(address, workers)
    if address:
        raise UserError(f"--address={address} is a Ray cluster's; it goes with --executor=ray")
    return Processes(workers)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Processes(Executor):
    """A pool of processes of this machine, 0: one per core. A pool whose worker died is made anew."""

    def __init__(self, workers: int = 0) -> None:
        private_folder()  # where it cannot be used, that is said before any process is started
        self._workers = workers or cores()
        self._pool = self._make()

    def _make(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # JAX's threads do not survive a fork
        return ProcessPoolExecutor(
            self._workers, mp_context=context, initializer=_start, initargs=(os.getpid(),)
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
    """The workers of a running Ray cluster, each call on one CPU of it.

    `address` is HOST:PORT or what else `ray.init` takes; empty: $RAY_ADDRESS, or the cluster of this machine.
    `workers` bounds the calls at a time, 0: the cluster's CPUs. The machines must have this very package, its
    dependencies, and the files that a call names. Raises UserError if Ray or the cluster is not there.
    """

    def __init__(self, address: str = "", workers: int = 0) -> None:
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
        settings = {name: value for name, value in os.environ.items() if name.startswith(SETTINGS)}
        self._call = functools.partial(
            self._ray.remote(_call).options(name="oilwater", num_cpus=1, max_retries=0).remote,
            os.getcwd(),
            settings,
        )
        self._workers = workers

    def workers(self) -> int:
        """As Executor; it changes with the cluster."""
        return self._workers or max(1, int(self._ray.cluster_resources().get("CPU", 0)))

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """As Executor."""
        return self._call(function, *arguments).future()

    def result(self, future: Future[Any]) -> Any:
        """As Executor. Raises UserError where a machine cannot so much as begin."""
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


def _call(folder: str, settings: Mapping[str, str], function: Callable[..., Any], *arguments: Any) -> Any:
    """A call in a process of the cluster, which knows nothing of where it came from."""
    os.environ.update(settings)
    with contextlib.suppress(OSError):  # a machine without the folder can still do what names no file in it
        os.chdir(folder)
    take_core()
    return function(*arguments)


def _start(parent: int) -> None:
    """Begin a process of the pool: on one core, and gone when the sweep is gone."""
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    take_core()


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)  # without this, a killed sweep would leave its workers behind, holding stages


@functools.cache
def take_core() -> IO[bytes] | None:
    """Pin this process for good to the core that the fewest other workers of this user are pinned to.

    The lock says that the core is taken; the kernel gives it back when the process ends, however it ends.
    """
    if not hasattr(os, "sched_setaffinity"):
        return None
    folder = private_folder()
    for turn, core in _turns(sorted(os.sched_getaffinity(0))):
        lock = open_lock(folder / f"core{core}-{turn}.lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        os.sched_setaffinity(0, {core})
        return lock
    return None


def _turns(own: list[int]) -> Iterator[tuple[int, int]]:
    """Every core once, then every core twice, ..."""
    return ((turn, core) for turn in itertools.count() for core in own)
