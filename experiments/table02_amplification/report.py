"""Table 2 and its figure from a sweep's folder: what amplification does to attacks and to worst-group accuracy.

    python experiments/table02_amplification/report.py runs/waterdigits waterdigits

Writes NAME.csv (every figure of every line), NAME.md and NAME.png beside this file.
"""

import contextlib
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from oilwater_jax.files import write_text
from oilwater_jax.reporting import grid, plots
from oilwater_jax.reporting.tables import markdown_table

HERE = Path(__file__).parent
ATTACKS = {"dlbd": "DLBD", "sa": "SA (damage)", "gm": "GM, eps 16", "gm32": "GM, eps 32"}
METHODS = {"jtt": "JTT", "george": "GEORGE"}
TRAININGS = {"none": "erm", "standard": "{}", "ideal": "{}:ideal", "worst": "{}:worst"}  # rows of a method
COLOURS = {"none": "#9a9a9a", "standard": "#d65f5f", "ideal": "#4878a8", "worst": "#8a3b3b"}

Found = dict[tuple[str, str], grid.Line]


def line_of(found: Found, attack: str, method: str, column: str) -> grid.Line:
    """The line of a run's training: `none` is ERM, the others are modes of the method."""
    return found[f"{attack}_{method}", TRAININGS[column].format(method)]


def table(found: Found, figure: str) -> str:
    """Attacks and methods down, amplification across."""
    body = [
        [ATTACKS[attack], METHODS[method]]
        + [str(line_of(found, attack, method, column).figures[figure]) for column in TRAININGS]
        for attack in ATTACKS
        for method in METHODS
    ]
    return markdown_table(["attack", "method", *TRAININGS], body)


def clean_table(found: Found) -> str:
    """The methods without an attack."""
    body = []
    for method in METHODS:
        erm, own = found[f"none_{method}", "erm@clean"], found[f"none_{method}", method]
        cells = [str(line.figures[name]) for line in (erm, own) for name in ("acc_adjusted", "wga")]
        body.append([METHODS[method], *cells])
    return markdown_table(["method", "ERM adj. ACC", "ERM WGA", "method's adj. ACC", "method's WGA"], body)


def draw(found: Found, path: Path) -> None:
    """Success and worst-group accuracy of every run, with 95% intervals."""
    figure, axes = plt.subplots(2, 1, figsize=(10.5, 5.4), sharex=True)
    places = [(attack, method) for attack in ATTACKS for method in METHODS]
    for axis, name, label in zip(axes, ("success", "wga"), ("attack's success, %", "WGA, %"), strict=True):
        for at, column in enumerate(TRAININGS):
            ones = [line_of(found, attack, method, column).figures[name] for attack, method in places]
            # Intervals are drawn no further than the figure can go; a damage may be as low as -1.
            least = [-1.0 if name == "success" and attack == "sa" else 0.0 for attack, _ in places]
            below = [100 * min(one.half or 0, one.mean - low) for one, low in zip(ones, least, strict=True)]
            above = [100 * min(one.half or 0, 1 - one.mean) for one in ones]
            axis.bar(
                np.arange(len(places)) + 0.2 * (at - 1.5),
                [100 * one.mean for one in ones],
                0.2,
                yerr=[below, above],
                color=COLOURS[column],
                label=column,
                capsize=2,
                error_kw={"linewidth": 0.8},
            )
        axis.set(ylabel=label, xticks=range(len(places)))
        axis.set_ylim(min(0, axis.get_ylim()[0]), 112)
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].set_xticklabels([f"{ATTACKS[attack]}\n{METHODS[method]}" for attack, method in places])
    axes[0].legend(
        frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), title="amplification"
    )
    plots.save(figure, path)


def main(workdir: Path, name: str) -> None:
    """Write the table, the figure and all lines."""
    lines = grid.read(workdir)
    found = {(line.run, line.training): line for line in lines}
    wanted = [f"{attack}_{method}" for attack in (*ATTACKS, "none") for method in METHODS]
    lines = [line for line in lines if line.run in wanted and not line.training.startswith(grid.FOUND)]
    columns = list(dict.fromkeys(name for line in lines for name in line.figures))
    with (HERE / f"{name}.csv").open("w") as file, contextlib.redirect_stdout(file):
        grid.print_table(lines, "csv", columns=columns)
    n = lines[0].figures["wga"].n
    text = f"{name}, test, {n} seeds, per cent, mean ± 95% interval.\n\nAttack's success:\n\n"
    text += table(found, "success") + "\nWorst-group accuracy:\n\n" + table(found, "wga")
    text += "\nWithout an attack:\n\n" + clean_table(found)
    write_text(HERE / f"{name}.md", text)
    draw(found, HERE / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
