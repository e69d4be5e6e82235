"""Tables and figures of the six studies in a folder that run.py made.

    python experiments/separability/report.py runs/separability

Writes results.csv (every AUROC, epoch and question), results.md (after epoch EPOCH), auroc.png (poisons against LRG
over the epochs) and gradient_space.png (a map for each study, first seed) beside this file, or into a folder given
after the first.
"""

import csv
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np

from oilwater_jax import intervals, rng
from oilwater_jax.files import read_json, write_text
from oilwater_jax.reporting import plots, study_plots
from oilwater_jax.reporting.study import NESTED, SCORES, strongest
from oilwater_jax.reporting.tables import markdown_table
from oilwater_jax.study.auroc import LEAST, auroc
from oilwater_jax.study.pairs import cross_validate

HERE = Path(__file__).parent
RUN = runpy.run_path(str(HERE / "run.py"))
LABELS = {"dlbd": "DLBD", "sa": "SA", "gm": "GM"}
EPOCH = 4  # JTT's T on these data: when the paper's methods look
CAUGHT = 0.9  # share of the poisons that a filter is asked to catch

Masks = tuple[np.ndarray, np.ndarray]
# What is compared: from each sample's set (by name), and whether it is classified as labelled, to two masks.
QUESTIONS: dict[str, tuple[str, Callable[[np.ndarray, np.ndarray], Masks]]] = {
    "poison_vs_lrg": ("poisons against LRG", lambda sets, _: (of(sets, "poison"), of(sets, "lrg"))),
    "poison_vs_lrg_1": (
        "poisons against LRG-1, the smallest minority",
        lambda sets, _: (of(sets, "poison"), of(sets, "lrg_1")),
    ),
    "flagged": (
        "poisons against LRG, both misclassified: those that JTT flags",
        lambda sets, correct: (of(sets, "poison") & ~correct, of(sets, "lrg") & ~correct),
    ),
    "poison_vs_hrg": ("poisons against HRG", lambda sets, _: (of(sets, "poison"), of(sets, "hrg"))),
    "lrg_vs_hrg": ("LRG against HRG", lambda sets, _: (of(sets, "lrg"), of(sets, "hrg"))),
}


def of(sets: np.ndarray, kind: str) -> np.ndarray:
    """The samples of one kind of set."""
    return np.char.startswith(sets, kind)


def masks(array: Callable[[str], np.ndarray], question: str, epoch: int) -> Masks:
    """The two sets of a question after an epoch, from a seed's arrays."""
    return QUESTIONS[question][1](array("set"), array("correct_by_epoch")[epoch - 1])


class Study(NamedTuple):
    """A finished study: its summary, and its scores by name."""

    summary: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def seeds(self) -> Iterator[Callable[[str], np.ndarray]]:
        """For each seed, its arrays by name."""
        for seed in self.summary["seeds"]:
            yield lambda name, seed=seed: self.arrays[f"seed{seed}.{name}"]

    def at(self, epoch: int) -> int:
        """The row of an epoch."""
        return self.summary["epochs"].index(epoch)

    def estimate(self, question: str, score: str, epoch: int) -> intervals.Estimate | None:
        """A score's AUROC over the seeds; None where a seed has fewer than LEAST samples in a set."""
        values: list[float | None] = []
        for array in self.seeds():
            first, second = masks(array, question, epoch)
            row = array(score)[self.at(epoch)].astype(float)
            enough = min(first.sum(), second.sum()) >= LEAST
            values.append(auroc(row[first], row[second]) if enough else None)
        return intervals.over_seeds(values)

    def pairs(self, question: str, epoch: int) -> dict[str, intervals.Estimate | None]:
        """The nested choices of NESTED, as `oilwater study` makes them, for any question."""
        found: dict[str, list[float | None]] = {name: [] for name in NESTED}
        for seed, array in zip(self.summary["seeds"], self.seeds(), strict=True):
            first, second = masks(array, question, epoch)
            if min(first.sum(), second.sum()) < LEAST:
                return dict.fromkeys(NESTED)
            rows = np.concatenate([np.flatnonzero(first), np.flatnonzero(second)])
            columns = np.stack([array(name)[self.at(epoch), rows] for name in SCORES], axis=1).astype(float)
            draws = rng.generator(seed, "folds", epoch)
            chosen = cross_validate(
                columns, np.arange(len(rows)) < first.sum(), list(SCORES), draws
            )._asdict()
            for name, values in found.items():
                values.append(chosen[name])
        return {name: intervals.over_seeds(values) for name, values in found.items()}

    def losses(self, score: str, epoch: int) -> dict[str, intervals.Estimate | None]:
        """Share of each set that goes with CAUGHT of the poisons where a threshold on the score drops them.

        The direction is that of the mean AUROC of poisons against LRG.
        """
        whole = self.estimate("poison_vs_lrg", score, epoch)
        sign = 1 if whole is None or whole.mean >= 0.5 else -1
        shares: dict[str, list[float | None]] = {kind: [] for kind in ("lrg", "lrg_1", "hrg")}
        for array in self.seeds():
            row, sets = sign * array(score)[self.at(epoch)].astype(float), array("set")
            threshold = np.quantile(row[of(sets, "poison")], 1 - CAUGHT, method="lower")
            for kind, values in shares.items():
                values.append(float(np.mean(row[of(sets, kind)] >= threshold)))
        return {kind: intervals.over_seeds(values) for kind, values in shares.items()}


def read(workdir: Path) -> dict[tuple[str, str], Study]:
    """The finished studies by data set and attack."""
    found = {}
    for data in RUN["DATA"]:
        for attack in RUN["ATTACKS"]:
            folder = workdir / f"{data}_{attack}"
            if (summary := read_json(folder / "summary.json")) is None:
                print(f"{folder} is not finished and left out")
                continue
            with np.load(folder / "scores.npz", allow_pickle=False) as saved:
                found[data, attack] = Study(summary, {name: saved[name] for name in saved.files})
    return found


def cell(one: intervals.Estimate | None, digits: int = 2) -> str:
    """`0.93 [0.91, 0.95]`, or `-`."""
    return "-" if one is None else one.text(digits=digits)


def table(studies: dict[tuple[str, str], Study], question: str) -> str:
    """A question's scores after EPOCH, a column for each study."""
    head = ["score", *(f"{data} {LABELS[attack]}" for data, attack in studies)]
    body = [
        [label, *(cell(study.estimate(question, name, EPOCH)) for study in studies.values())]
        for name, label in SCORES.items()
    ]
    if not question.endswith("hrg"):
        pairs = [study.pairs(question, EPOCH) for study in studies.values()]
        body += [[label, *(cell(one[name]) for one in pairs)] for name, label in NESTED.items()]
    return markdown_table(head, body)


def best_table(studies: dict[tuple[str, str], Study]) -> str:
    """The best score and pair of all epochs, and whom a threshold on that score costs."""
    head = [
        "data",
        "attack",
        "poisons",
        "best score",
        "AUROC",
        "LRG lost",
        "LRG-1 lost",
        "HRG lost",
        "best pair",
        "AUROC",
    ]
    body = []
    for (data, attack), study in studies.items():
        summary = study.summary
        best = strongest(summary["auroc"]["poison_vs_lrg"], summary["epochs"])
        if best is None or not summary["pairs"]:
            continue
        pair = strongest(summary["pairs"]["by_pair"], summary["epochs"])
        assert pair is not None
        counts = sorted({*summary["counts_seeds"]["poison"]})
        lost = study.losses(best.name, best.epoch)
        body.append(
            [
                data,
                LABELS[attack],
                "-".join(str(count) for count in counts[:1] + counts[1:][-1:]),
                f"{SCORES[best.name]}, epoch {best.epoch}",
                cell(study.estimate("poison_vs_lrg", best.name, best.epoch)),
                *(str(one) for one in lost.values()),
                " and ".join(SCORES[name] for name in pair.name.split(" + ")) + f", epoch {pair.epoch}",
                f"{pair.auroc:.2f}",
            ]
        )
    return markdown_table(head, body)


def common_table(studies: dict[tuple[str, str], Study]) -> str:
    """How well each score does in all studies at once: one epoch, one direction, the worst of the studies counts."""
    questions = ("poison_vs_lrg", "poison_vs_lrg_1")
    epochs = next(iter(studies.values())).summary["epochs"]
    body = []
    for name, label in SCORES.items():
        line = [label]
        for question in questions:
            worst = []
            for epoch in epochs:
                found = [study.estimate(question, name, epoch) for study in studies.values()]
                if None in found:
                    continue
                means = [one.mean for one in found if one]
                worst += [(min(means), f"epoch {epoch}"), (1 - max(means), f"epoch {epoch}, low")]
            line.append("{:.2f} ({})".format(*max(worst)) if worst else "-")
        body.append(line)
    return markdown_table(["score", *(f"worst AUROC, {QUESTIONS[one][0]}" for one in questions)], body)


def write_csv(studies: dict[tuple[str, str], Study], path: Path) -> None:
    """Every AUROC: mean over seeds, half width of its 95% interval, number of seeds."""
    with path.open("w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["data", "attack", "question", "score", "epoch", "auroc", "auroc_ci95", "seeds"])
        for (data, attack), study in studies.items():
            for question in QUESTIONS:
                for name in SCORES:
                    for epoch in study.summary["epochs"]:
                        if one := study.estimate(question, name, epoch):
                            half = "" if one.half is None else f"{one.half:.4f}"
                            writer.writerow(
                                [data, attack, question, name, epoch, f"{one.mean:.4f}", half, one.n]
                            )


def draw(studies: dict[tuple[str, str], Study], out: Path) -> None:
    """Poisons against LRG over the epochs, and the maps: a panel for each study."""
    shape = (len(RUN["DATA"]), len(RUN["ATTACKS"]))
    lines, line_axes = plt.subplots(*shape, figsize=(12, 6.6), sharey=True, squeeze=False)
    maps, map_axes = plt.subplots(*shape, figsize=(11, 6.6), squeeze=False)
    for at, key in enumerate((data, attack) for data in RUN["DATA"] for attack in RUN["ATTACKS"]):
        axis, plane = line_axes.flat[at], map_axes.flat[at]
        for one in (axis, plane):
            one.set_title(f"{key[0]}, {LABELS[key[1]]}", fontsize=10)
        if key not in studies:
            continue
        study = studies[key]
        study_plots.draw_question(axis, study.summary, "poison_vs_lrg")
        axis.set(xlabel="after epoch", ylabel="AUROC" if at % shape[1] == 0 else "")
        first = next(study.seeds())
        study_plots.draw_plane(plane, first("plane")[study.at(EPOCH)], first("set"))
        plane.set(xlabel="PC 1", ylabel="PC 2" if at % shape[1] == 0 else "")
    for figure, axes in ((lines, line_axes), (maps, map_axes)):
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.tight_layout()
        legend = figure.legend(
            handles, labels, frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5)
        )
        for handle in filter(None, legend.legend_handles):
            handle.set_alpha(1)
    plots.save(lines, out / "auroc.png")
    plots.save(maps, out / "gradient_space.png")


def main(workdir: Path, out: Path = HERE) -> None:
    """Write everything."""
    studies = read(workdir)
    if not studies:
        sys.exit(f"{workdir} has no finished study; run.py makes them")
    if any(EPOCH not in study.summary["epochs"] for study in studies.values()):
        sys.exit(f"{workdir} has a study without epoch {EPOCH} (a smoke run?)")
    seeds = sorted({len(study.summary["seeds"]) for study in studies.values()})
    parts = [
        f"Mean over {' or '.join(map(str, seeds))} seeds ± Student's 95% interval. "
        "Above 0.5 the first set scores higher.",
        f"## The best of all scores and epochs, chosen after the fact\n\n'Lost' is the share (per cent) of a set that "
        f"goes with {100 * CAUGHT:.0f}% of the poisons where a threshold on the best score drops them.\n\n"
        + best_table(studies),
    ]
    parts.append(
        "## One signal for all\n\nEach score at the epoch and in the direction (low: poisons score lower) in which the "
        "worst of the studies is best, chosen after the fact. 0.5 is a coin.\n\n" + common_table(studies)
    )
    for question, (label, _) in QUESTIONS.items():
        parts.append(f"## AUROC after epoch {EPOCH}: {label}\n\n{table(studies, question)}")
    write_text(out / "results.md", "\n\n".join(part.rstrip("\n") for part in parts) + "\n")
    write_csv(studies, out / "results.csv")
    draw(studies, out)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
