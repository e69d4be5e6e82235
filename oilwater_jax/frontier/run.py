"""`oilwater frontier`: evaluate every setting of every row's dials on validation and test, and report the best.

The folder is a sweep's: stages that settings, rows and splits have in common are computed once; a run that is cut off
goes on; rows, seeds and dials may be added later. What comes out is in report.html, frontier.json, points.csv and
figures/.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

from oilwater_jax import executors, pipeline, sweep
from oilwater_jax.errors import UserError, warn
from oilwater_jax.executors import Executor, WorkerDied
from oilwater_jax.files import load_json, read_json, seal, write_json
from oilwater_jax.frontier import cost, dials
from oilwater_jax.frontier.dials import Setting
from oilwater_jax.frontier.points import SPLITS
from oilwater_jax.keys import Keys
from oilwater_jax.planning import sizes, work
from oilwater_jax.reporting.summary import ON_SETS, TEST_ERROR, verdict
from oilwater_jax.rows import Row, label, nature, plain
from oilwater_jax.run_folder import RunFolder, check_path
from oilwater_jax.settings.config import Config, Grid, checked, registry_of, rows_of, shrink
from oilwater_jax.shapes import GRID, STAGE
from oilwater_jax.stages import Store, key_of
from oilwater_jax.sweep import Done, Unit


class Trial(NamedTuple):
    """One setting of one row: its configs, by the split that they evaluate."""

    row: Row
    setting: Setting
    configs: dict[str, Config]

    @property
    def name(self) -> str:
        """The displayed name."""
        return f"{self.row} {dials.text(self.setting)}"


class Trials(sweep.Units):
    """The units of a frontier: each is one seed of one trial, on both splits."""

    reports = False

    def __init__(
        self,
        trials: Mapping[str, Trial],
        place: "Place",
        executor: Executor,
        seeds: int,
        log: Sequence[str] = (),
    ) -> None:
        self.trials, self.place = trials, place
        runs = {name: trial.configs["test"] for name, trial in trials.items()}
        super().__init__(Grid(runs, seeds), place.workdir, executor, {}, log)
        self.waiting.sort(key=lambda unit: unit.seed or 0)  # what is cut off has whole seeds

    def is_finished(self, name: str) -> bool:
        """Whether every seed is finished, on both splits."""
        trial = self.trials[name]
        return all(self.place.figures(trial, split, seed) for split in SPLITS for seed in self.seeds(name))

    def submit(self, unit: Unit) -> Future[Done]:
        """Submit a unit to a worker."""
        assert unit.seed is not None
        configs = [self.trials[unit.run].configs[split] for split in SPLITS]
        return self.executor.submit(measure, configs, self.workdir.absolute(), unit.seed, tuple(self.log))


def measure(configs: Sequence[Config], workdir: Path, seed: int, log: tuple[str, ...]) -> Done:
    """One seed of a trial, in a worker process."""

    def do(warn: Any) -> None:
        for config in configs:
            pipeline.run_seed(config, workdir, seed, warn, log)

    return sweep.guarded(do, workdir)


class Place:
    """Locates the results of trials."""

    def __init__(self, workdir: Path, identity: str) -> None:
        self.workdir, self.identity = workdir, identity
        self._keys: dict[tuple[str, str], Keys] = {}
        self._made: dict[str, dict[str, Any]] = {}

    @property
    def made(self) -> list[dict[str, Any]]:
        """What computed the stages that were read (`environment.versions`), each once."""
        return list(self._made.values())

    def keys(self, trial: Trial, split: str) -> Keys:
        """The keys of a trial's stages."""
        at = trial.name, split
        if at not in self._keys:
            self._keys[at] = Keys(shrink(trial.configs[split]), self.identity)
        return self._keys[at]

    def figures(self, trial: Trial, split: str, seed: int) -> dict[str, Any] | None:
        """The figures of a trial's row, None where it is not finished."""
        return self._stage(f"seed{seed}/{trial.row.slug}", self.keys(trial, split).row(trial.row, seed))

    def attack(self, trial: Trial, split: str, seed: int) -> dict[str, Any] | None:
        """The figures of the attack."""
        return self._stage(f"seed{seed}/attack", self.keys(trial, split).attack(seed))

    def _stage(self, name: str, key: str) -> dict[str, Any] | None:
        record = read_json(self.workdir / "stages" / f"{name}-{key}" / "stage.json", STAGE, sealed=True)
        if record is None or record["key"] != key:
            return None
        self._made.setdefault(json.dumps(record["made"], sort_keys=True), record["made"])
        return record["figures"]


def trials_of(
    config: Config, rows: Sequence[Row], given: Mapping[str, tuple[Any, ...]]
) -> tuple[dict[str, Trial], dict[str, str]]:
    """The trials by name, plain ERM first; and those whose settings do not fit together, with the reason."""
    found, refused = {}, {}
    for row in dict.fromkeys((plain(), *rows)):
        for setting in dials.settings(row, config, given):
            trial = Trial(row, setting, {})
            try:
                for split in SPLITS:
                    own = {**setting, "rows": (str(row),), "look": (), "evaluate": split}
                    trial.configs[split] = checked(config, own, f"row {row}")
            except UserError as error:
                refused[trial.name] = str(error)
                continue
            found[trial.name] = trial
    return found, refused


def run(
    config: Config,
    workdir: str | Path,
    *,
    dial: Sequence[str] = (),
    seeds: int = 1,
    executor: Executor | None = None,
    overwrite: bool = False,
    finished: bool = False,
    log: Sequence[str] = (),
) -> dict[str, Any]:
    """Compute or resume the frontiers of a config's rows; returns the content of frontier.json.

    `dial` has values in place of the declared ones, as text: "jtt.lambda_up=3,10". A setting that fails is listed and
    does not stop the others. With `finished` nothing is computed: it is told of the settings whose seeds are all
    there. `log` names the logs to write (`reporting.logs`). Raises UserError before anything is written where the
    config, its data, a dial or the folder do not do.
    """
    from oilwater_jax.frontier import page, report

    if registry_of(config).attack(config.attack.name).harmless:
        raise UserError(
            f"attack.name = {config.attack.name!r} has no success measure; a frontier needs an attack"
        )
    executor = executor or executors.make("processes")
    workdir = check_path(workdir)
    rows = rows_of(config)
    trials, refused = trials_of(config, rows, dials.parse(dial, config))
    if not trials:
        raise UserError(f"no setting is valid; the first error: {next(iter(refused.values()))}")
    _, splits = pipeline.prepare(config)
    folder = RunFolder.open(workdir, {"sweep": True, "frontier": True}, overwrite=overwrite)
    try:
        if load_json(workdir / "grid.json", GRID) is None:
            write_json(workdir / "grid.json", {"runs": []})
        Store(workdir, warn, shared=True, log=log).fill_logs()
        place = Place(workdir, splits.identity)
        units = Trials(trials, place, executor, seeds, log)
        with executor:
            if units.waiting and not finished:
                units.say(estimate(units, config), bar=True)
            failed = refused | ({} if finished else units.run())
        result = gather(trials, place, [*range(config.seed, config.seed + seeds)], failed, config)
        report.write(workdir, result)
        page.write_page(workdir, result, config, place.made)
        write_json(workdir / report.FILE, result)  # last: it says that all is there
        return result
    finally:
        folder.close()


def estimate(units: Trials, config: Config) -> str:
    """The remaining work and its estimated time, from a few timed steps in a worker."""
    known = sizes.find(shrink(config))
    wanted: dict[str, work.Training] = {}
    for unit in units.waiting:
        trial = units.trials[unit.run]
        for split in SPLITS:
            keys = units.place.keys(trial, split)
            assert unit.seed is not None
            wanted |= work.by_key(keys.config, keys, known, unit.seed)
    begun = cost.begun(units.workdir)
    left = {key: one for key, one in wanted.items() if key not in begun}
    count = f"{len(units.waiting)} units (a setting and a seed each), {len(left)} trainings"
    try:
        speed = units.executor.result(units.executor.submit(cost.speed, config))
    except (UserError, WorkerDied) as error:
        return f"{count}; how long they take is not known ({error})"
    each = known.train + 2 * known.judged  # what is looked at and judged, at least
    workers = units.executor.workers()
    took = cost.seconds(left.values(), known.val, len(units.waiting) * each, speed, workers)
    on = f"{workers} worker{'s' * (workers > 1)}"
    return f"{count}; about {_clock(took)} on {on}, if the machine is free (attacks that are optimised come on top)"


def _clock(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def gather(
    trials: Mapping[str, Trial],
    place: Place,
    seeds: list[int],
    failed: Mapping[str, str],
    config: Config,
) -> dict[str, Any]:
    """What frontier.json holds: of each trial the figures of every seed on both splits."""
    points, keys, head = [], [], about(config, seeds)
    for trial in trials.values():
        found = {split: [place.figures(trial, split, seed) for seed in seeds] for split in SPLITS}
        if any(one is None for ones in found.values() for one in ones):
            continue
        keys += [place.keys(trial, split).row(trial.row, seed) for split in SPLITS for seed in seeds]
        figures = {split: _seeds(ones, head["measures"]) for split, ones in found.items()}
        points.append({**of_row(trial.row, config), "setting": trial.setting, **figures})
    return seal({**head, "points": points, "failed": dict(failed), "key": key_of("frontier", keys)})


def about(config: Config, seeds: Sequence[int]) -> dict[str, Any]:
    """What frontier.json says of the whole: data, attack, seeds, and which figure the verdict is taken on."""
    attack = registry_of(config).attack(config.attack.name)
    return {
        "command": "frontier",
        "seeds": [*seeds],
        "smoke": config.smoke,
        "data": config.data.name,
        "attack": config.attack.name,
        "budget": config.attack.budget,
        "measures": attack.measures,
        "signed": attack.signed_measures,
        "verdict": verdict({"measures": attack.measures}),
    }


def of_row(row: Row, config: Config) -> dict[str, Any]:
    """What frontier.json says of a row besides its settings and figures."""
    registry = registry_of(config)
    return {
        "row": str(row),
        "label": label(row, registry),
        **nature(row, registry),
        "methods": {atom.name: registry.method(atom.name).aim for atom in row.atoms},
    }


def _seeds(ones: Iterable[Mapping[str, Any] | None], measures: Iterable[str]) -> dict[str, list[Any]]:
    """By figure, a value per seed."""
    own = [one for one in ones if one is not None]
    names = ["acc_adjusted", "wga", TEST_ERROR, *measures, "selected_epoch", "trials"]
    found: dict[str, list[Any]] = {name: [one[name] for one in own] for name in names}
    for kind in ON_SETS:
        for name in own[0][kind]:
            found[f"{kind}.{name}"] = [one[kind].get(name) for one in own]
    return found
