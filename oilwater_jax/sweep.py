"""A grid of runs that share every stage they have in common, on many worker processes.

DIR/runs/<name> is a run folder for each run; their stages are in DIR/stages, named by what they depend on.
A unit of work is one seed of one run; once a run's seeds are done, its tables and figures are made. Every unit
runs on one core, or on accelerators of its own: its figures are those of `oilwater run` there, whatever else the sweep
does.
"""

import fcntl
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import NamedTuple

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from oilwater_jax import defects, executors, shapes
from oilwater_jax.errors import UserError, one_line, warn
from oilwater_jax.executors import Executor, WorkerDied
from oilwater_jax.files import open_lock, read_json, write_json
from oilwater_jax.keys import Keys
from oilwater_jax.reporting import summary
from oilwater_jax.reporting.progress import AVERAGED, EVERY, where
from oilwater_jax.reporting.terminal import Screen
from oilwater_jax.run_folder import LOCK, RunFolder, check_path, is_run_folder
from oilwater_jax.settings.config import Config, Grid, to_json
from oilwater_jax.settings.registry import blame
from oilwater_jax.stages import Store

GRID = "grid.json"
ATTEMPTS = 2  # of a unit whose worker process died


class Unit(NamedTuple):
    """One seed of a run, or, with seed None, the run's report."""

    run: str
    seed: int | None


class Done(NamedTuple):
    """The result of a unit: an error in one line, or None; and warnings."""

    error: str | None
    warnings: list[str]


def sweep(
    grid: Grid,
    workdir: str | Path,
    *,
    executor: Executor | None = None,
    overwrite: bool = False,
    log: Sequence[str] = (),
) -> dict[str, str]:
    """Run or resume every run of a grid; returns the failed runs with their reasons.

    On `executor`, which is ended with the sweep; None: one process per accelerator, or else per core. A run that fails
    does not stop the others. `log` names the logs to write (`reporting.logs`). Raises UserError before anything is
    written where a run's config, its data or the folder do not fit together.
    """
    from oilwater_jax import pipeline  # imports JAX

    executor = executor or executors.make("processes")
    workdir = check_path(workdir)
    keys = {}
    for name, config in grid.runs.items():
        try:
            small, splits = pipeline.prepare(config)
        except UserError as error:
            raise UserError(f"run {name}: {error}") from error
        keys[name] = Keys(small, splits.identity).run(seeds_of(config, grid.seeds))
    folder = RunFolder.open(workdir, {"sweep": True}, overwrite=overwrite)
    try:
        known = (read_json(workdir / GRID, shapes.GRID) or {"runs": folders(workdir)})["runs"]
        for name, config in grid.runs.items():
            claim(workdir / "runs" / name, config)
        write_json(workdir / GRID, {"runs": [*known, *(name for name in grid.runs if name not in known)]})
        Store(workdir, warn, shared=True, log=log).fill_logs()
        return Units(grid, workdir, executor, keys, log).run()
    finally:
        folder.close()


def folders(workdir: Path) -> list[str]:
    """The names of a sweep's runs by their folders: what a damaged grid.json listed."""
    return sorted(path.name for path in (workdir / "runs").glob("*") if is_run_folder(path))


def seeds_of(config: Config, count: int) -> list[int]:
    """The seeds of a run."""
    return list(range(config.seed, config.seed + count))


def claim(path: Path, config: Config) -> None:
    """Create a run's folder, or check that it has the same config. Raises UserError."""
    RunFolder.open(path, to_json(config), overwrite=False).close()


class Units:
    """The units of a sweep: waiting, running, and their results. `submit` gives one to a worker.

    With `reports`, a run whose seeds are done has one unit more: its tables and figures.
    """

    reports = True

    def __init__(
        self,
        grid: Grid,
        workdir: Path,
        executor: Executor,
        keys: Mapping[str, str],
        log: Sequence[str] = (),
    ) -> None:
        self.grid, self.workdir, self.executor, self.keys, self.log = grid, workdir, executor, keys, log
        self.failed: dict[str, str] = {}
        self.attempts: dict[Unit, int] = {}
        self.console = Screen(stderr=True)
        self.began = self.told = time.monotonic()
        finished = [name for name in grid.runs if self.is_finished(name)]
        todo = [name for name in grid.runs if name not in finished]
        self.left = {name: set(self.seeds(name)) for name in todo}
        self.waiting = [Unit(name, seed) for name in todo for seed in self.seeds(name)]
        self.bar = Progress(
            TextColumn("{task.description:<40}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
            speed_estimate_period=AVERAGED,
        )
        done = sum(len(self.seeds(name)) + self.reports for name in finished)
        total = done + len(self.waiting) + len(todo) * self.reports
        self.task = self.bar.add_task("", total=total, completed=done)

    def seeds(self, name: str) -> list[int]:
        """The seeds of a run."""
        return seeds_of(self.grid.runs[name], self.grid.seeds)

    def is_finished(self, name: str) -> bool:
        """Whether the run's summary is there, sound, and of these seeds, settings, code and data."""
        folder = self.workdir / "runs" / name
        whole = (folder / "report.html").is_file()
        return summary.holds(folder, self.seeds(name), self.keys[name], self.tell) and whole

    def tell(self, message: str) -> None:
        """A warning."""
        self.say(f"warning: {message}", bar=True)

    def run(self) -> dict[str, str]:
        """Keep all workers busy until every unit is done."""
        running: dict[Future[Done], Unit] = {}
        with self.bar, self.executor:
            while self.waiting or running:
                while self.waiting and len(running) < self.executor.workers():
                    unit = self.waiting.pop(0)
                    if unit.run in self.failed:
                        self.bar.advance(self.task)
                    else:
                        running[self.submit(unit)] = unit
                self.show(running.values())
                for future in wait(running, timeout=EVERY, return_when=FIRST_COMPLETED).done:
                    self.end(running.pop(future), future)
                if time.monotonic() - self.told >= EVERY:
                    self.told = time.monotonic()
                    self.say(where(self.bar.tasks[0]))
        return self.failed

    def submit(self, unit: Unit) -> Future[Done]:
        """Submit a unit to a worker."""
        config = self.grid.runs[unit.run]
        return self.executor.submit(
            work, config, self.grid.seeds, self.workdir.absolute(), unit, tuple(self.log)
        )

    def show(self, units: Iterable[Unit]) -> None:
        """Name the units at work, on the bar or where there is none."""
        names = [unit.run if unit.seed is None else f"{unit.run} seed {unit.seed}" for unit in units]
        self.bar.update(self.task, description=", ".join(names))

    def end(self, unit: Unit, future: Future[Done]) -> None:
        """Record the result of a unit; report a run whose seeds are done."""
        try:
            done = self.executor.result(future)
        except WorkerDied:
            self.died(unit)
            return
        self.bar.advance(self.task)
        for message in done.warnings:
            self.say(f"warning: {message}")
        what = "report" if unit.seed is None else f"seed {unit.seed}"
        self.say(f"{unit.run}, {what}{': ' + done.error if done.error else ''}", bar=bool(done.error))
        if done.error:
            self.fail(unit.run, f"{what}: {done.error}")
        elif unit.seed is not None:
            self.left[unit.run].discard(unit.seed)
            if not self.left[unit.run] and self.reports:
                self.waiting.insert(0, Unit(unit.run, None))

    def died(self, unit: Unit) -> None:
        """A worker died (e.g. out of memory): retry its unit, a limited number of times."""
        self.attempts[unit] = self.attempts.get(unit, 0) + 1
        if self.attempts[unit] < ATTEMPTS:
            self.waiting.insert(0, unit)
        else:
            self.bar.advance(self.task)
            self.fail(unit.run, "its worker process died (out of memory?)")

    def fail(self, run: str, reason: str) -> None:
        """Mark a run as failed."""
        if run not in self.failed:
            self.failed[run] = reason
            if self.reports:
                self.bar.advance(self.task)

    def say(self, line: str, *, bar: bool = False) -> None:
        """A line with the time, where there is no bar, or beside it."""
        if bar or not self.console.is_terminal:
            text = f"[{time.monotonic() - self.began:7.1f} s] {line}"
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)


def check_held(workdir: Path) -> None:
    """Raise UserError if the sweep's lock is not visible: then the locks of stages are not visible either.

    Raises UserError; on the sweep's own machine there is no reason to.
    """
    machine = platform.node()
    try:
        with open_lock(workdir / LOCK) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    except OSError as error:
        raise UserError(
            f"{workdir} cannot be used on {machine} ({error.strerror}); give a folder that all machines share"
        ) from error
    raise UserError(
        f"{workdir} on {machine} does not show that the sweep holds it; give a folder that all machines share, "
        "on a file system whose locks they share too"
    )


def work(config: Config, seeds: int, workdir: Path, unit: Unit, log: tuple[str, ...]) -> Done:
    """Run a unit in a worker process; the run has `seeds` seeds."""
    from oilwater_jax import pipeline

    def do(warn: Callable[[str], None]) -> None:
        if unit.seed is None:
            pipeline.run(config, workdir / "runs" / unit.run, seeds=seeds, shared=workdir, warn=warn)
        else:
            pipeline.run_seed(config, workdir, unit.seed, warn, log)

    return guarded(do, workdir)


def guarded(do: Callable[[Callable[[str], None]], None], workdir: Path) -> Done:
    """What came of a piece of work in a sweep's folder; it is given what takes its warnings."""
    warnings: list[str] = []
    try:
        check_held(workdir)
        do(warnings.append)
    except UserError as error:
        return Done(str(error), warnings)
    except Exception as error:  # the other runs go on; where it happened is told
        if blamed := blame(error):
            return Done(blamed, warnings)
        if isinstance(error, OSError | MemoryError):
            return Done(one_line(error), warnings)
        return Done(defects.report(error, workdir), warnings)
    return Done(None, warnings)
