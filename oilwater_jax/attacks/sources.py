"""Checks and counts that several attacks share: number of poisons, source group, feasibility."""

import numpy as np

from oilwater_jax.entries import Config
from oilwater_jax.errors import UserError
from oilwater_jax.groups import group_counts
from oilwater_jax.types import Splits


def poison_count(budget: float, n: int) -> int:
    """Whole poisons in the budget, rounded down (a budget is never exceeded)."""
    return int(budget * n + 1e-9)  # 0.29 * 100 must be 29


def source_group(config: Config, splits: Splits) -> int:
    """The group under attack; -1 asks for the largest whose class is not the target."""
    if config.attack.source_group >= 0:
        return config.attack.source_group
    n_attributes = len(splits.attribute_names)
    counts = group_counts(splits.train, len(splits.class_names), n_attributes)
    counts[np.arange(len(counts)) // n_attributes == config.attack.target] = -1
    return int(np.argmax(counts))


def check_target(config: Config, splits: Splits) -> None:
    """Raises UserError for an unknown target class or source group, or a source group of the target class."""
    n_classes, target = len(splits.class_names), config.attack.target
    if target >= n_classes:
        raise UserError(f"attack.target = {target}, but the classes are 0 to {n_classes - 1}")
    if config.attack.source_group >= splits.n_groups:
        raise UserError(
            f"attack.source_group = {config.attack.source_group}, but the groups are 0 to {splits.n_groups - 1}"
        )
    group = source_group(config, splits)
    if group // len(splits.attribute_names) == target:
        raise UserError(
            f"attack.source_group = {group} ({splits.group_name(group)}) is of the target class {target}; "
            "choose a group of another class"
        )


def check_budget(config: Config, splits: Splits) -> int:
    """The number of poisons. Raises UserError for a budget of none."""
    n, budget = len(splits.train), config.attack.budget
    count = poison_count(budget, n)
    if count == 0:
        raise UserError(
            f"attack.budget = {budget:g} of {n} samples is 0 poisons; the minimum is {1 / n:.2g} "
            "(or attack.name = 'none')"
        )
    return count


def budgeted(config: Config, n: int, n_groups: int) -> int:
    """The poisons of n training samples, for an attack by budget."""
    return poison_count(config.attack.budget, n)
