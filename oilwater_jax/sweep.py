"""A grid of runs that share every stage they have in common, on a pool of worker processes.

DIR/runs/<name> is a run folder for each run; their stages are in DIR/stages, named by what they depend on.
A unit of work is one seed of one run; once a run's seeds are done, its tables and figures are made. Every unit
runs on one core: its figures are those of `oilwater run` on one core, whatever else the sweep does.
"""

import multiprocessing
import os
import threading
import time
import traceback
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from oilwater_jax.config import Config, Grid, to_json
from oilwater_jax.errors import UserError
from oilwater_jax.files import read_json, write_json
from oilwater_jax.run_folder import RunFolder

GRID = "grid.json"
ATTEMPTS = 2  # of a unit whose worker process died


class Unit(NamedTuple):
    """One seed of a run, or, with seed None, the run's report."""

    run: str
    seed: int | None


class Done(NamedTuple):
    """What came of a unit: an error in one line, or None; and warnings."""

    error: str | None
    warnings: list[str]


def sweep(grid: Grid, workdir: Path, *, workers: int = 0, overwrite: bool = False) -> dict[str, str]:
    """Run, or go on with, every run of a grid; returns the failed ones with the reason of each.

    `workers` processes, 0: one per core. A run that fails does not stop the others. Raises UserError before
    anything is written where a run's config, its data or the folder do not fit together.
    """
    from oilwater_jax import pipeline  # imports JAX

    for name, config in grid.runs.items():
        try:
            pipeline.prepare(config)
        except UserError as error:
            raise UserError(f"run {name}: {error}") from error
    folder = RunFolder.open(workdir, {"sweep": True}, overwrite=overwrite)
    try:
        known = (read_json(workdir / GRID) or {}).get("runs", [])
        for name, config in grid.runs.items():
            claim(workdir / "runs" / name, config)
        write_json(workdir / GRID, {"runs": [*known, *(name for name in grid.runs if name not in known)]})
        return Pool(grid, workdir, workers or cores()).run()
    finally:
        folder.close()


def claim(path: Path, config: Config) -> None:
    """Make a run's folder, or find it to be of the same config. Raises UserError."""
    RunFolder.open(path, to_json(config), overwrite=False).close()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Pool:
    """The units of a sweep and the processes that work on them."""

    def __init__(self, grid: Grid, workdir: Path, workers: int) -> None:
        self.grid, self.workdir, self.workers = grid, workdir, workers
        self.failed: dict[str, str] = {}
        self.attempts: dict[Unit, int] = {}
        finished = [name for name in grid.runs if self.is_finished(name)]
        todo = [name for name in grid.runs if name not in finished]
        self.left = {name: set(self.seeds(name)) for name in todo}
        self.waiting = [Unit(name, seed) for name in todo for seed in self.seeds(name)]
        self.console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description:<40}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        done = sum(len(self.seeds(name)) + 1 for name in finished)
        self.task = self.bar.add_task("", total=done + len(self.waiting) + len(todo), completed=done)
        self.began = time.monotonic()

    def seeds(self, name: str) -> range:
        """The seeds of a run."""
        first = self.grid.runs[name].seed
        return range(first, first + self.grid.seeds)

    def is_finished(self, name: str) -> bool:
        """Whether the run's summary is there, of these seeds."""
        summary = read_json(self.workdir / "runs" / name / "summary.json") or {}
        return summary.get("seeds") == list(self.seeds(name))

    def run(self) -> dict[str, str]:
        """Work until nothing is left; a pool whose worker died is made anew."""
        with self.bar:
            while self.waiting:
                units, self.waiting = self.waiting, []
                self.work(units)
        return self.failed

    def work(self, units: list[Unit]) -> None:
        """Make a pool and hand out units until all are done or the pool breaks."""
        context = multiprocessing.get_context("spawn")  # JAX's threads do not survive a fork
        slots = context.Queue()
        for slot in range(self.workers):
            slots.put(slot)
        with ProcessPoolExecutor(
            self.workers, mp_context=context, initializer=start, initargs=(os.getpid(), slots)
        ) as pool:
            try:
                self.hand_out(pool, units)
            except KeyboardInterrupt:
                for child in multiprocessing.active_children():
                    child.terminate()  # what it was at goes on from its last checkpoint
                raise

    def hand_out(self, pool: ProcessPoolExecutor, units: list[Unit]) -> None:
        """Keep every worker at a unit; what a broken pool leaves waits for the next pool."""
        running: dict[Future[Done], Unit] = {}
        while units or running:
            while units and len(running) < self.workers:
                unit = units.pop(0)
                if unit.run in self.failed:
                    self.bar.advance(self.task)
                else:
                    running[pool.submit(work, self.grid, self.workdir, unit)] = unit
            if not running:
                continue
            self.show(running.values())
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                unit = running.pop(future)
                try:
                    units = self.finish(unit, future.result()) + units
                except BrokenProcessPool:
                    self.died([unit, *running.values()])
                    self.waiting += units
                    return

    def show(self, units: Iterable[Unit]) -> None:
        """Name the units at work on the bar."""
        names = [unit.run if unit.seed is None else f"{unit.run} seed {unit.seed}" for unit in units]
        self.bar.update(self.task, description=", ".join(names))

    def finish(self, unit: Unit, done: Done) -> list[Unit]:
        """Note what came of a unit; the unit that it makes possible, if any."""
        self.bar.advance(self.task)
        for message in done.warnings:
            self.say(f"warning: {message}")
        what = "report" if unit.seed is None else f"seed {unit.seed}"
        self.say(f"{unit.run}, {what}{': ' + done.error if done.error else ''}", bar=bool(done.error))
        if done.error:
            self.fail(unit.run, f"{what}: {done.error}")
            return []
        if unit.seed is None:
            return []
        self.left[unit.run].discard(unit.seed)
        return [] if self.left[unit.run] else [Unit(unit.run, None)]

    def died(self, units: list[Unit]) -> None:
        """A worker died (out of memory, say) and took the pool along: try again what it was at, but not forever."""
        for unit in units:
            self.attempts[unit] = self.attempts.get(unit, 0) + 1
            if self.attempts[unit] < ATTEMPTS:
                self.waiting.append(unit)
            else:
                self.fail(unit.run, "its worker process died (out of memory?)")

    def fail(self, run: str, reason: str) -> None:
        """Give a run up."""
        if run not in self.failed:
            self.failed[run] = reason
            self.bar.advance(self.task)  # its report

    def say(self, line: str, *, bar: bool = False) -> None:
        """A line with the time, where there is no bar, or beside it."""
        if bar or not self.console.is_terminal:
            text = f"[{time.monotonic() - self.began:7.1f} s] {line}"
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)


def start(parent: int, slots: Any) -> None:
    """Begin a worker process: on one core, and gone when the sweep is gone.

    One core, however many there are for each: XLA's sums depend, in their last digits, on the number of threads,
    and a sweep's figures must not depend on the number of workers.
    """
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    if hasattr(os, "sched_setaffinity"):
        own = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {own[slots.get() % len(own)]})


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)  # without this, a killed sweep would leave its workers behind, holding stages


def work(grid: Grid, workdir: Path, unit: Unit) -> Done:
    """Do a unit, in a worker process."""
    from oilwater_jax import pipeline

    warnings: list[str] = []
    config = grid.runs[unit.run]
    try:
        if unit.seed is None:
            pipeline.run(
                config, workdir / "runs" / unit.run, seeds=grid.seeds, shared=workdir, warn=warnings.append
            )
        else:
            pipeline.run_seed(config, workdir, unit.seed, warnings.append)
    except UserError as error:
        return Done(str(error), warnings)
    except Exception as error:  # the other runs go on; where it happened is told
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}, line {frame.lineno}"
        return Done(f"{type(error).__name__}: {' '.join(str(error).split())} ({place})", warnings)
    return Done(None, warnings)
