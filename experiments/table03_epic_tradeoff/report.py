"""Table 3 and its figure from a sweep's folder: what EPIc costs and saves, by the epoch at which it stops.

python experiments/table03_epic_tradeoff/report.py runs/epic_waterdigits waterdigits

Writes NAME.csv (every figure of every line), NAME.md and NAME.png beside this file.
"""

import contextlib
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from oilwater_jax import intervals
from oilwater_jax.files import write_text
from oilwater_jax.reporting import grid, plots
from oilwater_jax.reporting.tables import markdown_table

HERE = Path(__file__).parent
GRID = runpy.run_path(str(HERE / "grid.py"))
ATTACKS = {"dlbd": "DLBD", "sa": "SA (damage)", "gm": "GM, eps 32"}
SHOWN = ("acc_adjusted", "wga", "success")
ELMF = ("elmf.poison", "elmf.lrg_1", "elmf.lrg_2", "elmf.hrg_1", "elmf.hrg_2")
LOW, NEAR = 0.10, 0.05  # the question: success at most LOW, WGA at most NEAR below the reference

Found = dict[tuple[str, str], grid.Line]


class Point(NamedTuple):
    """One training: EPIc's stopping epoch (None: without EPIc) and its figures by name."""

    stop: int | None
    figures: dict[str, intervals.Estimate]


def read(workdir: Path) -> Found:
    """The lines of a sweep, by run and training."""
    return {(line.run, line.training): line for line in grid.read(workdir)}


def points(found: Found, attack: str, method: str, training: str, reference: str) -> list[Point]:
    """The reference without EPIc, then the training at every stopping epoch."""
    stops = GRID["STOPS"][method]
    runs = [f"{attack}_{method}_stop{stop}" for stop in stops]
    start = Point(None, found[runs[0], reference].figures)
    pairs = zip(stops, runs, strict=True)
    return [start, *(Point(stop, found[run, training].figures) for stop, run in pairs)]


def answers(ones: Sequence[Point], reference: intervals.Estimate) -> list[int]:
    """The stopping epochs whose mean success is at most LOW and whose mean WGA at most NEAR below the reference."""
    return [
        one.stop
        for one in ones
        if one.stop is not None
        and one.figures["success"].mean <= LOW
        and one.figures["wga"].mean >= reference.mean - NEAR
    ]


def cells(ones: Sequence[Point], without: str) -> list[list[str]]:
    """A line per point: the stopping epoch, then SHOWN and ELMF (which is 0 without EPIc)."""
    return [
        [
            without if one.stop is None else str(one.stop),
            *(str(one.figures.get(name, "-")) for name in SHOWN),
            *("-" if one.stop is None else str(one.figures.get(name, "-")) for name in ELMF),
        ]
        for one in ones
    ]


def headings() -> list[str]:
    """The headings of SHOWN and ELMF."""
    return [grid.heading(name, []) for name in (*SHOWN, *ELMF)]


def draw_points(axis: Axes, ones: Sequence[Point], colour: str, label: str, without: str) -> None:
    """Success against WGA: a dot per stopping epoch, joined in their order; without EPIc a star."""
    wga = [one.figures["wga"] for one in ones]
    success = [one.figures["success"] for one in ones]
    x, y = ([100 * value.mean for value in values] for values in (wga, success))
    halves = [[100 * (value.half or 0) for value in values] for values in (wga, success)]
    axis.errorbar(x, y, xerr=halves[0], yerr=halves[1], color=colour, alpha=0.25, linewidth=0.8, fmt="none")
    axis.plot(x, y, color=colour, linewidth=0.8)
    axis.plot(x[1:], y[1:], "o", color=colour, markersize=4, label=label)
    axis.plot(x[:1], y[:1], "*", color=colour, markersize=12, label=without)
    for one, at_x, at_y in zip(ones[1:], x[1:], y[1:], strict=True):
        axis.annotate(f"{one.stop}", (at_x, at_y), (4, 3), textcoords="offset points", fontsize=7)


def finish(axis: Axes, attack: str) -> None:
    """Labels and legend of a panel."""
    axis.set(title=ATTACKS[attack], xlabel="WGA, %", ylabel="damage, %" if attack == "sa" else "ASR, %")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=7, loc="best")


def draw(found: Found, path: Path) -> None:
    """A panel per attack."""
    figure, axes = plt.subplots(1, len(ATTACKS), figsize=(12, 3.8))
    for axis, attack in zip(axes, ATTACKS, strict=True):
        ones = points(found, attack, "jtt", "epic", "erm")
        draw_points(axis, ones, plots.WGA, "EPIc, by its stopping epoch", "ERM")
        axis.margins(0.2)
        low, high = axis.get_ylim()
        axis.set_ylim(min(low, -1), max(high, 10))
        finish(axis, attack)
    figure.tight_layout()
    plots.save(figure, path)


def write_lines(found: Found, wanted: Sequence[tuple[str, str]], path: Path) -> None:
    """Every figure of the wanted lines as CSV."""
    lines = [found[key] for key in wanted]
    columns = list(dict.fromkeys(name for line in lines for name in line.figures))
    with path.open("w") as file, contextlib.redirect_stdout(file):
        grid.print_table(lines, "csv", columns=columns)


def main(workdir: Path, name: str) -> None:
    """Write the table, the figure and all lines."""
    found = read(workdir)
    runs = [f"{attack}_jtt_stop{stop}" for attack in ATTACKS for stop in GRID["STOPS"]["jtt"]]
    wanted = [(run, training) for run in runs for training in ("erm@clean", "erm", "epic")]
    write_lines(found, wanted, HERE / f"{name}.csv")
    body, said = [], []
    for attack, label in ATTACKS.items():
        ones = points(found, attack, "jtt", "epic", "erm")
        body += [[label, *line] for line in cells(ones, "ERM")]
        good = answers(ones, ones[0].figures["wga"])
        stops = ", ".join(map(str, good)) if good else "none"
        said.append(
            f"- {label}: stopping epochs with success at most 10% and WGA at most 5 points below ERM's: {stops}."
        )
    n = found[wanted[0]].figures["wga"].n
    text = f"{name}, test, {n} seeds, per cent, mean ± 95% interval.\n\n"
    text += markdown_table(["attack", "stop_after", *headings()], body) + "\n" + "\n".join(said) + "\n"
    write_text(HERE / f"{name}.md", text)
    draw(found, HERE / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
