"""The rows of the result table: each a training set and how it is trained on."""

from typing import NamedTuple

import numpy as np

from oilwater_jax import objectives, selectors
from oilwater_jax.config import Config
from oilwater_jax.defenses.epic import epic
from oilwater_jax.fields import GRADIENTS, MODES
from oilwater_jax.groups import group_ids
from oilwater_jax.types import Examples, Selector, Splits, Treatment


class Row(NamedTuple):
    """Which data a row trains on, by which recipe, in which of the method's modes, and whether EPIc defends it.

    Data are clean, poisoned, or survivors: what EPIc left of the poisoned.
    """

    data: str
    recipe: str
    mode: str | None = None
    defended: bool = False


ROWS = {
    "erm_clean": Row("clean", "erm"),
    "erm": Row("poisoned", "erm"),
    "epic": Row("poisoned", "erm", defended=True),
    **{mode: Row("poisoned", "robust", mode=mode) for mode in MODES},
    "combined": Row("poisoned", "robust", mode="standard", defended=True),
    "oracle": Row("clean", "erm"),
    "group_dro": Row("clean", "robust"),
    "group_dro_poisoned": Row("poisoned", "robust"),
}
OWN = Row("poisoned", "robust")  # a row of the user's


def kind(config: Config, row: str) -> Row:
    """What a row is; one that EPIc comes before needs no defence of its own any more."""
    found = ROWS.get(row, OWN)
    before = found.mode is not None and found.defended and config.epic.when == "before"
    return found._replace(data="survivors", defended=False) if before else found


def erm(config: Config, train: Examples) -> Treatment:
    """Every sample once per epoch, the mean loss."""
    everyone = selectors.everyone(len(train))
    return Treatment(everyone, objectives.erm(), np.zeros(len(train), np.int32), None, config.train.select)


def defence(config: Config) -> Selector:
    """EPIc's rounds, with a config's settings."""
    settings = {name: value for name, value in config.epic.items() if name not in ("gradients", "when")}
    return epic(**settings, score=GRADIENTS[config.epic.gradients])


def defended(treatment: Treatment, config: Config, epochs: int) -> Treatment:
    """The treatment with EPIc's rounds within its `epochs`; it reports an epoch after the last of them.

    An earlier epoch would be a model that the defence has not finished with: the better it was, the less the
    figures would say of the defence.
    """
    selector = defence(config)
    rounds = [epoch for epoch in range(1, epochs + 1) if selector.due(epoch)]
    return treatment._replace(
        selector=selectors.chain(selector, treatment.selector), first=max(rounds, default=1)
    )


def oracle(config: Config, train: Examples, n_attributes: int) -> Treatment:
    """As ERM, with every true group drawn equally often."""
    return erm(config, train)._replace(
        selector=selectors.fixed(selectors.balanced(group_ids(train, n_attributes)))
    )


def group_dro(config: Config, train: Examples, splits: Splits) -> Treatment:
    """Group-balanced draws, and group DRO over the groups; on clean data the draws are the oracle's.

    A poison's group is that of the label which it carries: whoever notes the groups down has no other.
    """
    n_attributes = len(splits.attribute_names)
    group = (train.label * n_attributes + train.attribute).astype(np.int32)
    counts = np.bincount(group, minlength=splits.n_groups)
    return erm(config, train)._replace(
        selector=selectors.fixed(selectors.balanced(group)),
        objective=objectives.group_dro(counts, **config.group_dro),
        group=group,
    )


def reference(row: str, config: Config, train: Examples, splits: Splits) -> Treatment:
    """The treatment of a row that needs no method. Raises KeyError for another row."""
    return {
        "erm_clean": lambda: erm(config, train),
        "erm": lambda: erm(config, train),
        "epic": lambda: erm(config, train),
        "oracle": lambda: oracle(config, train, len(splits.attribute_names)),
        "group_dro": lambda: group_dro(config, train, splits),
        "group_dro_poisoned": lambda: group_dro(config, train, splits),
    }[row]()
