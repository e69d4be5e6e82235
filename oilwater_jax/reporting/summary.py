"""summary.json: the figures of every row over the seeds, from those of the finished stages.

Beside each mean stand `<name>_std` (sample standard deviation, null for one seed) and `<name>_seeds` (one
value per seed, in the order of `seeds`). Nothing here depends on when or in how many sittings a run was made.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from oilwater_jax.errors import UserError
from oilwater_jax.files import read_json

RATES = ("acc", "acc_adjusted", "wga")  # measured whatever the attack is
BY_CLASS = ("acc_worst_class", "acc_balanced", "f1_worst", "ece")  # `metrics.by_class`
ON_SETS = {"idnf": "IDNF", "elmf": "ELMF", "draws": "draws"}
"""Figures of each set of training samples, by their headings: shares identified and eliminated, draws per epoch."""


def read(folder: Path) -> dict[str, Any] | None:
    """The summary of a finished run; None where there is none. Raises UserError for one of version 0.4 or older."""
    found = read_json(folder / "summary.json")
    if found is not None and found.get("command") != "study" and "found" not in found:
        raise UserError(
            f"{folder} holds a run of version 0.4 or older, whose rows had other names; run it again in a new folder, "
            "or show it with the version that made it (environment.json)"
        )
    return found


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
    stages: Mapping[str, dict[str, Any]], config: Mapping[str, Any], seeds: list[int]
) -> dict[str, Any]:
    """What summary.json holds, from the figures of the stages by name.

    Rows and seeds that are not finished are left out. `rows` are by expression, each with its `label`; `found` is what
    each method found that looked at anything, by expression; `measures` names the attack's figures with their
    headings, its success first, and `baseline` the one that success has without the attack's doing.
    """
    attacks = [stages[f"seed{seed}/attack"] for seed in seeds if f"seed{seed}/attack" in stages]
    first = attacks[0] if attacks else {}
    measures = first.get("measures", {})
    found = {
        row: {
            "label": done[0]["label"],
            "idnf": _spreads([one["idnf"] for one in done]),
            "n_flagged_seeds": [one["n_flagged"] for one in done],
        }
        for row, done in _by_row(stages, seeds, lambda figures: "n_flagged" in figures).items()
    }
    by_row = _by_row(stages, seeds, lambda figures: "wga" in figures)
    order = [row for row in config["rows"] if row in by_row]
    return {
        "rows": {row: _row(by_row[row], (*RATES, *measures)) for row in order},
        "found": found,
        "seeds": seeds,
        "smoke": config["smoke"],
        "split": config["evaluate"],
        "n_train": first.get("n_train"),
        "n_poison": first.get("n_poison"),  # the first seed's; they may differ
        "n_poison_seeds": [attack["n_poison"] for attack in attacks],
        "groups": first.get("groups", []),
        "measures": measures,
        "baseline": first.get("baseline", ""),
    }


def _by_row(
    stages: Mapping[str, dict[str, Any]], seeds: list[int], wanted: Callable[[dict[str, Any]], bool]
) -> dict[str, list[dict[str, Any]]]:
    """The figures of a kind of stage by row, those of the seeds in their order."""
    found: dict[str, list[dict[str, Any]]] = {}
    for seed in seeds:
        for name, figures in stages.items():
            if name.startswith(f"seed{seed}/") and wanted(figures):
                found.setdefault(figures["row"], []).append(figures)
    return found


def _row(own: list[dict[str, Any]], names: Iterable[str]) -> dict[str, Any]:
    row: dict[str, Any] = {name: own[0][name] for name in ("label", "aims", "oracle", "alone")}
    for name in names:
        row |= spread(name, (one[name] for one in own))
    for name in BY_CLASS:  # runs of before had none
        row |= spread(name, (one.get(name) for one in own))
    by_group = [one["group_acc"] for one in own]
    means = [spread("", group)[""] for group in zip(*by_group, strict=True)]
    present = [g for g, mean in enumerate(means) if mean is not None]
    return row | {
        "worst_group": min(present, key=lambda g: means[g]),
        "worst_group_seeds": [one["worst_group"] for one in own],
        "group_acc": means,
        "group_acc_seeds": by_group,
        "selected_epoch_seeds": [one["selected_epoch"] for one in own],
        **{name: _spreads([one[name] for one in own]) for name in ON_SETS},
        "rounds_seeds": [one["rounds"] for one in own],
    }


def _spreads(shares: list[dict[str, float | None]]) -> dict[str, Any]:
    """The `spread` of each set's figure, of which there is one dict per seed."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for one in shares for name in one):
        found |= spread(name, (one.get(name) for one in shares))
    return found
