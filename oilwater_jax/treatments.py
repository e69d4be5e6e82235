"""The rows of the result table: each a training set and how it is trained on."""

from typing import NamedTuple

import numpy as np

from oilwater_jax import objectives, selectors
from oilwater_jax.config import Config
from oilwater_jax.groups import group_counts, group_ids
from oilwater_jax.types import Examples, Splits, Treatment


class Row(NamedTuple):
    """Which data a row trains on, by which recipe, and whether it stands on what the method found."""

    clean: bool
    recipe: str
    amplified: bool = False


ROWS = {
    "erm_clean": Row(clean=True, recipe="erm"),
    "erm": Row(clean=False, recipe="erm"),
    "standard": Row(clean=False, recipe="robust", amplified=True),
    "ideal": Row(clean=False, recipe="robust", amplified=True),
    "worst": Row(clean=False, recipe="robust", amplified=True),
    "oracle": Row(clean=True, recipe="erm"),
    "group_dro": Row(clean=True, recipe="robust"),
}
OWN = Row(clean=False, recipe="robust")  # a row of the user's


def erm(config: Config, train: Examples) -> Treatment:
    """Every sample once per epoch, the mean loss."""
    everyone = selectors.everyone(len(train))
    return Treatment(everyone, objectives.erm(), np.zeros(len(train), np.int32), None, config.train.select)


def oracle(config: Config, train: Examples, n_attributes: int) -> Treatment:
    """As ERM, with every true group drawn equally often."""
    return erm(config, train)._replace(
        selector=selectors.fixed(selectors.balanced(group_ids(train, n_attributes)))
    )


def group_dro(config: Config, train: Examples, splits: Splits) -> Treatment:
    """The oracle's draws, and group DRO over the true groups."""
    n_attributes = len(splits.attribute_names)
    counts = group_counts(train, len(splits.class_names), n_attributes)
    return oracle(config, train, n_attributes)._replace(
        objective=objectives.group_dro(counts, **config.group_dro), group=group_ids(train, n_attributes)
    )


def reference(row: str, config: Config, train: Examples, splits: Splits) -> Treatment:
    """The treatment of a row that needs no method. Raises KeyError for another row."""
    return {
        "erm_clean": lambda: erm(config, train),
        "erm": lambda: erm(config, train),
        "oracle": lambda: oracle(config, train, len(splits.attribute_names)),
        "group_dro": lambda: group_dro(config, train, splits),
    }[row]()
