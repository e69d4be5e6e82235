"""Question 2's table and figure, from a sweep's folder or, without one, from the committed results.csv.

python experiments/question2_easy_poisons/report.py runs/catalogue

Writes results.csv (a line per run, row and seed), results.md and results.png beside this file. Runs that are not
finished are left out.
"""

import runpy
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt

from oilwater_jax.files import write_text
from oilwater_jax.reporting import plots
from oilwater_jax.reporting.tables import markdown_table

HERE = Path(__file__).parent
GRID = SimpleNamespace(**runpy.run_path(str(HERE / "grid.py")))
SEEDS = SimpleNamespace(**runpy.run_path(str(HERE.parent / "catalogue" / "per_seed.py")))
ROWS = ("erm@clean", "erm", *GRID.EASY)
SHOWN = ("poison", "lrg_1", "lrg_2", "hrg_1")


def table(lines: list, kind: str, budgets: Sequence[float]) -> str:
    """A line per budget and training, of the runs of a kind."""
    body = []
    for budget in budgets:
        for row in ROWS:
            clean = SEEDS.of(lines, f"{kind}_{budget:g}", "erm@clean")
            if own := SEEDS.of(lines, f"{kind}_{budget:g}", row):
                body.append(
                    [
                        f"{100 * budget:g}%",
                        next(iter(own.values()))["label"],
                        SEEDS.cell(SEEDS.mean(own, "success")),
                        SEEDS.stopped(own, clean),
                        *(SEEDS.cell(SEEDS.mean(own, f"elmf.{name}")) for name in SHOWN),
                        SEEDS.cell(SEEDS.mean(own, "wga")),
                        SEEDS.epochs(own),
                    ]
                )
    sets = [f"ELMF {SEEDS.SET_LABELS[name]}" for name in SHOWN]
    return markdown_table(["budget", "training", "success", "stopped in", *sets, "WGA", "epoch"], body)


def draw(lines: list, path: Path) -> None:
    """Success, ELMF of poisons, ELMF of the smallest minority and WGA against the budget; a line per training."""
    panels = {
        "success": "success net of the untriggered, %",
        "elmf.poison": "ELMF poisons, %",
        "elmf.lrg_1": "ELMF LRG-1, %",
        "wga": "WGA, %",
    }
    figure, axes = plt.subplots(1, len(panels), figsize=(15, 3.6), sharey=True)
    for axis, (name, label) in zip(axes, panels.items(), strict=True):
        for at, row in enumerate(ROWS):
            found = [(b, SEEDS.of(lines, f"easy_{b:g}", row)) for b in GRID.BUDGETS]
            apart = 1.06 ** (at - 2)  # so that bars do not cover each other
            found = [(100 * b * apart, one) for b, own in found if own and (one := SEEDS.mean(own, name))]
            x, ones = [b for b, _ in found], [one for _, one in found]
            means, bars = [100 * one.mean for one in ones], SEEDS.reach(ones)
            named = next(line["label"] for line in lines if line["row"] == row)
            axis.errorbar(x, means, yerr=bars, marker="o", markersize=3, label=named, capsize=2)
        axis.set(xscale="log", xlabel="budget, % of the training set", title=label, ylim=(-5, 105))
        SEEDS.ticks(axis, [100 * budget for budget in GRID.BUDGETS])
        axis.spines[["top", "right"]].set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.tight_layout(rect=(0, 0, 1, 0.93))
    figure.legend(handles, labels, frameon=False, ncols=len(labels), loc="upper center", fontsize=9)
    plots.save(figure, path)


def report(out: Path = HERE) -> None:
    """Write tables and figures."""
    lines = SEEDS.read(HERE / "results.csv")
    text = f"{SEEDS.note(lines, 'DLBD')}\n{table(lines, 'easy', GRID.BUDGETS)}"
    text += f"\n## The control: the last epoch is reported\n\n{table(lines, 'last', GRID.LAST)}"
    write_text(out / "results.md", text)
    draw(lines, out / "results.png")


if __name__ == "__main__":
    SEEDS.main(__doc__ or "", HERE, GRID.get_grid().runs, report)
