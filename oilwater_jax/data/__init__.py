"""Data sets by name (`entries.Dataset`): loaded or built whole in memory, or listed and decoded once."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from oilwater_jax.data import cache, prepared
from oilwater_jax.data.carving import carve, carve_base
from oilwater_jax.data.catalogue import SMOKE_LISTED, SPLITS, smoke_rows
from oilwater_jax.data.own import from_arrays
from oilwater_jax.entries import Dataset
from oilwater_jax.errors import UserError
from oilwater_jax.reporting.progress import Progress
from oilwater_jax.settings.config import Config, checked, default, registry_of, view
from oilwater_jax.settings.registry import Registry, known
from oilwater_jax.types import Examples, Splits

__all__ = [
    "Loaded",
    "find",
    "from_arrays",
    "load",
    "load_pretraining",
    "of_config",
    "prepare",
    "smoke_size",
    "whole",
]

# Samples that a smoke run has of each split of a data set in memory, and of a pretraining task.
SMOKE, SMOKE_PRETRAINING = 512, 128


class _Recipe(NamedTuple):
    """How a data set is built, and the name and version that its cached file goes by."""

    key: str
    version: int
    build: Callable[[], Splits]
    build_pretraining: Callable[[], Examples]


class Loaded(NamedTuple):
    """A data set and its place on disk (empty if it has none)."""

    splits: Splits
    files: tuple[Path, ...]
    root: Path
    parts: tuple[prepared.Part, ...] = ()


def load(
    name: str,
    *,
    source: str = "",
    auxiliary: float = 0.0,
    base: int = 0,
    base_balance: str = "natural",
    smoke: bool = False,
) -> Splits:
    """The data set of a built-in or installed name, from the cache if it has been made before.

    `source` is the folder or archive of its files, for a data set that is made from files; for a listed one also a
    folder that was `prepare`'s `data_dir`, and empty: what was prepared last. The images of a listed data set stay
    on disk until they are read. With `smoke`, a few samples only, the groups in proportion. A share `auxiliary`
    of the training samples and then `base` of them are set aside before anything else. Raises UserError if the
    source does not do.
    """
    settings = {"name": name, "source": source, "auxiliary": float(auxiliary), "base": base}
    given = {f"data.{key}": value for key, value in settings.items()}
    given |= {"data.base_balance": base_balance, "smoke": smoke}
    if known().data(name).pretraining is None:
        given["pretrain.epochs"] = 0
    return of_config(checked(default(), given))


def of_config(config: Config) -> Splits:
    """The data of a config, its auxiliary part and base set carved. Raises UserError as `load`."""
    d, splits = config.data, whole(config)
    if not len(splits.train):
        raise UserError(f"data.name = {d.name!r} has no training samples")
    return carve_base(carve(splits, d.auxiliary), d.base, d.base_balance)


def smoke_size(n: int) -> int:
    """About how many of n samples of a listed data set a smoke run has."""
    return min(n, SMOKE_LISTED)


def whole(config: Config) -> Splits:
    """A config's data set before anything is set aside."""
    registry = registry_of(config)
    entry = registry.data(config.data.name)
    smoke, source = config.smoke, config.data.source
    if entry.catalogue:
        root, source = _place(entry.name, source)
        return _load_listed(entry, root, source, smoke=smoke)
    if entry.load:
        splits = entry.load(view(config, entry))
        splits = splits._replace(identity=splits.identity or entry.name)
    else:
        recipe = _recipe(registry, entry, source)
        splits = cache.splits(recipe.key, recipe.version, recipe.build)._replace(identity=recipe.key)
    if smoke:
        return _smoke(splits, SMOKE)
    return splits


def _load_listed(entry: Dataset, root: Path, source: str, *, smoke: bool) -> Splits:
    name = entry.name
    assert entry.catalogue
    if source:
        with Progress() as progress:
            catalogue = entry.catalogue(source, root, prepared.ticker(progress, f"{name}: unpacking"))
            if smoke:
                catalogue = catalogue.smoke(SMOKE_LISTED)
            return prepared.splits(catalogue, prepared.make_all(root, catalogue, progress))
    found = prepared.remembered(root, name, entry.preprocessing.name)
    if found is None:
        raise UserError(_unprepared(name, root, source))
    return _smoke(found[0], SMOKE_LISTED) if smoke else found[0]


def _place(name: str, source: str) -> tuple[Path, str]:
    """Where prepared data are, and the source: a folder of prepared data that is given as the source is no source."""
    folder = Path(os.path.expanduser(source))
    if source and prepared.holds(folder, name):
        return folder, ""
    return cache.folder() / "data", source


def _unprepared(name: str, root: Path, source: str) -> str:
    option = f" --source={source}" if source else " --source=DIR (without --source it is downloaded)"
    return (
        f"{name} is not prepared in {root}; run once: oilwater data prepare {name}{option}; "
        "or name its folder or archive by --config.data.source=DIR"
    )


def _smoke(splits: Splits, most: int) -> Splits:
    def small(split: str, examples: Examples) -> Examples:
        rows = smoke_rows(split, examples.true_label, examples.attribute, most)
        return examples.take(rows).in_memory()

    return splits._replace(**{split: small(split, getattr(splits, split)) for split in SPLITS})


def prepare(name: str, *, source: str = "", data_dir: Path | None = None, strict: bool = False) -> None:
    """Download or read, check and decode a data set, so that `load(name)` finds it (with source=data_dir, if given).

    Goes on where an earlier call was cut off. Group sizes other than the published ones are a warning, and with
    `strict` an error. Raises UserError.
    """
    entry = known().data(name)
    if not entry.catalogue:
        if data_dir:
            raise UserError(
                f"--data_dir={data_dir}: {name} is small and kept in {cache.folder()}; leave it out"
            )
        load(name, source=source)
        return
    root = data_dir or cache.folder() / "data"
    _writable(root)
    with Progress() as progress:
        catalogue = entry.catalogue(source, root, prepared.ticker(progress, f"{name}: unpacking"))
        if catalogue.remark and strict:
            raise UserError(f"{catalogue.remark} (--strict)")
        prepared.remember(root, catalogue, prepared.make_all(root, catalogue, progress))


def _writable(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{root} cannot be made a folder ({error.strerror}); choose another --data_dir"
        ) from error


def find(name: str, *, source: str = "", data_dir: Path | None = None) -> Loaded:
    """A data set that already exists; a built one is built. Raises UserError if a listed one is not prepared."""
    entry = known().data(name)
    if not entry.catalogue:
        splits = load(name, source=source)
        if entry.load:
            return Loaded(splits, (), cache.folder())
        recipe = _recipe(known(), entry, source)
        path = cache.place(recipe.key, recipe.version)
        return Loaded(splits, (path,) if path.exists() else (), path.parent)
    root, source = (data_dir, source) if data_dir else _place(name, source)
    if source:
        catalogue = entry.catalogue(source, root)
        parts = {split: prepared.find(root, catalogue, split) for split in SPLITS}
        whole = {split: part for split, part in parts.items() if part}
        found = (prepared.splits(catalogue, whole), whole) if len(whole) == len(parts) else None
    else:
        found = prepared.remembered(root, name, entry.preprocessing.name)
    if found is None:
        raise UserError(_unprepared(name, root, source))
    splits, whole = found
    files = tuple(path for part in whole.values() for path in sorted(part.folder.iterdir()))
    return Loaded(splits, files, root, tuple(whole.values()))


def verify(found: Loaded) -> None:
    """Read all of a data set's images on disk and hold them against their digests. Raises UserError naming a part."""
    for part in found.parts:
        if fault := prepared.verify(part):
            raise UserError(
                f"the decoded images {part.folder} are damaged ({fault}); remove that folder and prepare them again"
            )


def load_pretraining(config: Config) -> Examples:
    """The pretraining task of a config's data set: another label, on material of the train split or of no split.

    Raises UserError if it has none.
    """
    registry = registry_of(config)
    entry = registry.data(config.data.name)
    if entry.pretraining is None:
        raise UserError(f"{entry.name} has no pretraining task; set pretrain.epochs = 0")
    recipe = _recipe(registry, entry, config.data.source)
    examples = cache.examples(f"{recipe.key}-pretraining", recipe.version, recipe.build_pretraining)
    return examples.take(np.arange(min(SMOKE_PRETRAINING, len(examples)))) if config.smoke else examples


def _recipe(registry: Registry, entry: Dataset, source: str) -> _Recipe:
    """The source's content, and that of a user's file, is part of the key: another never meets a stale file."""
    key, raw = entry.name, ()
    if digest := registry.registered("data", entry.name).digest:
        key = f"{key}-{digest}"
    if entry.read_source:
        raw = (entry.read_source(source),)
        key = f"{key}-{raw[0].digest[:16]}"
    elif source:
        raise UserError(f"data.source = {source!r}: {entry.name} is not made from your files; leave it empty")
    build: Any = entry.build or _missing(entry)
    build_pretraining: Any = entry.pretraining or _missing(entry)
    return _Recipe(
        key, entry.version, functools.partial(build, *raw), functools.partial(build_pretraining, *raw)
    )


def _missing(entry: Dataset) -> Callable[..., Any]:
    def refuse(*raw: Any) -> Any:
        raise UserError(f"the data set {entry.name} has none of load, build and catalogue; give it one")

    return refuse
