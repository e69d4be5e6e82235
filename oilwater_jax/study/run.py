"""`oilwater study`: for every seed the identification model's training with its record, then tables and figures."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oilwater_jax import devices, pipeline
from oilwater_jax.defenses.epic import GRADIENTS
from oilwater_jax.files import seal, write_json, write_npz
from oilwater_jax.groups import report_sets
from oilwater_jax.keys import Keys
from oilwater_jax.reporting import study_plots
from oilwater_jax.reporting.page import write_study_page
from oilwater_jax.reporting.study import SCORES, summarise
from oilwater_jax.rooms import Rooms
from oilwater_jax.run_folder import check_path
from oilwater_jax.settings.config import Config, registry_of, to_json, view
from oilwater_jax.settings.field import Field
from oilwater_jax.stages import Stage, key_of
from oilwater_jax.study.recorder import recorder
from oilwater_jax.study.separability import separability, unions
from oilwater_jax.training.fit import Fitted
from oilwater_jax.types import Recipe, Selector, Treatment

FIGURES = 2  # counts the changes of what a study's stage holds


def run(
    config: Config,
    workdir: str | Path,
    *,
    seeds: int = 1,
    overwrite: bool = False,
    warn: Callable[[str], None] | None = None,
    log: Sequence[str] = (),
) -> dict[str, Any]:
    """Run or resume the study of a checked config; returns the content of summary.json.

    Seeds, folder and `log` are as `pipeline.run`'s; the folder of a study is no run's. It gets summary.json, scores.npz
    (`seed0.loss` [t n], ... for t epochs and n training samples, `seed0.set` with each sample's set by name) and
    figures/. Raises UserError before anything is written where config, data or folder do not fit together.
    """
    workdir = check_path(workdir)
    with pipeline.entered(
        config,
        workdir,
        identity(config),
        seeds=seeds,
        overwrite=overwrite,
        warn=warn,
        log=log,
        key_of_run=run_key,
    ) as (
        e,
        numbers,
    ):
        models = len(e.attack.models(view(e.config, e.attack)))
        e.progress.begin(1 + len(numbers) * (2 + models + (e.config.pretrain.epochs > 0)))
        found = {seed: studied(Rooms(e, seed)) for seed in numbers}
        figures = {seed: stage.figures for seed, stage in found.items()}
        whole = summarise(figures, to_json(e.config), numbers, labels(e.config))
        result = seal({**whole, "key": run_key(e.keys, numbers)})
        e.progress.stage("report", 0)
        devices.first(functools.partial(report, workdir, found, result, e.registry.fields))
        e.progress.done("report")
    return result


def labels(config: Config) -> dict[str, str]:
    """The scores' names in tables."""
    return SCORES | {score.name: score.label or score.name for score in registry_of(config).scores()}


def identity(config: Config) -> dict[str, Any]:
    """What a study's folder holds as config.json: the config, and that it is of a study."""
    return {"command": "study", **to_json(config)}


def place(rooms: Rooms) -> tuple[str, str]:
    """The stage's name, which is its training's too, and the key of what they depend on."""
    return f"seed{rooms.seed}/study", stage_key(rooms.keys, rooms.seed)


def run_key(keys: Keys, seeds: list[int]) -> str:
    """The key of a study of these seeds: what its summary depends on."""
    return key_of("study", [stage_key(keys, seed) for seed in seeds])


def stage_key(keys: Keys, seed: int) -> str:
    """The key of a seed's stage."""
    settings = keys.settings
    rates = {name: value for name, value in settings["identify"].items() if name != "epochs"}
    compared = keys.config.epic.ratio, keys.config.epic.gradients
    return key_of(keys.base, keys.attack(seed), rates, settings["study"], compared, FIGURES)


def names(config: Config) -> tuple[str, ...]:
    """The scores that are taken: the study's own, then those of plugins."""
    return (*SCORES, *(score.name for score in registry_of(config).scores()))


def watch(config: Config) -> Selector:
    """The recorder of a config."""
    compared = GRADIENTS[config.epic.gradients]
    more = tuple(score.name for score in registry_of(config).scores())
    return recorder(
        tuple(config.study.epochs), k=config.study.k, ratio=config.epic.ratio, score=compared, more=more
    )


def fitted(rooms: Rooms) -> Fitted:
    """The identification model, trained to the last of `study.epochs`; to T epochs it is the reference model."""
    config, train = rooms.config, rooms.poisoned
    treatment = Treatment(watch(config), rule="last")
    recipe = Recipe(**config.identify)._replace(epochs=config.study.epochs[-1])
    return rooms.experiment.train(rooms.seed, *place(rooms), train, recipe, treatment)


def studied(rooms: Rooms) -> Stage:
    """Stage `study` of a seed: arrays are the record of a training, figures what it tells apart."""
    e, train, config = rooms.experiment, rooms.poisoned, rooms.config

    def compute() -> Stage:
        found, own = fitted(rooms), watch(config)
        # What the model is after the last epoch, the selector would see at the start of the next.
        end = config.study.epochs[-1] + 1
        record, _ = own.update(found.selector, end, e.network.score(found.params, train, own.due(end)))
        sets = report_sets(train, e.n_classes, e.n_attributes)
        # A restored record has its names in the order of the alphabet.
        scores = {name: record["scores"][name] for name in names(config)}
        correct = record["correct"][np.array(config.study.epochs) - 1]
        figures = separability(scores, unions(sets), config.study.epochs, rooms.seed, correct=correct)
        arrays = {
            **scores,
            "plane": record["plane"],
            "loss_by_epoch": record["loss"],
            "correct_by_epoch": record["correct"],
            "set": np.select(list(sets.values()), list(sets), ""),
            "index": train.index,
        }
        return Stage(arrays, {"n_train": len(e.splits.train), **figures})

    return e.stage(*place(rooms), compute)


def report(
    workdir: Path, found: dict[int, Stage], result: dict[str, Any], fields: Mapping[str, Field]
) -> None:
    """Write a study's scores, figures, page and summary."""
    arrays = {"epochs": np.array(result["epochs"])}
    for seed, stage in found.items():
        arrays |= {f"seed{seed}.{name}": array for name, array in stage.arrays.items()}
    write_npz(workdir / "scores.npz", arrays)
    study_plots.write_questions(workdir / "figures", result)
    study_plots.write_advantages(workdir / "figures", result)
    first = found[result["seeds"][0]].arrays
    study_plots.write_plane(workdir / "figures", first["plane"], first["set"], result["epochs"])
    write_study_page(workdir, result, fields)
    write_json(workdir / "summary.json", result)  # last: it says that the study is finished
