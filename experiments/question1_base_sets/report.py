"""Question 1's tables and figure, from a sweep's folder or, without one, from the committed results.csv.

python experiments/question1_base_sets/report.py runs/catalogue

Writes results.csv (a line per run, row and seed), results.md and results.png beside this file. Runs that are not
finished are left out.
"""

import runpy
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt

from oilwater_jax.files import write_text
from oilwater_jax.reporting import plots
from oilwater_jax.reporting.tables import markdown_table

HERE = Path(__file__).parent
GRID = SimpleNamespace(**runpy.run_path(str(HERE / "grid.py")))
SEEDS = SimpleNamespace(**runpy.run_path(str(HERE.parent / "catalogue" / "per_seed.py")))
SHOWN = ("poison", "lrg_1", "lrg_2", "hrg_1", "hrg_2")
CELLS = [(balance, size) for balance, sizes in GRID.SIZES.items() for size in sizes]


def looks(lines: list) -> str:
    """A line per defence and base set: whom it would eliminate."""
    body = []
    for method in GRID.LOOKS:
        for balance, size in CELLS:
            if own := SEEDS.of(lines, f"base_{balance}_{size}", f"found:{method}"):
                shares = (SEEDS.cell(SEEDS.mean(own, f"flagged.{name}")) for name in SHOWN)
                body.append([method, balance, str(size), *shares])
    return markdown_table(["defence", "composition", "size", *(SEEDS.SET_LABELS[one] for one in SHOWN)], body)


def trained(lines: list) -> str:
    """A line per base set and training: what the elimination does to the attack and to the worst group."""
    body = []
    for balance, size in GRID.TRAINED_AT:
        run = f"base_{balance}_{size}"
        erm, clean = SEEDS.of(lines, run, "erm"), SEEDS.of(lines, run, "erm@clean")
        for row in ("erm@clean", "erm", *GRID.TRAINED):
            if own := SEEDS.of(lines, run, row):
                gain = (
                    "-" if row.startswith("erm") else SEEDS.cell(SEEDS.paired(own, erm, "wga"), signed=True)
                )
                body.append(
                    [
                        *(balance, str(size), next(iter(own.values()))["label"]),
                        SEEDS.cell(SEEDS.mean(own, "success")),
                        SEEDS.stopped(own, clean),
                        SEEDS.cell(SEEDS.mean(own, "wga")),
                        gain,
                        SEEDS.epochs(own),
                    ]
                )
    head = ["composition", "size", "training", "success", "stopped in", "WGA", "WGA - ERM's", "epoch"]
    return markdown_table(head, body)


def draw(lines: list, path: Path) -> None:
    """A panel per defence and composition: whom it would eliminate against the size of the base set."""
    methods = [one for one in GRID.LOOKS if any(line["row"] == f"found:{one}" for line in lines)]
    done = {line["run"] for line in lines}
    compositions = {
        balance: sizes
        for balance, sizes in GRID.SIZES.items()
        if done & {f"base_{balance}_{size}" for size in sizes}
    }
    figure, axes = plt.subplots(
        len(compositions),
        len(methods),
        figsize=(2.5 * len(methods), 1 + 2 * len(compositions)),
        sharey=True,
        sharex=True,
        squeeze=False,
    )
    for line, (balance, sizes) in zip(axes, compositions.items(), strict=True):
        for axis, method in zip(line, methods, strict=True):
            for name in SHOWN:
                found = [(m, SEEDS.of(lines, f"base_{balance}_{m}", f"found:{method}")) for m in sizes]
                found = [(m, SEEDS.mean(own, f"flagged.{name}")) for m, own in found if own]
                x, ones = [m for m, _ in found], [one for _, one in found]
                means, label = [100 * one.mean for one in ones], SEEDS.SET_LABELS[name]
                axis.errorbar(
                    x,
                    means,
                    yerr=SEEDS.reach(ones),
                    marker="o",
                    markersize=3,
                    color=plots.set_colour(name),
                    label=label,
                )
            axis.set(xscale="log", ylim=(-5, 105), xlim=(15, 530))
            SEEDS.ticks(axis, sorted({size for sizes in GRID.SIZES.values() for size in sizes}))
            axis.spines[["top", "right"]].set_visible(False)
        line[0].set_ylabel(f"{balance}\nflagged, %")
    for axis, method in zip(axes[0], methods, strict=True):
        axis.set_title(method, fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("base samples")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.tight_layout(rect=(0, 0, 1, 0.96))
    figure.legend(handles, labels, frameon=False, ncols=len(SHOWN), loc="upper center", fontsize=9)
    plots.save(figure, path)


def report(out: Path = HERE) -> None:
    """Write tables and figures."""
    lines = SEEDS.read(HERE / "results.csv")
    text = SEEDS.note(lines, "DLBD 1%")
    text += f"\n## Whom each would eliminate\n\n{looks(lines)}\n## Trained without them\n\n{trained(lines)}"
    write_text(out / "results.md", text)
    draw(lines, out / "results.png")


if __name__ == "__main__":
    SEEDS.main(__doc__ or "", HERE, GRID.get_grid().runs, report)
