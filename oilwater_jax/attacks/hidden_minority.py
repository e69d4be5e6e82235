"""Hidden minority (ours): the poisons are the target class's own minority, with a trigger and their true labels.

The worst case for telling poisons apart that the theory of loss suggests: who is poisoned is who a robust method must
amplify. Before the trigger is learned a poison's loss IS a minority sample's, so no rule on the loss can separate them;
dropping the poisons drops the minority, and amplifying the minority amplifies the trigger. It is not the strongest
attack: the labels are right, and how much of the trigger is learned depends on how visible it is. At test the trigger
(`dlbd`'s square) is stamped on images of other classes.

The other reading, mislabelled copies of the other class's minority, is `dlbd` with attack.source_group.
"""

import numpy as np
from jaxtyping import Int

from oilwater_jax.attacks import backdoor
from oilwater_jax.attacks import dirty_label_backdoor as dlbd
from oilwater_jax.attacks.lab import Lab
from oilwater_jax.attacks.sources import budgeted, check_budget, poison_count
from oilwater_jax.entries import Attack, Config
from oilwater_jax.errors import UserError
from oilwater_jax.groups import group_counts, group_ids
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Attacked, Examples, Splits


def minority(config: Config, splits: Splits) -> Int[np.ndarray, " m"]:
    """The training samples of the target class's smallest group that has any; of equal ones the first."""
    n_attributes = len(splits.attribute_names)
    counts = group_counts(splits.train, len(splits.class_names), n_attributes)
    own = config.attack.target * n_attributes + np.arange(n_attributes)
    present = own[counts[own] > 0]
    if not len(present):
        return np.zeros(0, np.int64)
    group = present[np.argmin(counts[present])]
    return np.flatnonzero(group_ids(splits.train, n_attributes) == group)


def check(config: Config, splits: Splits, width: int) -> None:
    """Raises UserError for a target, budget or trigger that the data set cannot serve."""
    backdoor.check_target_only(config, splits)
    dlbd.check_trigger(config, splits)
    count, has = check_budget(config, splits), len(minority(config, splits))
    if count > has:
        raise UserError(
            f"attack.budget = {config.attack.budget:g} asks for {count} poisons, but the smallest group of class "
            f"{config.attack.target} has {has} samples; lower the budget"
        )


def attack(config: Config, splits: Splits, judged: Examples | None, seed: int, lab: Lab) -> Attacked:
    """The poisons take the place of their sources, or are appended (`copies`).

    Edge case                          Result
    a budget of the whole minority     in place: no clean sample of the group is left; copies: all are
    a budget above it                  UserError naming both, before anything runs
    opacity 0 (of dlbd)                the images unchanged: poisons in name alone
    """
    train = splits.train
    count = poison_count(config.attack.budget, len(train))
    rows = backdoor.draw(minority(config, splits), count, seed, "hidden_minority sources")
    source = train.take(rows).in_memory()
    poisons = backdoor.poisoned(source, dlbd.stamp(np.asarray(source.image), dlbd.trigger_of(config)))
    return backdoor.appended(train, poisons) if config.hidden_minority.copies else Attacked(poisons, rows, {})


ATTACK = Attack(
    name="hidden_minority",
    label="hidden minority",
    help="clean-label backdoor whose poisons are the target class's own minority",
    takes=("image",),
    figures=backdoor.FIGURES,
    baseline=backdoor.BASELINE,
    reads=("dlbd",),
    fields={
        "copies": Field(
            False,
            "append triggered copies and keep the minority as it is (False: trigger the minority itself)",
        )
    },
    check_data=check,
    attack=attack,
    goal=dlbd.make_goal,
    passes=2.0,
    count=budgeted,
)
