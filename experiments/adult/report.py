"""Tables and figure of experiments/adult from its sweeps' folders.

    python experiments/adult/report.py choose runs/adult_choose
    python experiments/adult/report.py results runs/adult
    python experiments/adult/report.py every runs/adult_every

`choose` writes choose.csv and choose_seeds.csv, and names what the rule chooses; `results` writes results.csv (every
figure of every line), seeds.csv (by seed), results.md and results.png; `every` writes every.csv, every_seeds.csv and
every.md.
"""

import contextlib
import csv
import sys
from pathlib import Path

import matplotlib.pyplot as plt

from oilwater_jax import intervals
from oilwater_jax.files import read_json, write_text
from oilwater_jax.reporting import plots
from oilwater_jax.reporting.tables import markdown_table

HERE = Path(__file__).parent
SEEDED = ("acc", "wga", "acc_worst_class", "asr", "asr_untriggered", "target_damage", "collateral")
COLOURS = {"erm": "#9a9a9a", "jtt": "#d65f5f", "jtt:ideal": "#4878a8"}
LABELS = {"erm": "ERM", "jtt": "JTT", "jtt:ideal": "JTT ideal"}
PANELS = {
    "trigger": ("tabular trigger", "budget, % of train", "success, triggered - untriggered"),
    "flip": ("flipped labels of women > 50K", "budget, % of train", "damage to that group's accuracy"),
    "sa": ("subpopulation attack", "poisons / members of the cluster", "damage to the cluster's accuracy"),
}

Found = dict[tuple[str, str], grid.Line]
Rows = dict[tuple[str, str], dict]


def read(workdir: Path) -> tuple[list[grid.Line], Rows]:
    """Lines of every finished run, and its summary's rows."""
    lines = grid.read(workdir)
    rows: Rows = {}
    for run in dict.fromkeys(line.run for line in lines):
        summary = read_json(workdir / "runs" / run / "summary.json")
        assert summary is not None
        rows |= {(run, name): row | {"seeds": summary["seeds"]} for name, row in summary["rows"].items()}
    return lines, rows


def net(row: dict) -> list[float]:
    """An attack's success seed by seed: a trigger's net of the untriggered rate, else the damage."""
    if row.get("asr") is None:
        return row["target_damage_seeds"]
    return [hit - none for hit, none in zip(row["asr_seeds"], row["asr_untriggered_seeds"], strict=True)]


def paired(rows: Rows, run: str, name: str, against: str) -> str:
    """How much more success than another row, seed by seed."""
    ones = zip(net(rows[run, name]), net(rows[run, against]), strict=True)
    return str(intervals.over_seeds([mine - other for mine, other in ones]))


def write_csv(lines: list[grid.Line], path: Path) -> None:
    """Every figure of every line."""
    columns = list(dict.fromkeys(name for line in lines for name in line.figures))
    with path.open("w") as file, contextlib.redirect_stdout(file):
        grid.print_table(lines, "csv", columns=columns)


def write_seeds(rows: Rows, path: Path) -> None:
    """A line per run, training and seed."""
    with path.open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["run", "training", "seed", *SEEDED])
        for (run, name), row in rows.items():
            for at, seed in enumerate(row["seeds"]):
                values = [row.get(f"{figure}_seeds") for figure in SEEDED]
                out.writerow([run, name, seed, *("" if one is None else one[at] for one in values)])


def dial(rows: Rows, lines: Found, first: str) -> str:
    """A dial's table: strength, and success and WGA of ERM, JTT and JTT ideal; who is flagged."""
    body = []
    for run in dict.fromkeys(run for run, _ in rows if run.startswith(f"{first}_")):
        found = lines.get((run, f"{grid.FOUND}jtt"))
        own = [str(intervals.over_seeds(net(rows[run, name]))) for name in LABELS if (run, name) in rows]
        wga = [str(lines[run, name].figures["wga"]) for name in LABELS if (run, name) in rows]
        flagged = [str(found.figures[f"idnf.{one}"]) for one in ("poison", "lrg_1")] if found else ["-", "-"]
        body.append([run.partition("_")[2], *own, paired(rows, run, "jtt", "erm"), *wga, *flagged])
    names = [label for name, label in LABELS.items() if any(one == name for _, one in rows)]
    head = [
        "strength",
        *(f"success {one}" for one in names),
        "JTT - ERM",
        *(f"WGA {one}" for one in names),
        "IDNF poisons",
        "IDNF LRG-1",
    ]
    return markdown_table(head, [one for one in body if len(one) == len(head)])


def simple(rows: Rows, lines: Found, runs: list[str], names: list[str] | None = None) -> str:
    """Success net, WGA, accuracy and who is eliminated and drawn, of some rows of some runs."""
    body = []
    for (run, name), row in rows.items():
        if run not in runs or (names and name not in names):
            continue
        figures = lines[run, name].figures
        sets = [f"{kind}.{one}" for kind in ("elmf", "draws") for one in ("poison", "lrg_1")]
        body.append(
            [
                run,
                row["label"],
                str(intervals.over_seeds(net(row))),
                *(grid.cell(one, figures.get(one)) for one in ("wga", "acc", *sets)),
            ]
        )
    head = ["run", "training", "success", "WGA", "ACC"]
    head += ["ELMF poisons", "ELMF LRG-1", "draws poisons", "draws LRG-1"]
    return markdown_table(head, body)


def draw(rows: Rows, path: Path) -> None:
    """A panel per attack: success against strength, and WGA below."""
    shown = [one for one in PANELS if any(run.startswith(f"{one}_") for run, _ in rows)]
    figure, axes = plt.subplots(2, len(shown), figsize=(4.2 * len(shown), 6), squeeze=False)
    for column, first in enumerate(shown):
        runs = list(dict.fromkeys(run for run, _ in rows if run.startswith(f"{first}_")))
        scale = 1 if first == "sa" else 100
        at = [scale * float(run.partition("_")[2]) for run in runs]
        for name, label in LABELS.items():
            for axis, values in zip(
                axes[:, column],
                ([net(rows[run, name]) for run in runs], [rows[run, name]["wga_seeds"] for run in runs]),
                strict=True,
            ):
                ones = [intervals.over_seeds(one) for one in values]
                means = [100 * one.mean for one in ones if one]
                halves = [100 * (one.half or 0) for one in ones if one]
                axis.errorbar(
                    at, means, halves, color=COLOURS[name], marker="o", ms=4, capsize=2, label=label
                )
        title, xlabel, ylabel = PANELS[first]
        axes[0, column].set(title=title, ylabel=f"{ylabel}, points", xscale="log", xticks=at)
        axes[1, column].set(ylabel="WGA, %", xlabel=xlabel, xscale="log", xticks=at)
        for axis in axes[:, column]:
            axis.set_xticklabels([f"{one:g}" for one in at])
            axis.minorticks_off()
            axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    plots.save(figure, path)


def results(workdir: Path) -> None:
    """Write everything of the grid; runs that are not finished are left out, and named."""
    lines, rows = read(workdir)
    found = {(line.run, line.training): line for line in lines}
    write_csv(lines, HERE / "results.csv")
    write_seeds(rows, HERE / "seeds.csv")
    runs = list(dict.fromkeys(run for run, _ in rows))
    n = len(next(iter(rows.values()))["seeds"])
    text = f"adult, test, {n} seeds, per cent, mean ± 95% interval. Success: see README.\n"
    for first, (title, _, _) in PANELS.items():
        if any(run.startswith(f"{first}_") for run in runs):
            text += f"\n{title}:\n\n" + dial(rows, found, first)
    for first, title in (("lambda", "JTT's lambda"), ("ratio", "EPIc's ratio")):
        own = [run for run in runs if run.startswith(f"{first}_")]
        if own:
            text += f"\n{title}:\n\n" + simple(rows, found, own)
    few = [run for run, name in rows if name == "base_loss"]
    text += "\nmore methods:\n\n" + simple(rows, found, few)
    write_text(HERE / "results.md", text)
    draw(rows, HERE / "results.png")


def every(workdir: Path) -> None:
    """Write every method's lines under each attack that is finished."""
    lines, rows = read(workdir)
    lines = [line for line in lines if not line.training.startswith(grid.FOUND)]
    write_csv(lines, HERE / "every.csv")
    write_seeds(rows, HERE / "every_seeds.csv")
    n = len(next(iter(rows.values()))["seeds"])
    text = f"adult, test, {n} seeds, per cent, mean ± 95% interval.\n"
    found = {(line.run, line.training): line for line in lines}
    for attack, (title, _, _) in PANELS.items():
        if any(run == attack for run, _ in rows):
            text += f"\n{title}:\n\n" + simple(rows, found, [attack])
    write_text(HERE / "every.md", text)


def choose(workdir: Path) -> None:
    """Write choose.csv, and print what the rule chooses."""
    lines, rows = read(workdir)
    write_csv([line for line in lines if not line.training.startswith(grid.FOUND)], HERE / "choose.csv")
    write_seeds(rows, HERE / "choose_seeds.csv")
    for first, training in (("rate", "erm"), ("lambda", "jtt")):
        wga = {
            run: row["wga"] for (run, name), row in rows.items() if run.startswith(first) and name == training
        }
        print(f"{first}: {max(wga, key=lambda run: wga[run])} (validation WGA {wga})")


if __name__ == "__main__":
    {"choose": choose, "results": results, "every": every}[sys.argv[1]](Path(sys.argv[2]))
