"""summary.json: the figures of every row over the seeds, from those of the finished stages.

Beside each mean stand `<name>_std` (sample standard deviation, null for one seed) and `<name>_seeds` (one
value per seed, in the order of `seeds`). Nothing here depends on when or in how many sittings a run was made.
"""

import math
import re
import shutil
import statistics
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from oilwater_jax.errors import UserError
from oilwater_jax.files import Damaged, load_json, seal
from oilwater_jax.shapes import (
    ATTACK_FIGURES,
    FOUND_FIGURES,
    NET,
    NUMBER,
    ROW_FIGURES,
    RUN_SUMMARY,
    STUDY_SUMMARY,
    mismatch,
)
from oilwater_jax.stages import read_figures

RATES = ("acc", "acc_adjusted", "wga")  # measured whatever the attack is
BY_CLASS = ("acc_worst_class", "acc_balanced", "f1_worst", "ece")  # `metrics.by_class`
TEST_ERROR = "wga_error"  # WGA's standard error from the finite test set
ON_SETS = {"idnf": "IDNF", "idnf_class": "IDNF in class", "elmf": "ELMF", "draws": "draws"}
"""Figures of each set of training samples, by their headings: shares drawn above once, above the mean of their class,
not at all; draws per epoch."""
FOUND_ON_SETS = ("idnf", "idnf_class")
"""The same of what a method found: shares flagged, shares flagged where not all of their class are."""


def read(folder: Path) -> dict[str, Any] | None:
    """The summary of a finished run; None where there is none. Raises UserError for one of version 0.4 or older."""
    file = folder / "summary.json"
    try:
        found = load_json(file, {})
        old = found is not None and found.get("command") != "study" and "found" not in found
        if found is not None and old and "rows" in found:
            raise UserError(
                f"{folder} holds a run of version 0.4 or older, whose rows had other names; run it again in a new "
                "folder, or show it with the version that made it (environment.json)"
            )
        shape = STUDY_SUMMARY if found is not None and found.get("command") == "study" else RUN_SUMMARY
        sound = load_json(file, shape, sealed=True)
        if sound is not None and (fault := _fault(sound)):
            raise Damaged(fault)
        return sound
    except Damaged as damage:
        raise UserError(
            f"{file} is damaged ({damage}); run the same command again to rebuild it from the finished stages"
        ) from None


def holds(folder: Path, seeds: list[int], key: str, warn: Callable[[str], None]) -> bool:
    """Whether the folder has a valid summary of these seeds and this key; another one is deleted with a warning."""
    file = folder / "summary.json"
    try:
        found = read(folder)
    except UserError as error:
        found, why = None, str(error)
    else:
        why = f"{file} belongs to other settings, code or data than this run's; it is rebuilt"
    if found is not None and (found["seeds"], found["key"]) == (seeds, key):
        return True
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    elif file.exists() or file.is_symlink():
        if found is None or found["seeds"] == seeds:
            warn(why)
        file.unlink()
    return False


def _fault(summary: dict[str, Any]) -> str:
    """What in a summary of the right shape does not fit together; empty if nothing."""
    if summary.get("command") == "study":
        return _study_fault(summary)
    seeds, groups = len(summary["seeds"]), len(summary["groups"])
    if not seeds:
        return "it has no seeds"
    if any(summary["n_poison_seeds"]) and not summary["n_train"]:
        return "it has poisons and no training samples"
    if summary["baseline"] and summary["baseline"] not in summary["measures"]:
        return "its baseline is not one of its measures"
    for name, row in summary["rows"].items():
        spreads = (one for one in row if f"{one}_seeds" in row and f"{one}_std" in row)
        for measure in (*RATES, *summary["measures"], *spreads):
            single, std, each = (row.get(f"{measure}{part}") for part in ("", "_std", "_seeds"))
            if mismatch([single, std, *_list(each)], [NUMBER]) or len(_list(each)) != seeds:
                return f"rows.{name}.{measure} is not of {seeds} seeds"
        by_group = (row["group_acc"], *row["group_acc_seeds"])
        if not 0 <= row["worst_group"] < groups or any(len(one) != groups for one in by_group):
            return f"rows.{name} is not of {groups} groups"
        if len(row["group_acc_seeds"]) != seeds:
            return f"rows.{name}.group_acc is not of {seeds} seeds"
    whole = [(f"rows.{name}.{kind}", row[kind]) for name, row in summary["rows"].items() for kind in ON_SETS]
    whole += [
        (f"found.{name}.{kind}", one[kind])
        for name, one in summary["found"].items()
        for kind in FOUND_ON_SETS
    ]
    for place, figures in whole:
        for name in figures:
            base = name.removesuffix("_seeds").removesuffix("_std")
            single, each = figures.get(base), figures.get(f"{base}_seeds")
            if isinstance(single, list) or isinstance(figures.get(f"{base}_std"), list):
                return f"{place}.{base} is a list"
            if f"{base}_std" not in figures or len(_list(each)) != seeds:
                return f"{place}.{base} is not of {seeds} seeds"
    return ""


def _study_fault(summary: dict[str, Any]) -> str:
    epochs, seeds = len(summary["epochs"]), len(summary["seeds"])
    if not seeds or not epochs or summary["judged_epoch"] not in summary["epochs"]:
        return "it has no seeds, or no epochs, or not the one that it is judged at"
    scores = set(summary["scores"])
    for question, series in summary["auroc"].items():
        if question.count("_vs_") != 1 or set(series) != scores:
            return f"auroc.{question} is not of the scores"
        for name, steps in series.items():
            if len(steps) != epochs or any(len(one["low_seeds"]) != seeds for one in steps):
                return f"auroc.{question}.{name} is not of {epochs} epochs and {seeds} seeds"
            if any(
                one["auroc"] is not None and None in (*one["low_seeds"], *one["high_seeds"]) for one in steps
            ):
                return f"auroc.{question}.{name} has a value without its interval"
    for question, one in summary["advantage"].items():
        if one is None:
            continue
        series = [one["rule"], *one["scores"].values(), *([] if one["law"] is None else [one["law"]])]
        known = question in summary["auroc"] and one["scores"] and set(one["scores"]) <= scores
        if not known or any(len(steps) != epochs for steps in series):
            return f"advantage.{question} is not of the scores and {epochs} epochs"
    if pairs := summary["pairs"]:
        by_pair = pairs["by_pair"]
        series = [pairs["single"], pairs["pair"], *by_pair.values()]
        known = all(set(name.split(" + ")) <= scores for name in by_pair)
        if not known or any(len(steps) != epochs for steps in series):
            return f"pairs are not of the scores and {epochs} epochs"
    return ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def so_far(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """The summary of what is finished of an unfinished run; stages that are damaged are passed over."""
    names = (re.fullmatch(r"seed(\d{1,9})", path.name) for path in folder.glob("stages/seed*"))
    seeds = sorted({int(found[1]) for found in names if found})
    attacks, others = {}, {}
    for name, figures in read_figures(folder).items():
        if name.endswith("/attack"):
            attacks |= {name: figures} if _is_attack(figures) else {}
        else:
            others[name] = figures
    first = next((attacks[name] for seed in seeds if (name := f"seed{seed}/attack") in attacks), None)
    if first is None:
        return summarise({}, config, seeds)
    sound = {name: one for name, one in attacks.items() if one["measures"] == first["measures"]}
    for name, one in others.items():
        if _is_row(one, first) or not mismatch(one, FOUND_FIGURES):
            sound[name] = one
    found = seal({**summarise(sound, config, seeds), "key": ""})
    done = [seed for seed in seeds if any(name.startswith(f"seed{seed}/") for name in sound)]
    return found if not mismatch(found, RUN_SUMMARY) and done else summarise({}, config, seeds)


def _is_attack(figures: dict[str, Any]) -> bool:
    """Whether a stage's figures are an attack's."""
    whole = not mismatch(figures, ATTACK_FIGURES) and figures["n_train"] > 0
    return whole and figures["measures"].keys().isdisjoint(ROW_FIGURES)


def _is_row(figures: dict[str, Any], attack: dict[str, Any]) -> bool:
    """Whether a stage's figures are those of a row under an attack."""
    more = [name for name in (*BY_CLASS, TEST_ERROR) if name in figures]
    if mismatch(figures, ROW_FIGURES | dict.fromkeys([*attack["measures"], *more], NUMBER)):
        return False
    by_group = figures["group_acc"]
    return len(by_group) == len(attack["groups"]) and any(value is not None for value in by_group)


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


def verdict(summary: Mapping[str, Any]) -> str:
    """The figure that a verdict on the attack's success is taken on: net of the rate without the attack's doing."""
    measures = summary["measures"]
    return NET if NET in measures else next(iter(measures), "")


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
    """The content of summary.json, from the figures of the stages by name.

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
            **{kind: _spreads([one[kind] for one in done]) for kind in FOUND_ON_SETS},
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
        "signed": first.get("signed", []),
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
    for name in (*BY_CLASS, TEST_ERROR):
        row |= spread(name, (one.get(name) for one in own))
    by_group = [one["group_acc"] for one in own]
    means = [spread("", group)[""] for group in zip(*by_group, strict=True)]
    present = [g for g, mean in enumerate(means) if mean is not None]
    return row | {
        "worst_group": min(present, key=lambda g: means[g], default=0),
        "worst_group_seeds": [one["worst_group"] for one in own],
        "group_acc": means,
        "group_acc_seeds": by_group,
        "selected_epoch_seeds": [one["selected_epoch"] for one in own],
        "trials_seeds": [one.get("trials", 0) for one in own],
        **{name: _spreads([one[name] for one in own]) for name in ON_SETS},
        "rounds_seeds": [one["rounds"] for one in own],
    }


def _spreads(shares: list[dict[str, float | None]]) -> dict[str, Any]:
    """The `spread` of each set's figure, of which there is one dict per seed."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for one in shares for name in one):
        found |= spread(name, (one.get(name) for one in shares))
    return found
