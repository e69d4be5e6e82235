"""summary.json: the figures of every row over the seeds, from those of the finished stages.

Beside each mean stand `<name>_std` (sample standard deviation, null for one seed) and `<name>_seeds` (one
value per seed, in the order of `seeds`). Nothing here depends on when or in how many sittings a run was made.
"""

import math
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from oilwater_jax.fields import MODES
from oilwater_jax.registry import METHODS

RATES = ("acc", "acc_adjusted", "wga")  # measured whatever the attack is
LABELS = {
    "erm_clean": "ERM on clean data",
    "erm": "ERM on poisoned data",
    "epic": "EPIc",
    "oracle": "Group-balanced oracle",
    "group_dro": "Group DRO, true groups",
    "group_dro_poisoned": "Group DRO on poisoned data",
}


def row_key(method: str, row: str) -> str:
    """A row's name in summary.json and below stages/: `jtt_standard` for the mode `standard` of jtt, `epic_jtt`."""
    return f"{method}_{row}" if row in MODES else f"epic_{method}" if row == "combined" else row


def row_label(key: str) -> str:
    """A row's name in tables: `JTT standard`."""
    if key in LABELS:
        return LABELS[key]
    if key.removeprefix("epic_") in METHODS:
        return f"EPIc + {key.removeprefix('epic_').upper()}"
    method, _, mode = key.rpartition("_")
    return f"{method.upper()} {mode}" if mode in MODES else key.replace("_", " ")


def set_label(name: str) -> str:
    """A reported set's name in tables: `LRG-1`, `poisons`."""
    return "poisons" if name == "poison" else name.replace("_", "-").upper()


def no_nan(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The figures with NaN (undefined) made None, which JSON can say."""

    def clean(value: Any) -> Any:
        if isinstance(value, list):
            return [clean(one) for one in value]
        return None if isinstance(value, float) and math.isnan(value) else value

    return {key: clean(value) for key, value in figures.items()}


def spread(name: str, values: Iterable[float | None]) -> dict[str, Any]:
    """Mean, standard deviation and values of one figure; undefined if it is undefined for any seed."""
    values = list(values)
    known = [value for value in values if value is not None]
    whole = bool(known) and len(known) == len(values)
    return {
        name: statistics.fmean(known) if whole else None,
        f"{name}_std": statistics.stdev(known) if whole and len(known) > 1 else None,
        f"{name}_seeds": values,
    }


def summarise(
    stages: Mapping[str, dict[str, Any]],
    config: Mapping[str, Any],
    seeds: list[int],
    own: Iterable[str] = (),
) -> dict[str, Any]:
    """What summary.json holds, from the figures of the stages by name, with the `own` rows last.

    Rows and seeds that are not finished are left out. `measures` names the attack's figures, its success first.
    """
    attacks = [stages[f"seed{seed}/attack"] for seed in seeds if f"seed{seed}/attack" in stages]
    measures = attacks[0]["measures"] if attacks else []
    rows = {}
    for row in (*config["rows"], *own):
        key = row_key(config["method"]["name"], row)
        done = [stages[f"seed{seed}/{key}"] for seed in seeds if f"seed{seed}/{key}" in stages]
        if done:
            rows[key] = _row(done, (*RATES, *measures))
    found = [stages[f"seed{seed}/identify"] for seed in seeds if f"seed{seed}/identify" in stages]
    return {
        "rows": rows,
        "idnf": _spreads([one["idnf"] for one in found]),
        "seeds": seeds,
        "split": config["evaluate"],
        "n_train": attacks[0]["n_train"] if attacks else None,
        "n_poison": attacks[0]["n_poison"] if attacks else None,  # the first seed's; they may differ
        "n_poison_seeds": [attack["n_poison"] for attack in attacks],
        "groups": attacks[0]["groups"] if attacks else [],
        "measures": measures,
    }


def _row(own: list[dict[str, Any]], names: Iterable[str]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name in names:
        row |= spread(name, (one[name] for one in own))
    by_group = [one["group_acc"] for one in own]
    means = [spread("", group)[""] for group in zip(*by_group, strict=True)]
    present = [g for g, mean in enumerate(means) if mean is not None]
    return row | {
        "worst_group": min(present, key=lambda g: means[g]),
        "worst_group_seeds": [one["worst_group"] for one in own],
        "group_acc": means,
        "group_acc_seeds": by_group,
        "selected_epoch_seeds": [one["selected_epoch"] for one in own],
        "elmf": _spreads([one.get("elmf", {}) for one in own]),
        "rounds_seeds": [one.get("rounds", []) for one in own],
    }


def _spreads(shares: list[dict[str, float | None]]) -> dict[str, Any]:
    """The `spread` of each set's share, of which there is one dict per seed."""
    found: dict[str, Any] = {}
    for name in shares[0] if shares else ():
        found |= spread(name, (one[name] for one in shares))
    return found
