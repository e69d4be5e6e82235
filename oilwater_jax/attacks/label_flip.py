"""Label flipping: random samples of one group get the target label; their images do not change.

An availability attack on a group: it needs no trigger, and its success is the damage to that group.

References: Jagielski et al. 2021, "Subpopulation Data Poisoning Attacks", FeatureMatch with label flipping (there the
poisons are appended copies of auxiliary samples: see `sa`); Xiao et al. 2012, "Adversarial Label Flips Attack".
"""

import numpy as np

from oilwater_jax.attacks import backdoor, damage
from oilwater_jax.attacks.lab import Lab
from oilwater_jax.attacks.sources import budgeted, source_group
from oilwater_jax.entries import Attack, Config
from oilwater_jax.types import Attacked, Examples, Goal, Splits


def check(config: Config, splits: Splits, width: int) -> None:
    """Raises UserError for a target, group or budget that the data set cannot serve."""
    backdoor.check_sources(config, splits)


def attack(config: Config, splits: Splits, judged: Examples | None, seed: int, lab: Lab) -> Attacked:
    """The flipped samples take the place of the group's.

    Edge case                       Result
    a budget of the whole group     every sample of the group is a poison; its clean count is 0
    a budget above the group        UserError naming both, before anything runs
    """
    rows = backdoor.sources(config, splits, seed, "label_flip sources")
    source = splits.train.take(rows).in_memory()
    poisons = backdoor.poisoned(source, np.asarray(source.image), config.attack.target)
    label, attribute = divmod(source_group(config, splits), len(splits.attribute_names))
    return Attacked(poisons, rows, {"group": np.array([label, attribute])})


def make_goal(config: Config, judged: Examples, evidence: dict[str, np.ndarray]) -> Goal:
    """Damage in the group, by true labels, and outside."""
    label, attribute = evidence["group"].tolist()
    return damage.goal(judged, (judged.true_label == label) & (judged.attribute == attribute))


ATTACK = Attack(
    name="label_flip",
    label="label flipping",
    help="flip the labels of random samples of a group to the target class",
    figures=damage.FIGURES,
    signed=damage.SIGNED,
    check_data=check,
    attack=attack,
    goal=make_goal,
    needs_clean=True,
    count=budgeted,
)
