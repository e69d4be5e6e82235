"""Data sets by name. A data set's module has `build() -> Splits` and `build_pretraining() -> Examples`."""

import numpy as np

from oilwater_jax import registry
from oilwater_jax.data import cache
from oilwater_jax.groups import group_ids
from oilwater_jax.types import Examples, Splits

SMOKE_PER_GROUP = 128


def load(name: str, *, smoke: bool = False) -> Splits:
    """The data set `name` (a key of `registry.DATASETS`), from the cache if it has been built before.

    With `smoke`, the first samples of each group only.
    """
    module = registry.resolve(registry.DATASETS, name)
    splits = cache.splits(name, module.VERSION, module.build)
    if not smoke:
        return splits
    n_attributes = len(splits.attribute_names)
    return splits._replace(
        train=_first_of_each_group(splits.train, n_attributes),
        val=_first_of_each_group(splits.val, n_attributes),
        test=_first_of_each_group(splits.test, n_attributes),
    )


def load_pretraining(name: str, *, smoke: bool = False) -> Examples:
    """The data set's pretraining task: labels of another task on material of the train split only."""
    module = registry.resolve(registry.DATASETS, name)
    examples = cache.examples(f"{name}-pretraining", module.VERSION, module.build_pretraining)
    return examples.take(np.arange(min(SMOKE_PER_GROUP, len(examples)))) if smoke else examples


def _first_of_each_group(examples: Examples, n_attributes: int) -> Examples:
    groups = group_ids(examples, n_attributes)
    rows = [np.flatnonzero(groups == g)[:SMOKE_PER_GROUP] for g in np.unique(groups)]
    return examples.take(np.sort(np.concatenate(rows)))
