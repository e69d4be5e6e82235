"""Tables and figure from the committed per-seed values.

    python experiments/separability/report.py

Reads seeds.csv and unknown.csv, which measure.py made, and writes results.md and advantage.png beside this file (or
into --out).
"""

import argparse
import csv
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
from measure import AGAINST, ALL, ATTACKS, BOTH, CHOSEN, JUDGED, NAMES, UNKNOWN
from run import DATA

from oilwater_jax import intervals
from oilwater_jax.files import write_text
from oilwater_jax.reporting import plots
from oilwater_jax.reporting.study import SCORES
from oilwater_jax.reporting.tables import markdown_table
from oilwater_jax.study.advantage import radius

HERE = Path(__file__).parent
SHOWN = 0.05  # level of the permutation tests


def read_csv(name: str) -> list[dict[str, str]]:
    """A committed table."""
    with (HERE / name).open() as file:
        return list(csv.DictReader(file))


class Table(NamedTuple):
    """A committed table's lines by all that names them but the seed."""

    keys: tuple[str, ...]
    lines: dict[tuple[str, ...], list[dict[str, str]]]

    def values(self, column: str, *key: str) -> list[float | None]:
        """A column by seed; None where it is not defined; empty where there is no such line."""
        return [float(one[column]) if one[column] else None for one in self.lines.get(key, [])]

    def columns(self, count: int) -> list[tuple[str, ...]]:
        """The first names of the lines, each once, in order."""
        return list(dict.fromkeys(key[:count] for key in self.lines))


def grouped(lines: Iterable[dict[str, str]], keys: tuple[str, ...]) -> Table:
    """Lines by `keys`."""
    found: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for line in lines:
        found.setdefault(tuple(line[name] for name in keys), []).append(line)
    return Table(keys, found)


def cell(values: Sequence[float | None], within: tuple[float, float] = intervals.SIGNED) -> str:
    """`0.93 [0.91, 0.95]`, or `-`."""
    one = intervals.over_seeds(values, within)
    return "-" if one is None else one.text()


def mean(values: Sequence[float | None]) -> str:
    """`0.16`, or `-`."""
    one = intervals.over_seeds(values)
    return "-" if one is None else f"{one.mean:.2f}"


def count(which: Sequence[bool]) -> str:
    """`4 of 5 [28, 99]%`, the interval exact."""
    one = intervals.of_counts(sum(which), len(which))
    return f"{sum(which)} of {one.n} [{100 * (one.low or 0):.0f}, {100 * (one.high or 0):.0f}]%"


def extent(values: Sequence[float | None]) -> str:
    """`47`, or `43-152`."""
    ends = sorted({f"{value:g}" for value in values if value is not None}, key=float)
    return "-".join(dict.fromkeys((ends[0], ends[-1]))) if ends else "-"


def below(values: Sequence[float | None], level: float) -> list[bool]:
    """Which p-values are at most `level`."""
    return [value is not None and value <= level for value in values]


def loss_table(table: Table, epoch: str) -> str:
    """What the loss says under a known attack."""
    head = ["data", "attack", "against", "poisons", "minority", "AUROC", "poisons lower by at most"]
    head += ["dominance refuted", "exact", "upper tail", "half-line", "band", "e"]
    body = []
    for data, attack in table.columns(2):
        for against, label in AGAINST.items():
            key = (data, attack, against, epoch, "loss")
            if key not in table.lines:
                continue

            def of(column: str, key: tuple[str, ...] = key) -> list[float | None]:
                return table.values(column, *key)

            sizes = zip(of("poisons"), of("minority"), strict=True)
            reach = statistics.median(radius(int(n or 0), int(m or 0)) for n, m in sizes)
            less = [None if value is None else 0.0 - value for value in of("dominance")]
            null = [None if value is None else 0.0 - value for value in of("null_dominance")]
            body.append(
                [
                    *(data, ATTACKS[attack], label, extent(of("poisons")), extent(of("minority"))),
                    cell(of("auroc"), intervals.SHARE),
                    f"{cell(less, intervals.SHARE)} ({mean(null)})",
                    count(below(of("p_dominance"), SHOWN)),
                    f"{sum(value == 0 for value in less)} of {len(less)}",
                    *(
                        f"{cell(of(name), intervals.SHARE)} ({mean(of(f'null_{name}'))})"
                        for name in ("upper", "half_lines", "band")
                    ),
                    f"{reach:.2f}",
                ]
            )
    return markdown_table(head, body)


def score_table(table: Table, epoch: str, against: str, text: Callable[..., str]) -> str:
    """A row for each score, a column for each study; `text` makes a cell of a line's names."""
    studies = table.columns(2)
    head = ["score", *(f"{data} {ATTACKS[attack]}" for data, attack in studies)]
    body = [
        [NAMES[score], *(text(*study, against, epoch, score) for study in studies)]
        for score in (*SCORES, ALL)
    ]
    return markdown_table(head, [line for line in body if set(line[1:]) != {"-"}])


def learned_table(table: Table, against: str, epoch: str) -> str:
    """What a rule made on other seeds is worth against each attack, and against all."""
    places = [place for data in (*DATA, BOTH) for place in table.columns(2) if place[0] == data]
    head = ["score", *(f"{data} {ATTACKS.get(attacks, attacks)}" for data, attacks in places)]
    body = []
    for score in (*SCORES, ALL, CHOSEN):
        cells = [cell(by_score(table, (*place, against), epoch, score, "learned")) for place in places]
        body.append([NAMES[score], *cells])
    return markdown_table(head, body)


def by_score(table: Table, place: tuple[str, ...], epoch: str, score: str, column: str) -> list[float | None]:
    """A column by seed; of what was chosen, whatever the epoch that was."""
    if score != CHOSEN:
        return table.values(column, *place, epoch, score)
    return [
        value
        for key in table.lines
        if key[:3] == place and key[4] == CHOSEN
        for value in table.values(column, *key)
    ]


def unknown_table(table: Table, against: str, epoch: str) -> str:
    """Every figure of rules that must stand against several attacks."""
    places = [place for place in table.columns(2) if place[1] == UNKNOWN]
    head = ["score", *(f"{data}: {part}" for data, _ in places for part in ("best", "learned", "unseen"))]
    body = []
    for score in (*SCORES, ALL, CHOSEN):
        cells = [
            cell(by_score(table, (*place, against), epoch, score, part))
            for place in places
            for part in ("best", "learned", "unseen")
        ]
        body.append([NAMES[score], *cells])
    return markdown_table(head, body)


def epoch_table(table: Table) -> str:
    """The loss against an unknown attack over the epochs, and the highest of all scores and epochs."""
    body = []
    for data, attacks in table.columns(2):
        if attacks != UNKNOWN:
            continue
        place = (data, attacks, JUDGED[0])
        keys = [key for key in table.lines if key[:3] == place and key[4] in SCORES]
        epochs = sorted({key[3] for key in keys}, key=int)
        best = max(keys, key=lambda key: statistics.fmean(v or 0.0 for v in table.values("best", *key)))
        body.append(
            [
                data,
                *(cell(table.values("learned", *place, epoch, "loss")) for epoch in epochs),
                f"{NAMES[best[4]]}, epoch {best[3]}",
                cell(table.values("best", *best)),
                cell(table.values("learned", *best)),
            ]
        )
    if not body:
        return ""
    epochs = sorted({key[3] for key in table.lines if key[1] == UNKNOWN}, key=int)
    head = ["data", *(f"loss, epoch {epoch}" for epoch in epochs), "highest `best`", "best", "learned"]
    return markdown_table(head, body)


def report(out: Path = HERE) -> None:
    """Write results.md and advantage.png from the committed tables into a folder."""
    known_lines, unknown_lines = read_csv("seeds.csv"), read_csv("unknown.csv")
    table = grouped(known_lines, ("data", "attack", "against", "epoch", "score"))
    rules = grouped(unknown_lines, ("data", "attacks", "against", "epoch", "score"))
    epoch = next(line["epoch"] for line in known_lines if line["score"] == "margin")
    seeds = extent([len(lines) for lines in table.lines.values()])

    def auroc(*key: str) -> str:
        return cell(table.values("auroc", *key), intervals.SHARE)

    def band(*key: str) -> str:
        if key[-1] == ALL:
            low = [value for value in table.values("rule_low", *key) if value is not None]
            return (
                f"{cell(table.values('rule', *key))} (at least {statistics.median(low):.2f})" if low else "-"
            )
        found = cell(table.values("band", *key), intervals.SHARE)
        return found if found == "-" else f"{found} ({mean(table.values('null_band', *key))})"

    parts = [
        f"Mean over {seeds} seeds [95% interval, Student's], after epoch {epoch}, when JTT looks, unless another is "
        "named. Made by report.py from [seeds.csv](seeds.csv) and [unknown.csv](unknown.csv).",
        "## The loss under a known attack\n\nAUROC above 0.5: poisons have the higher loss. Dominance: the poisons' "
        "losses are nowhere the lower; 'lower by at most' is max(F_poison - F_minority), 'refuted' in how many seeds a "
        f"permutation test at {SHOWN} says so [exact interval], 'exact' in how many the maximum is 0. Advantage of the "
        "best upper tail, half-line and band. In parentheses what equal sets would give (mean over permutations). e: "
        "half width of one seed's 95% interval of upper tail and half-line (DKW, median over seeds); a band's is twice "
        f"as wide.\n\n{loss_table(table, epoch)}",
    ]
    for against, label in AGAINST.items():
        parts.append(
            f"## AUROC of every score, poisons against {label}\n\n{score_table(table, epoch, against, auroc)}"
        )
    parts.append(
        "## Advantage of the best band of every score against LRG-1\n\nIn parentheses what equal sets would give. 'All "
        "ten scores': logistic regression cross-fitted in two halves of the seed's samples, and the median of its "
        f"lower bounds of the total variation.\n\n{score_table(table, epoch, JUDGED[0], band)}"
    )
    for against in JUDGED:
        parts.append(
            f"## A rule made on the other seeds, against {AGAINST[against]}\n\nShare of the minority that it keeps "
            "less share of the poisons, by what the rule was made against: one attack, or all (`unknown`), where the "
            "worst counts. Ten bins at the minority's deciles. 'All ten scores': a random forest shown every attack. "
            f"'Chosen': by the other seeds alone.\n\n{learned_table(rules, against, epoch)}"
        )
    places = [place for place in rules.columns(2) if place[1] == UNKNOWN]
    for against in JUDGED if places else ():
        equal = ", ".join(
            f"{place[0]} {mean(rules.values('null', *place, against, epoch, 'loss'))}" for place in places
        )
        parts.append(
            f"## An unknown attack: the worst of all, against {AGAINST[against]}\n\n'Best': the best rule for the "
            "very samples that it is judged on (minimax; biased upwards, for the loss of equal sets: "
            f"{equal}). 'Learned': made on the other seeds. 'Unseen': made on the other seeds and against the other "
            "attacks (the forest too), judged by the attack left out, the worst of three.\n\n"
            f"{unknown_table(rules, against, epoch)}"
        )
    if places:
        parts.append(
            "## Over the epochs, against LRG-1\n\n`learned` of the loss, and the score and epoch of the highest "
            f"`best`, chosen after the fact.\n\n{epoch_table(rules)}"
        )
    write_text(out / "results.md", "\n\n".join(part.rstrip("\n") for part in parts) + "\n")
    draw(rules, epoch, out / "advantage.png")


MARKS: Mapping[str, tuple[str, str]] = {
    "dlbd": ("o", "#d55e00"),
    "sa": ("s", "#0072b2"),
    "gm": ("^", "#009e73"),
    UNKNOWN: ("D", "#000000"),
}


def draw(rules: Table, epoch: str, path: Path) -> None:
    """What a rule made on other seeds is worth against each attack and against all, a panel for each data set."""
    shown = {
        "loss": "loss",
        "neighbour_distance": "k-th neighbour",
        CHOSEN: "best score\nand epoch",
        ALL: "all scores\n(forest)",
    }
    panels = [data for data in DATA if any(place[0] == data for place in rules.columns(2))]
    figure, axes = plt.subplots(1, len(panels), figsize=(4.6 * len(panels), 3.6), sharey=True, squeeze=False)
    for axis, data in zip(axes[0], panels, strict=True):
        for at, score in enumerate(shown):
            for shift, (attacks, (marker, colour)) in enumerate(MARKS.items()):
                values = by_score(rules, (data, attacks, JUDGED[0]), epoch, score, "learned")
                one = intervals.over_seeds(values, intervals.SIGNED)
                if one is None:
                    continue
                ends = [[one.mean - (one.low or 0.0)], [(one.high or 0.0) - one.mean]]
                label = f"made for {ATTACKS.get(attacks, 'all three, worst counts')}" if not at else None
                x = at + 0.17 * (shift - 1.5)
                axis.errorbar(
                    x, one.mean, ends, fmt=marker, color=colour, capsize=2, label=label, markersize=5
                )
        axis.axhline(0, color="#999999", linewidth=0.8, zorder=0)
        axis.set_xticks(range(len(shown)), list(shown.values()), fontsize=9)
        axis.set_title(data, fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("LRG-1 kept less poisons kept")
    figure.tight_layout()
    axes[0][-1].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    plots.save(figure, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Tables and figure from the committed per-seed values.")
    parser.add_argument("--out", type=Path, default=HERE, help="folder (default: beside this file)")
    report(parser.parse_args().out)
