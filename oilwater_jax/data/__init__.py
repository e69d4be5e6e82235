"""Data sets by name. A data set's module is of one of two kinds.

Built: `build() -> Splits` and `build_pretraining() -> Examples`, kept whole in memory. One that is made from files
also has `read_source(source)`, whose result, with a `digest`, both of them take.

Listed: `catalogue(source, root, tick) -> Catalogue` of published image files, which are decoded once and then
memory-mapped, and `PREPROCESSING`. It has no pretraining task (ImageNet is that).
"""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from oilwater_jax import registry, rng
from oilwater_jax.data import cache, prepared
from oilwater_jax.data.catalogue import SPLITS, Catalogue, smoke_rows
from oilwater_jax.errors import UserError
from oilwater_jax.groups import group_ids
from oilwater_jax.reporting.progress import Progress
from oilwater_jax.types import Examples, Splits

SMOKE_PER_GROUP, SMOKE_PER_GROUP_LISTED = 128, 16  # of a built and of a listed data set


class _Recipe(NamedTuple):
    """How a data set is built, and the name and version that its cached file goes by."""

    key: str
    version: int
    build: Callable[[], Splits]
    build_pretraining: Callable[[], Examples]


class Loaded(NamedTuple):
    """A data set, and where it is kept on disk (empty: it could not be, or need not be)."""

    splits: Splits
    files: tuple[Path, ...]
    root: Path


def load(name: str, *, source: str = "", auxiliary: float = 0.0, smoke: bool = False) -> Splits:
    """The data set `name` (a key of `registry.DATASETS`), from the cache if it has been made before.

    `source` is the folder or archive of its files, for a data set that is made from files; for a listed one also a
    folder that was `prepare`'s `data_dir`, and empty: what was prepared last. The images of a listed data set stay
    on disk until they are read. With `smoke`, a few samples of each group only. A share `auxiliary` of the training
    samples is set aside before anything else. Raises UserError if the source does not do.
    """
    module = registry.resolve(registry.DATASETS, name)
    if hasattr(module, "catalogue"):
        root, source = _place(name, source)
        splits = _load_listed(name, module, root, source, smoke=smoke)
        return carve(splits, auxiliary)
    recipe = _recipe(name, source)
    splits = cache.splits(recipe.key, recipe.version, recipe.build)._replace(identity=recipe.key)
    if smoke:
        n_attributes = len(splits.attribute_names)
        splits = splits._replace(
            train=_first_of_each_group(splits.train, n_attributes),
            val=_first_of_each_group(splits.val, n_attributes),
            test=_first_of_each_group(splits.test, n_attributes),
        )
    return carve(splits, auxiliary)


def _load_listed(name: str, module: ModuleType, root: Path, source: str, *, smoke: bool) -> Splits:
    if source:
        with Progress() as progress:
            catalogue = module.catalogue(source, root, _ticker(progress, f"{name}: unpacking"))
            if smoke:
                catalogue = catalogue.smoke(SMOKE_PER_GROUP_LISTED)
            return prepared.splits(catalogue, _make(root, catalogue, progress))
    found = prepared.remembered(root, name, module.PREPROCESSING.name)
    if found is None:
        raise UserError(_unprepared(name, root, source))
    return _smoke(found[0]) if smoke else found[0]


def _make(root: Path, catalogue: Catalogue, progress: Progress) -> dict[str, prepared.Part]:
    """The parts of a catalogue, made where they are not there."""
    found = {split: prepared.find(root, catalogue, split) for split in SPLITS}
    missing = [split for split, part in found.items() if part is None]
    if missing and catalogue.remark:
        progress.warn(catalogue.remark)
    progress.begin(len(missing))
    made = {}
    for split in missing:
        what = f"{catalogue.name}: decoding {split}"
        progress.stage(what, 0)
        made[split] = prepared.make(root, catalogue, split, _ticker(progress, what))
        progress.done(what)
    return {split: part or made[split] for split, part in found.items()}


def _ticker(progress: Progress, what: str) -> Callable[[int, int], None]:
    return lambda done, total: progress.count(what, done, total, "")


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


def _smoke(splits: Splits) -> Splits:
    def small(split: str, examples: Examples) -> Examples:
        rows = smoke_rows(split, examples.label, examples.attribute, SMOKE_PER_GROUP_LISTED)
        return examples.take(rows).in_memory()

    return splits._replace(**{split: small(split, getattr(splits, split)) for split in SPLITS})


def prepare(name: str, *, source: str = "", data_dir: Path | None = None, strict: bool = False) -> None:
    """Download or read, check and decode a data set, so that `load(name)` finds it (with source=data_dir, if given).

    Goes on where an earlier call was cut off. Group sizes other than the published ones are a warning, and with
    `strict` an error. Raises UserError.
    """
    module = registry.resolve(registry.DATASETS, name)
    if not hasattr(module, "catalogue"):
        if data_dir:
            raise UserError(
                f"--data_dir={data_dir}: {name} is small and kept in {cache.folder()}; leave it out"
            )
        load(name, source=source)
        return
    root = data_dir or cache.folder() / "data"
    _writable(root)
    with Progress() as progress:
        catalogue = module.catalogue(source, root, _ticker(progress, f"{name}: unpacking"))
        if catalogue.remark and strict:
            raise UserError(f"{catalogue.remark} (--strict)")
        prepared.remember(root, catalogue, _make(root, catalogue, progress))


def _writable(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{root} cannot be made a folder ({error.strerror}); choose another --data_dir"
        ) from error


def find(name: str, *, source: str = "", data_dir: Path | None = None) -> Loaded:
    """A data set that is there already; a built one is built. Raises UserError if a listed one is not prepared."""
    module = registry.resolve(registry.DATASETS, name)
    if not hasattr(module, "catalogue"):
        splits = load(name, source=source)
        recipe = _recipe(name, source)
        path = cache.place(recipe.key, recipe.version)
        return Loaded(splits, (path,) if path.exists() else (), path.parent)
    root, source = (data_dir, source) if data_dir else _place(name, source)
    if source:
        catalogue = module.catalogue(source, root)
        parts = {split: prepared.find(root, catalogue, split) for split in SPLITS}
        whole = {split: part for split, part in parts.items() if part}
        found = (prepared.splits(catalogue, whole), whole) if len(whole) == len(parts) else None
    else:
        found = prepared.remembered(root, name, module.PREPROCESSING.name)
    if found is None:
        raise UserError(_unprepared(name, root, source))
    splits, whole = found
    files = tuple(path for part in whole.values() for path in sorted(part.folder.iterdir()))
    return Loaded(splits, files, root)


def carve(splits: Splits, share: float) -> Splits:
    """Move a share of every group's training samples, rounded down, to the auxiliary part (in place of the old).

    The same samples for every seed. Share 0 leaves the auxiliary part empty.
    """
    train = splits.train
    if not share:  # without a copy of all images
        return splits._replace(auxiliary=train.take(np.arange(0)))
    groups = group_ids(train, len(splits.attribute_names))
    aside = np.zeros(len(train), bool)
    for group in range(splits.n_groups):
        members = rng.generator(0, "auxiliary", group).permutation(np.flatnonzero(groups == group))
        aside[members[: int(share * len(members))]] = True
    return splits._replace(train=train.take(~aside), auxiliary=train.take(aside))


def load_pretraining(name: str, *, source: str = "", smoke: bool = False) -> Examples:
    """The data set's pretraining task: another label, on material of the train split or of no split.

    Raises UserError if it has none.
    """
    if name in registry.LISTED:
        raise UserError(f"{name} has no pretraining task; set pretrain.epochs = 0")
    recipe = _recipe(name, source)
    examples = cache.examples(f"{recipe.key}-pretraining", recipe.version, recipe.build_pretraining)
    return examples.take(np.arange(min(SMOKE_PER_GROUP, len(examples)))) if smoke else examples


def _recipe(name: str, source: str) -> _Recipe:
    """The source's content is part of the key, so that another source never meets a stale file."""
    module = registry.resolve(registry.DATASETS, name)
    if hasattr(module, "read_source"):
        raw = module.read_source(source)
        build, build_pretraining = (
            functools.partial(make, raw) for make in (module.build, module.build_pretraining)
        )
        return _Recipe(f"{name}-{raw.digest[:16]}", module.VERSION, build, build_pretraining)
    if source:
        raise UserError(f"data.source = {source!r}: {name} is not made from files of yours; leave it empty")
    return _Recipe(name, module.VERSION, module.build, module.build_pretraining)


def _first_of_each_group(examples: Examples, n_attributes: int) -> Examples:
    groups = group_ids(examples, n_attributes)
    rows = [np.flatnonzero(groups == g)[:SMOKE_PER_GROUP] for g in np.unique(groups)]
    return examples.take(np.sort(np.concatenate(rows)))
