"""Estimated time of a frontier: the remaining trainings times the measured time of a step on this machine."""

import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from oilwater_jax import pipeline, selectors
from oilwater_jax.experiment import Experiment
from oilwater_jax.planning.work import Training
from oilwater_jax.reporting.progress import Progress
from oilwater_jax.settings.config import Config
from oilwater_jax.stages import Store
from oilwater_jax.types import Recipe, Treatment

STEPS = 32  # that are timed


class Speed(NamedTuple):
    """Seconds for a drawn sample of a training, and for a scored one."""

    drawn: float
    scored: float


def begun(workdir: Path) -> set[str]:
    """The keys of the trainings that have begun in a sweep's folder, most of which are done."""
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


def seconds(left: Iterable[Training], validated: int, scored: int, speed: Speed, workers: int) -> float:
    """Wall-clock seconds, if the workers share the work evenly.

    Trainings with a pass over `validated` samples after each epoch, and passes over `scored` samples in all.
    """
    trainings = list(left)
    drawn = sum(one.draws * one.epochs for one in trainings)
    passed = scored + validated * sum(one.epochs for one in trainings)
    return (drawn * speed.drawn + passed * speed.scored) / max(workers, 1)
