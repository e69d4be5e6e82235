"""A run: the six rooms in order for every seed, and the report.

`run(config, workdir)` is the library's main function; the command line only parses for it. Every stage's
product is saved under `stages/`, so a run that was cut off re-enters where it was.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from oilwater_jax import data, devices, registry
from oilwater_jax.config import Config, shrink, to_json
from oilwater_jax.environment import describe, use_compilation_cache
from oilwater_jax.errors import UserError
from oilwater_jax.experiment import Experiment
from oilwater_jax.fields import ROWS
from oilwater_jax.files import read_json, write_json
from oilwater_jax.models import record, weights
from oilwater_jax.reporting import plots, summary
from oilwater_jax.reporting.page import write_page
from oilwater_jax.reporting.progress import Progress
from oilwater_jax.rooms import Rooms
from oilwater_jax.run_folder import RunFolder
from oilwater_jax.stages import Store
from oilwater_jax.types import Selector, Splits


def run(
    config: Config,
    workdir: Path,
    *,
    seeds: int = 1,
    overwrite: bool = False,
    own: Mapping[str, Selector] | None = None,
    shared: Path | None = None,
    warn: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Run, or go on with, the experiment of a checked config; returns what summary.json holds.

    Seeds config.seed, config.seed + 1, ... `seeds` of them; more seeds may be asked of a folder later.
    `own` adds rows: selectors of yours by name (a Python identifier), trained by the recipe `robust` on the
    poisoned data. A folder knows them by name only: a changed selector wants a new name or folder.
    `shared` is a sweep's folder, whose stages are used and added to instead of the run folder's own.
    `warn` hears the warnings; then nothing is shown. Of several processes all call this, with the same arguments; the
    first alone touches the folder, and all return the same.
    Raises UserError before anything is written where config, data or folder do not fit together.
    """
    own = own or {}
    with entered(
        config, workdir, to_json(config), seeds=seeds, overwrite=overwrite, own=own, shared=shared, warn=warn
    ) as (experiment, numbers):
        small, progress = experiment.config, experiment.progress
        progress.begin(1 + (small.pretrain.epochs > 0) + len(numbers) * stage_count(experiment))
        first = Rooms(experiment, numbers[0])
        figures = first.walk()
        for seed in numbers[1:]:
            figures |= Rooms(experiment, seed).walk()
        result = summary.summarise(figures, to_json(small), numbers, own)
        progress.stage("report", 0)
        devices.first(lambda: report(workdir, first, result))
        progress.done("report")
    return result


@contextlib.contextmanager
def entered(
    config: Config,
    workdir: Path,
    identity: Mapping[str, Any],
    *,
    seeds: int,
    overwrite: bool,
    own: Mapping[str, Selector] = MappingProxyType({}),
    shared: Path | None = None,
    warn: Callable[[str], None] | None = None,
) -> Iterator[tuple[Experiment, list[int]]]:
    """The experiment of a checked config in its folder, which is held until the end, and its seeds.

    `identity` is what the folder holds as config.json, and by which it is known again. Arguments and errors are
    those of `run`.
    """
    small, splits = prepare(config)
    check_names(small, own)
    devices.check_batch(small.train.batch)
    devices.check_same((dict(identity), seeds, sorted(own)), "configs or seeds")
    use_compilation_cache()
    numbers = list(range(config.seed, config.seed + seeds))
    with contextlib.ExitStack() as held:

        def enter() -> None:
            held.callback(RunFolder.open(workdir, identity, overwrite=overwrite).close)
            write_json(workdir / "environment.json", describe())
            if (read_json(workdir / "summary.json") or {}).get("seeds") != numbers:
                (workdir / "summary.json").unlink(missing_ok=True)  # of other seeds: not this run's

        progress = held.enter_context(Progress(warn if devices.is_first() else ignore))
        devices.first(enter)
        store = Store(shared or workdir, progress.warn, shared=shared is not None)
        yield Experiment(small, splits, store, progress, own), numbers


def ignore(message: str) -> None:
    """What a process that is not the first does with its warnings: the first has them too."""


def report(workdir: Path, rooms: Rooms, result: dict[str, Any]) -> None:
    """Write a run's figures, page and summary."""
    draw(workdir / "figures", rooms, result)
    write_page(workdir, result)
    write_json(workdir / "summary.json", result)  # last: it says that the run is finished


def run_seed(config: Config, shared: Path, seed: int, warn: Callable[[str], None]) -> None:
    """The stages of one seed of a sweep's run, in the sweep's folder."""
    use_compilation_cache()
    small, splits = prepare(config)
    devices.check_batch(small.train.batch)
    with Progress(warn) as progress:
        store = Store(shared, progress.warn, shared=True)
        Rooms(Experiment(small, splits, store, progress, {}), seed).walk()


def prepare(config: Config) -> tuple[Config, Splits]:
    """The config with `smoke` carried out, and its data. Raises UserError where they do not fit together."""
    small = shrink(config)
    splits = data.load(
        small.data.name, source=small.data.source, auxiliary=small.data.auxiliary, smoke=small.smoke
    )
    registry.resolve(registry.ATTACKS, small.attack.name).check(small, splits)
    if small.model.init_from:
        folder = Path(small.model.init_from)
        imported = record.read(folder)
        record.check_images(imported, splits.train.image.shape[1:])
        weights.load(folder, imported)
    if small.train.batch > len(splits.train):
        raise UserError(
            f"train.batch = {small.train.batch} is more than the {len(splits.train)} training samples"
        )
    return small, splits


def check_names(config: Config, own: Mapping[str, Selector]) -> None:
    """Refuse an own row with a name that a stage has. Raises UserError."""
    taken = {
        "attack",
        "identify",
        "identify_after_epic",
        *ROWS,
        *(summary.row_key(config.method.name, row) for row in ROWS),
    }
    taken |= set(registry.resolve(registry.ATTACKS, config.attack.name).MODELS)
    for name in own:
        if not name.isidentifier() or name in taken:
            others = ", ".join(sorted(taken))
            raise UserError(f"own row {name!r}: the name must be an identifier other than {others}")


def stage_count(experiment: Experiment) -> int:
    """Stages of one seed: attack and the attacker's models, identify, rows."""
    again = "combined" in experiment.config.rows and experiment.config.epic.when == "before"
    return 2 + again + len(experiment.attack.MODELS) + len(experiment.config.rows) + len(experiment.own)


def draw(folder: Path, rooms: Rooms, result: dict[str, Any]) -> None:
    """The figures of a run: its first seed's images, and every row's rates."""
    plots.write_training_images(folder, rooms.poisoned, rooms.found["flagged"], rooms.splits)
    plots.write_poisons(folder, rooms.attacked.poisons, rooms.splits)
    if result["rows"]:
        plots.write_rates(folder, result)
        plots.write_elimination(folder, result)
