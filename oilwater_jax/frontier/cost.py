"""How long a frontier will take: the trainings that are still to be made, times what a step takes on this machine."""

import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from oilwater_jax import pipeline, rows, selectors
from oilwater_jax.experiment import Experiment
from oilwater_jax.keys import Keys, recipe_section
from oilwater_jax.planning.sizes import Sizes
from oilwater_jax.reporting.progress import Progress
from oilwater_jax.settings.config import Config, rows_of, view
from oilwater_jax.stages import Store
from oilwater_jax.types import Recipe, Treatment

STEPS = 32  # that are timed


class Training(NamedTuple):
    """A training by its key: the checkpoints' folder name begins with `name`, and how many samples it draws in all."""

    name: str
    draws: int


class Speed(NamedTuple):
    """Seconds for a drawn sample of a training, and for a scored one."""

    drawn: float
    scored: float


def trainings(config: Config, keys: Keys, sizes: Sizes, seed: int) -> dict[str, Training]:
    """The trainings of one seed of a config by key, with what methods estimate of their draws."""
    found: dict[str, Training] = {}
    if config.pretrain.epochs and not config.model.init_from:
        found[keys.pretrain(seed)] = Training("pretrain", sizes.pretraining * config.pretrain.epochs)
    for name in keys.attack_entry.models(view(config, keys.attack_entry)):
        found[keys.attacker(name, seed)] = Training(name, sizes.train * config.erm.epochs)
    wanted = list(rows_of(config))
    if keys.attack_entry.needs_clean:
        wanted.append(rows.plain_clean())
    for row in wanted:
        for part in rows.parts(row):
            found |= _of_part(config, keys, sizes, part, seed)
    return found


def _of_part(config: Config, keys: Keys, sizes: Sizes, part: rows.Row, seed: int) -> dict[str, Training]:
    found, n = {}, sizes.poisoned
    draws, epochs = n, config[recipe_section(part, keys)].epochs
    for atom in part.last:
        method = keys.registry.method(atom.name)
        seen = view(config, method)
        draws += method.draws(seen, n) - n
        if method.epochs:
            epochs = method.epochs(seen)
        if method.find:
            found[keys.reference(part, atom, seed)] = Training("reference", n * config.identify.epochs)
        if method.early:
            found[keys.early(part, atom, seed)] = Training("early", n * config.identify.epochs)
    return found | {keys.left(part, seed): Training(str(part), draws * epochs)}


def done(workdir: Path) -> set[str]:
    """The keys of the trainings that have begun in a sweep's folder: counted as done, which most of them are."""
    return {path.name.rpartition("-")[2] for path in (workdir / "checkpoints").glob("seed*/*")}


def speed(config: Config) -> Speed:
    """Time a few steps of a config's training and scoring here; the first pass, which compiles, is not counted."""
    small, splits = pipeline.prepare(config)
    n = min(len(splits.train), STEPS * small.train.batch)
    few = splits.train.take(np.arange(n))
    recipe, treatment = Recipe(**small.erm)._replace(epochs=2), Treatment(selectors.everyone(n), rule="last")
    with tempfile.TemporaryDirectory() as folder, Progress(pipeline.ignore) as progress:
        experiment = Experiment(small, splits._replace(val=few), Store(Path(folder), progress.warn), progress)
        params = experiment.network.init_params(0)
        began: list[float] = []
        for turn in range(2):
            began.append(time.monotonic())
            experiment.train(turn, f"timing{turn}", str(turn), few, recipe, treatment, params)
        trained = time.monotonic() - began[1]
        began_scoring = time.monotonic()
        experiment.network.score(params, few, ("correct",))
        scored = (time.monotonic() - began_scoring) / n
    return Speed(max(trained / (2 * n) - scored, 0.0), scored)


def seconds(left: Iterable[Training], scored: int, speed: Speed, workers: int) -> float:
    """Of the clock, if the workers share the work evenly: trainings, and passes over `scored` samples in all."""
    draws = sum(training.draws for training in left)
    return (draws * speed.drawn + scored * speed.scored) / max(workers, 1)
