"""What the studies in a folder that run.py made say, seed by seed.

    python experiments/separability/measure.py runs/separability     # a few minutes on one core

Reads the studies' summary.json and scores.npz; leaves beside this file seeds.csv (a known attack: AUROC, advantages
and cross-fitted rule by study and seed), unknown.csv (one rule against several attacks, by seed) and
gradient_space.png.
"""

import argparse
import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from run import DATA
from sklearn.ensemble import RandomForestClassifier

from oilwater_jax import rng
from oilwater_jax.files import read_json
from oilwater_jax.reporting import plots, study_plots
from oilwater_jax.reporting.study import SCORES
from oilwater_jax.study.advantage import Advantage
from oilwater_jax.study.unknown import Stand, View, judged, stand

HERE = Path(__file__).parent
ATTACKS = {"dlbd": "DLBD", "sa": "SA", "gm": "GM"}
UNKNOWN, BOTH = "unknown", "both"
AGAINST = {"lrg_1": "LRG-1", "lrg_2": "LRG-2", "lrg": "all LRG"}
JUDGED = ("lrg_1", "lrg")  # what rules against unknown attacks must keep
ALL, CHOSEN = "all", "chosen"
NAMES = SCORES | {ALL: "all ten scores", CHOSEN: "score and epoch chosen on the other seeds"}
EXCHANGES = 20
TREES, LEAF = 100, 5
DRAWN = 0.5  # of the samples, for each tree: all are left out of many

KNOWN_COLUMNS = (
    *("data", "attack", "seed", "against", "epoch", "score", "poisons", "minority", "auroc"),
    *Advantage._fields,
    *(f"{part}_{name}" for part in ("null", "p") for name in Advantage._fields),
    *("rule", "rule_low"),
)
UNKNOWN_COLUMNS = ("data", "attacks", "seed", "against", "epoch", "score", *Stand._fields)
Line = dict[str, Any]


class Study(NamedTuple):
    """A finished study: its summary, and its scores by name."""

    summary: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def values(self, seed: int, score: str, epoch: int, kind: str) -> np.ndarray:
        """A score after an epoch, of the samples of one kind of set."""
        row = self.arrays[f"seed{seed}.{score}"][self.summary["epochs"].index(epoch)]
        return row[np.char.startswith(self.arrays[f"seed{seed}.set"], kind)].astype(np.float64)

    def view(self, seed: int, score: str, epoch: int, against: str) -> View:
        """A score of a minority and of the poisons."""
        return View(*(self.values(seed, score, epoch, kind) for kind in (against, "poison")))

    def table(self, seed: int, epoch: int, against: str) -> tuple[np.ndarray, np.ndarray]:
        """All scores of a minority and of the poisons, a column each."""
        sets = (against, "poison")
        minority, poison = (
            np.stack([self.values(seed, score, epoch, kind) for score in SCORES], axis=1) for kind in sets
        )
        return minority, poison


Studies = dict[tuple[str, str], Study]


def read(workdir: Path) -> Studies:
    """The finished studies by data set and attack."""
    found = {}
    for data in DATA:
        for attack in ATTACKS:
            folder = workdir / f"{data}_{attack}"
            if (summary := read_json(folder / "summary.json")) is None:
                print(f"{folder} is not finished and left out")
                continue
            with np.load(folder / "scores.npz", allow_pickle=False) as saved:
                found[data, attack] = Study(summary, {name: saved[name] for name in saved.files})
    return found


def known(studies: Studies) -> Iterator[Line]:
    """What each study says by seed: every score at the epoch when methods look, the loss and the rule at all."""
    for (data, attack), study in studies.items():
        summary = study.summary
        for against in AGAINST:
            question = f"poison_vs_{against}"
            found = summary["advantage"].get(question)
            if found is None:
                continue
            for at, seed in enumerate(summary["seeds"]):
                counts = summary["counts_seeds"]
                place = {"data": data, "attack": attack, "seed": seed, "against": against}
                place |= {"poisons": counts["poison"][at], "minority": counts[against][at]}
                for step, epoch in enumerate(summary["epochs"]):
                    rule = found["rule"][step]
                    values = {"rule": rule["value_seeds"][at], "rule_low": rule["low_seeds"][at]}
                    yield place | {"epoch": epoch, "score": ALL} | values
                    for score in SCORES if epoch == summary["judged_epoch"] else ("loss",):
                        one = found["scores"][score][step]
                        auroc = summary["auroc"][question][score][step]["auroc_seeds"][at]
                        figures = {name: one[f"{name}_seeds"][at] for name in KNOWN_COLUMNS[9:-2]}
                        yield place | {"epoch": epoch, "score": score, "auroc": auroc} | figures


def forest(
    others: Sequence[Sequence[tuple[np.ndarray, np.ndarray]]],
    own: Sequence[tuple[np.ndarray, np.ndarray]],
    draws: np.random.Generator,
) -> tuple[list[list[View]], list[View]]:
    """One score of all: a random forest of the other seeds' samples says how much a sample is like a poison.

    `others` has, by seed, the tables of every study, minority and poison; theirs are scored by the trees that have not
    seen them. Every set weighs the same.
    """
    tables = [table for seed in others for pair in seed for table in pair]
    label = np.concatenate([np.full(len(table), at % 2) for at, table in enumerate(tables)])
    weight = np.concatenate([np.full(len(table), 1 / len(table)) for table in tables])
    model = RandomForestClassifier(
        TREES,
        min_samples_leaf=LEAF,
        max_samples=int(DRAWN * len(label)),
        oob_score=True,
        random_state=int(draws.integers(2**31)),
    ).fit(np.concatenate(tables), label, sample_weight=weight)
    ends = np.cumsum([len(table) for table in tables])[:-1]
    scored = iter(np.split(model.oob_decision_function_[:, 1], ends))
    theirs = [[View(next(scored), next(scored)) for _ in seed] for seed in others]
    return theirs, [View(*(model.predict_proba(table)[:, 1] for table in pair)) for pair in own]


def unseen(
    tables: dict[int, list[tuple[np.ndarray, np.ndarray]]], seed: int, draws: np.random.Generator, data: str
) -> float:
    """The least over the attacks of a forest and a rule that were made without it; NaN as `Stand.unseen`."""
    rest, attacks = [one for one in tables if one != seed], range(len(tables[seed]))
    if len(attacks) < 2 or data == BOTH:
        return math.nan
    found = []
    for left in attacks:
        others = [[tables[one][at] for at in attacks if at != left] for one in rest]
        theirs, own = forest(others, [tables[seed][left]], draws)
        found.append(judged(theirs, own[0]))
    return min(found)


def faced(data: str, attacks: str, studies: Sequence[Study]) -> Iterator[Line]:
    """How one rule stands against the attacks of several studies (or of one), by seed."""
    seeds = sorted(set.intersection(*(set(study.summary["seeds"]) for study in studies)))
    looked, epochs = studies[0].summary["judged_epoch"], studies[0].summary["epochs"]
    for against in JUDGED:
        every = against == JUDGED[0]
        for seed in seeds:
            rest = [one for one in seeds if one != seed]
            draws = rng.generator(seed, f"unknown {data} {attacks} {against}")
            place = {"data": data, "attacks": attacks, "seed": seed, "against": against}
            stands = {}
            for epoch in epochs if every else [looked]:
                for score in SCORES:
                    views = {
                        one: [study.view(one, score, epoch, against) for study in studies] for one in seeds
                    }
                    drawn = EXCHANGES if (epoch, score) == (looked, "loss") else 0
                    found = stand([views[one] for one in rest], views[seed], draws, exchanges=drawn)
                    if data == BOTH:
                        found = found._replace(unseen=math.nan)  # what is left out is seen on the other data
                    stands[score, epoch] = found
                    yield place | {"epoch": epoch, "score": score} | found._asdict()
            (_, epoch), found = max(stands.items(), key=lambda item: item[1].seen)
            yield place | {"epoch": epoch, "score": CHOSEN} | found._asdict()
            tables = {one: [study.table(one, looked, against) for study in studies] for one in seeds}
            theirs, own = forest([tables[one] for one in rest], tables[seed], draws)
            found = stand(theirs, own, draws)._replace(unseen=unseen(tables, seed, draws, data))
            yield place | {"epoch": looked, "score": ALL} | found._asdict()


def unknown(studies: Studies) -> Iterator[Line]:
    """Each attack by itself, all of a data set, and all of both: what a rule made on other seeds is worth."""
    for (data, attack), study in studies.items():
        yield from faced(data, attack, [study])
    for data in DATA:
        own = [studies[data, attack] for attack in ATTACKS if (data, attack) in studies]
        if len(own) == len(ATTACKS):
            yield from faced(data, UNKNOWN, own)
    if len(studies) == len(ATTACKS) * len(DATA):
        yield from faced(BOTH, UNKNOWN, list(studies.values()))


def write_csv(path: Path, columns: Sequence[str], lines: Iterable[Line]) -> None:
    """A line per row; numbers to four places, what is not defined empty."""

    def text(value: Any) -> Any:
        if isinstance(value, float):
            return "" if math.isnan(value) else f"{round(value, 4) + 0.0:g}"
        return value

    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: text(value) for name, value in line.items()} for line in lines)


def measure(workdir: Path, out: Path = HERE) -> None:
    """Leave what the studies say by seed, and the maps of gradient space. Exits where there is nothing to read."""
    studies = read(workdir)
    if not studies:
        raise SystemExit(f"{workdir} has no finished study; run.py makes them")
    if any(len(study.summary["seeds"]) < 2 for study in studies.values()):
        raise SystemExit(
            f"{workdir} has a study of a single seed; rules are made on others: run.py --seeds=5"
        )
    write_csv(out / "seeds.csv", KNOWN_COLUMNS, known(studies))
    write_csv(out / "unknown.csv", UNKNOWN_COLUMNS, unknown(studies))
    draw_maps(studies, out / "gradient_space.png")


def draw_maps(studies: Studies, path: Path) -> None:
    """The first seed's map of gradient space at the epoch when methods look, a panel for each study."""
    shape = (len(DATA), len(ATTACKS))
    figure, axes = plt.subplots(*shape, figsize=(11, 6.6), squeeze=False)
    for axis, key in zip(axes.flat, ((d, a) for d in DATA for a in ATTACKS), strict=True):
        axis.set_title(f"{key[0]}, {ATTACKS[key[1]]}", fontsize=10)
        if (study := studies.get(key)) is None:
            continue
        seed, at = study.summary["seeds"][0], study.summary["epochs"].index(study.summary["judged_epoch"])
        study_plots.draw_plane(axis, study.arrays[f"seed{seed}.plane"][at], study.arrays[f"seed{seed}.set"])
        axis.set(xlabel="PC 1", ylabel="PC 2" if key[1] == "dlbd" else "")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.tight_layout()
    legend = figure.legend(handles, labels, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    for handle in filter(None, legend.legend_handles):
        handle.set_alpha(1)
    plots.save(figure, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Per-seed values of the studies that run.py made.")
    parser.add_argument("workdir", type=Path, help="run.py's folder")
    measure(parser.parse_args().workdir)
