"""Data sets by name. A data set's module has `build() -> Splits` and `build_pretraining() -> Examples`.

One that is made from files also has `read_source(source)`, whose result, with a `digest`, both of them take.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from oilwater_jax import registry, rng
from oilwater_jax.data import cache
from oilwater_jax.errors import UserError
from oilwater_jax.groups import group_ids
from oilwater_jax.types import Examples, Splits

SMOKE_PER_GROUP = 128


class _Recipe(NamedTuple):
    """How a data set is built, and the name and version that its cached file goes by."""

    key: str
    version: int
    build: Callable[[], Splits]
    build_pretraining: Callable[[], Examples]


def load(name: str, *, source: str = "", auxiliary: float = 0.0, smoke: bool = False) -> Splits:
    """The data set `name` (a key of `registry.DATASETS`), from the cache if it has been built before.

    `source` is the folder of its files, for a data set that is made from files. With `smoke`, the first samples
    of each group only. A share `auxiliary` of the training samples is set aside before anything else.
    Raises UserError if the source does not do.
    """
    recipe = _recipe(name, source)
    splits = cache.splits(recipe.key, recipe.version, recipe.build)
    if smoke:
        n_attributes = len(splits.attribute_names)
        splits = splits._replace(
            train=_first_of_each_group(splits.train, n_attributes),
            val=_first_of_each_group(splits.val, n_attributes),
            test=_first_of_each_group(splits.test, n_attributes),
        )
    return carve(splits, auxiliary)


def carve(splits: Splits, share: float) -> Splits:
    """Move a share of every group's training samples, rounded down, to the auxiliary part (in place of the old).

    The same samples for every seed. Share 0 leaves the auxiliary part empty.
    """
    train = splits.train
    groups = group_ids(train, len(splits.attribute_names))
    aside = np.zeros(len(train), bool)
    for group in range(splits.n_groups):
        members = rng.generator(0, "auxiliary", group).permutation(np.flatnonzero(groups == group))
        aside[members[: int(share * len(members))]] = True
    return splits._replace(train=train.take(~aside), auxiliary=train.take(aside))


def load_pretraining(name: str, *, source: str = "", smoke: bool = False) -> Examples:
    """The data set's pretraining task: another label, on material of the train split or of no split."""
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
