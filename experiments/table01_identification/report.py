"""Table 1 and its figure from a sweep's folder: whom the heuristics identify.

    python experiments/table01_identification/report.py runs/waterdigits waterdigits

Writes NAME.csv, NAME.md and NAME.png beside this file.
"""

import contextlib
import sys
from pathlib import Path

import matplotlib.pyplot as plt

from oilwater_jax.files import write_text
from oilwater_jax.reporting import grid, plots
from oilwater_jax.reporting.summary import set_label
from oilwater_jax.reporting.tables import markdown_table

HERE = Path(__file__).parent
ATTACKS = {"dlbd": "DLBD", "sa": "SA", "gm": "GM, eps 16", "gm32": "GM, eps 32"}
METHODS = {"jtt": "JTT", "george": "GEORGE"}
EPOCHS = (1, 2, 4, 8)
SETS = {"poison": "#d62728", "lrg_1": "#1f77b4", "lrg_2": "#17a2b8", "hrg_1": "#555555", "hrg_2": "#a0a0a0"}


def main(workdir: Path, name: str) -> None:
    """Write the table (all T), the figure and the csv."""
    wanted = {f"{a}_{m}_T{e}": (a, m, e) for a in ATTACKS for m in METHODS for e in EPOCHS}
    lines = [
        line
        for line in grid.read(workdir)
        if line.run in wanted and line.training == f"{grid.FOUND}{wanted[line.run][1]}"
    ]
    sets = {f"idnf.{one}": (one, colour) for one, colour in SETS.items()}
    # A set without members has no figure.
    columns = [one for one in sets if any(one in line.figures for line in lines)]
    with (HERE / f"{name}.csv").open("w") as file, contextlib.redirect_stdout(file):
        grid.print_table(lines, "csv", columns=columns)
    body = []
    for line in lines:
        attack, method, epochs = wanted[line.run]
        body.append(
            [ATTACKS[attack], METHODS[method], str(epochs), *(str(line.figures.get(c, "-")) for c in columns)]
        )
    head = ["attack", "method", "T", *(grid.heading(column, lines) for column in columns)]
    n = lines[0].figures["idnf.poison"].n
    text = f"{name}, {n} seeds, share identified in per cent, mean ± 95% interval.\n\n"
    write_text(HERE / f"{name}.md", text + markdown_table(head, body))

    figure, axes = plt.subplots(len(METHODS), len(ATTACKS), figsize=(11, 4.8), sharex=True, sharey=True)
    for line in lines:
        attack, method, epochs = wanted[line.run]
        axis = axes[list(METHODS).index(method)][list(ATTACKS).index(attack)]
        for place, (column, (one, colour)) in enumerate(sets.items()):
            if (found := line.figures.get(column)) is None:
                continue
            label = set_label(one) if epochs == EPOCHS[0] else None
            mean, half = 100 * found.mean, 100 * (found.half or 0)
            at = EPOCHS.index(epochs) + 0.14 * (place - 2)  # beside one another, never under
            axis.errorbar(at, mean, half, fmt="o", color=colour, label=label, capsize=2, markersize=4)
        axis.set(title=f"{METHODS[method]}, {ATTACKS[attack]}", xticks=range(len(EPOCHS)), ylim=(-5, 105))
        axis.set_xticklabels([str(epochs) for epochs in EPOCHS])
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("T, epochs of identification")
    for row in axes:
        row[0].set_ylabel("identified, %")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(
        handles, labels, frameon=False, ncols=len(SETS), loc="lower center", bbox_to_anchor=(0.5, 0.98)
    )
    figure.tight_layout()
    plots.save(figure, HERE / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
