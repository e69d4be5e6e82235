"""A run: the six rooms in order for every seed, and the report.

`run(config, workdir)` is the library's main function; the command line only parses for it. Every stage's
product is saved under `stages/`, so an interrupted run resumes there.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oilwater_jax import data, devices
from oilwater_jax.environment import note, use_compilation_cache, versions
from oilwater_jax.errors import UserError
from oilwater_jax.experiment import Experiment
from oilwater_jax.files import read_json, seal, write_json
from oilwater_jax.groups import report_sets
from oilwater_jax.keys import Keys
from oilwater_jax.models import record, weights
from oilwater_jax.reporting import looks, plots, summary, table_plots, traces
from oilwater_jax.reporting.page import write_page
from oilwater_jax.reporting.progress import Progress
from oilwater_jax.rooms import Rooms
from oilwater_jax.rows import parts
from oilwater_jax.run_folder import RunFolder, check_path
from oilwater_jax.settings.common import RECIPES
from oilwater_jax.settings.config import Config, looks_of, registry_of, rows_of, shrink, to_json, view
from oilwater_jax.stages import Origin, Store, key_of
from oilwater_jax.training.program import width
from oilwater_jax.types import Splits

# By kind of data: what is drawn of the training set, of poisons, and what the first is called.
SHOWING = {
    "image": (plots.write_training_images, plots.write_poisons, "training_images"),
    "table": (table_plots.write_groups, table_plots.write_poisons, "training_set"),
}


def run(
    config: Config,
    workdir: str | Path,
    *,
    seeds: int = 1,
    overwrite: bool = False,
    shared: Path | None = None,
    warn: Callable[[str], None] | None = None,
    log: Sequence[str] = (),
) -> dict[str, Any]:
    """Run or resume the experiment of a checked config; returns the content of summary.json.

    Seeds config.seed, config.seed + 1, ... `seeds` of them; more seeds may be asked of a folder later. A finished run
    that is asked for again is read and not touched.
    `shared` is a sweep's folder, whose stages are used and added to instead of the run folder's own.
    `warn` hears the warnings; then nothing is shown. `log` names the logs to write (`reporting.logs`).
    Of several processes all call this, with the same arguments; the first alone touches the folder, and all return the
    same.
    Raises UserError before anything is written where config, data or folder do not fit together.
    """
    workdir = check_path(workdir)
    with entered(
        config,
        workdir,
        to_json(config),
        seeds=seeds,
        overwrite=overwrite,
        shared=shared,
        warn=warn,
        log=log,
    ) as (experiment, numbers):
        small, progress = experiment.config, experiment.progress
        progress.begin(1 + len(numbers) * stage_count(experiment))
        first = Rooms(experiment, numbers[0])
        figures = first.walk()
        for seed in numbers[1:]:
            figures |= Rooms(experiment, seed).walk()
        result = seal(
            {**summary.summarise(figures, to_json(small), numbers), "key": experiment.keys.run(numbers)}
        )
        progress.stage("report", 0)
        devices.first(lambda: report(workdir, first, numbers, figures, result))
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
    key_of_run: Callable[[Keys, list[int]], str] = Keys.run,
    shared: Path | None = None,
    warn: Callable[[str], None] | None = None,
    log: Sequence[str] = (),
) -> Iterator[tuple[Experiment, list[int]]]:
    """The experiment of a checked config in its folder, which is held until the end, and its seeds.

    `identity` is what the folder holds as config.json, and by which it is known again; `key_of_run` gives the key by
    which its summary is. A summary of other seeds, settings, code or data, or a damaged one, is thrown away. Arguments
    and errors are those of `run`.
    """
    small, splits = prepare(config)
    devices.check_batch(small.train.batch)
    devices.check_same((dict(identity), seeds), "configs or seeds")
    use_compilation_cache()
    numbers = list(range(config.seed, config.seed + seeds))
    with contextlib.ExitStack() as held:

        def enter() -> None:
            held.callback(RunFolder.open(workdir, identity, overwrite=overwrite).close)
            expected = key_of_run(Keys(small, splits.identity), numbers)
            if not summary.holds(workdir, numbers, expected, progress.warn):
                note(workdir)

        progress = held.enter_context(Progress(warn if devices.is_first() else ignore))
        devices.first(enter)
        for remark in splits.remarks:
            progress.warn(f"data: {remark}")
        store = Store(
            shared or workdir,
            progress.warn,
            shared=shared is not None,
            origin=origin(splits.identity),
            log=log,
        )
        held.callback(store.logs.close)
        devices.first(store.fill_logs)
        yield Experiment(small, splits, store, progress), numbers


def origin(identity: str) -> Origin:
    """Where the stages of a run on data of this identity come from."""
    return Origin(key_of("data", identity), versions())


def ignore(message: str) -> None:
    """What a process that is not the first does with its warnings: the first has them too."""


def report(
    workdir: Path, rooms: Rooms, seeds: list[int], figures: dict[str, Any], result: dict[str, Any]
) -> None:
    """Write a run's figures, page and summary; those of a finished run are left as they are."""
    if read_json(workdir / "summary.json") == result and (workdir / "report.html").exists():
        return
    draw(workdir / "figures", rooms, result)
    write_page(workdir, result, traces.gather(rooms, seeds, figures))
    write_json(workdir / "summary.json", result)  # last: it says that the run is finished


def run_seed(
    config: Config, shared: Path, seed: int, warn: Callable[[str], None], log: Sequence[str] = ()
) -> None:
    """The stages of one seed of a sweep's run, in the sweep's folder."""
    use_compilation_cache()
    small, splits = prepare(config)
    devices.check_batch(small.train.batch)
    with Progress(warn) as progress:
        store = Store(shared, progress.warn, shared=True, origin=origin(splits.identity), log=log)
        with contextlib.closing(store.logs):
            Rooms(Experiment(small, splits, store, progress), seed).walk()


def prepare(config: Config) -> tuple[Config, Splits]:
    """The config with `smoke` applied, and its data. Raises UserError if they do not match."""
    small = shrink(config)
    splits = data.of_config(small)
    check_kind(small, splits)
    attack = registry_of(small).attack(small.attack.name)
    attack.check_data(view(small, attack), splits, width(small))
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


def check_kind(config: Config, splits: Splits) -> None:
    """Raises UserError if the attack, the network or a method of a config is not for the kind of its data."""
    registry = registry_of(config)
    rows = rows_of(config) + looks_of(config)
    used = [("attack.name", registry.attack(config.attack.name))]
    used += [("model.name", registry.model(config.model.name))]
    used += [("rows", registry.method(name)) for name in dict.fromkeys(a.name for r in rows for a in r.atoms)]
    for where, entry in used:
        if splits.kind not in entry.takes:
            able = [
                one.entry.name
                for one in registry.entries
                if one.entry.kind == entry.kind and splits.kind in one.entry.takes
            ]
            raise UserError(
                f"{where}: {entry.name} is for {' and '.join(f'{kind}s' for kind in entry.takes)}, but data.name = "
                f"{config.data.name!r} holds {splits.kind}s; for these there are {', '.join(able)}"
            )
    for name in RECIPES:
        if splits.kind != "image" and (config[name].flip or config[name].crop < 1):
            raise UserError(
                f"{name}.flip and {name}.crop are for images, but data.name = {config.data.name!r} holds "
                f"{splits.kind}s; leave them as they are"
            )


def stage_count(experiment: Experiment) -> int:
    """Stages of one seed: pretraining, attack and the attacker's models, what methods find, rows."""
    e = experiment
    looking = {
        (part.before, part.data, atom.name)
        for row in (*e.looks, *e.rows)
        for part in parts(row)
        for atom in part.last
        if e.registry.method(atom.name).find
    }
    models = e.attack.models(view(e.config, e.attack))
    return 1 + (e.config.pretrain.epochs > 0) + len(models) + len(looking) + len(e.rows)


def draw(folder: Path, rooms: Rooms, result: dict[str, Any]) -> None:
    """The figures of a run: its first seed's training set and poisons, and every row's rates."""
    plots.mark("SMOKE RUN: a few samples, a few epochs" if result["smoke"] else "")
    train = rooms.poisoned
    sets = report_sets(train, rooms.experiment.n_classes, rooms.experiment.n_attributes)
    nobody = {"": ("", {"flagged": np.zeros(len(train), bool)})}
    show, show_poisons, shown = SHOWING[rooms.splits.kind]
    for slug, (label, arrays) in (rooms.looked() or nobody).items():
        name = f"flagged_{slug}" if slug else shown
        show(folder / f"{name}.png", train, arrays["flagged"], rooms.splits, label)
        looks.write(folder / f"looked_at_{slug}.png", label, arrays, sets)
    poisons = rooms.attacked.poisons
    show_poisons(folder, poisons.take(poisons.is_poison), rooms.splits)
    if result["rows"]:
        plots.write_rates(folder, result)
        plots.write_elimination(folder, result)
