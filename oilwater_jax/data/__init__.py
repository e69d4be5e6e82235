"""Data sets by name. A data set's module has `build() -> Splits` and `build_pretraining() -> Examples`."""

import numpy as np

from oilwater_jax import registry, rng
from oilwater_jax.data import cache
from oilwater_jax.groups import group_ids
from oilwater_jax.types import Examples, Splits

SMOKE_PER_GROUP = 128


def load(name: str, *, auxiliary: float = 0.0, smoke: bool = False) -> Splits:
    """The data set `name` (a key of `registry.DATASETS`), from the cache if it has been built before.

    With `smoke`, the first samples of each group only. A share `auxiliary` of the training samples is set aside
    before anything else.
    """
    module = registry.resolve(registry.DATASETS, name)
    splits = cache.splits(name, module.VERSION, module.build)
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


def load_pretraining(name: str, *, smoke: bool = False) -> Examples:
    """The data set's pretraining task: labels of another task on material of the train split only."""
    module = registry.resolve(registry.DATASETS, name)
    examples = cache.examples(f"{name}-pretraining", module.VERSION, module.build_pretraining)
    return examples.take(np.arange(min(SMOKE_PER_GROUP, len(examples)))) if smoke else examples


def _first_of_each_group(examples: Examples, n_attributes: int) -> Examples:
    groups = group_ids(examples, n_attributes)
    rows = [np.flatnonzero(groups == g)[:SMOKE_PER_GROUP] for g in np.unique(groups)]
    return examples.take(np.sort(np.concatenate(rows)))
