"""The figures of a sweep as one table: a line per run and training, mean and 95% interval over the seeds."""

import csv
import fnmatch
import math
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich import box
from rich.table import Table

from oilwater_jax.errors import UserError, plain
from oilwater_jax.files import Damaged, load_json
from oilwater_jax.intervals import SHARE, SIGNED, Estimate, of_trials, over_seeds
from oilwater_jax.reporting.summary import FOUND_ON_SETS, ON_SETS, set_label, verdict
from oilwater_jax.reporting.summary import read as read_summary
from oilwater_jax.reporting.tables import HEADINGS, markdown_table
from oilwater_jax.reporting.terminal import Screen
from oilwater_jax.settings.config import RUN_NAME
from oilwater_jax.shapes import GRID

FOUND = "found:"  # begins the name of a line that holds what a method found: found:jtt
LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "±": r"$\pm$"},
}
"""What stands for a sign that LaTeX would take for a command."""
DEFAULT = ("acc_adjusted", "wga", "success")


class Line(NamedTuple):
    """One line of the table: the run, the training, and its figures by name."""

    run: str
    training: str
    label: str
    figures: dict[str, Estimate]
    headings: dict[str, str]  # of the attack's figures


def names(workdir: Path) -> list[str]:
    """The names of a sweep's runs. Raises UserError if the folder does not belong to a sweep."""
    try:
        grid = load_json(workdir / "grid.json", GRID)
    except Damaged as damage:
        raise UserError(
            f"{workdir / 'grid.json'} is damaged ({damage}); run the same sweep again to rebuild it"
        ) from None
    if grid is None:
        raise UserError(f"{workdir} is not a sweep's folder (no grid.json); give one that sweep made")
    for name in grid["runs"]:
        if not re.fullmatch(RUN_NAME, name):
            raise UserError(
                f"{workdir / 'grid.json'} is damaged (it names the run {name[:50]!a}); run the sweep again"
            )
    return grid["runs"]


def read(workdir: Path) -> list[Line]:
    """The lines of every finished run of a sweep. Raises UserError for a folder that holds none."""
    lines = []
    for name in names(workdir):
        found = read_summary(workdir / "runs" / name)
        if found is not None and found.get("command") != "study":
            lines += lines_of(name, found)
    if not lines:
        raise UserError(f"{workdir} has no finished run yet; run the same sweep again to resume")
    return lines


def lines_of(run: str, summary: dict[str, Any]) -> list[Line]:
    """A run's lines: what methods found, then its trainings. `success` is what a verdict is taken on (net)."""
    measures = summary["measures"]
    signed = summary["signed"]
    lines = [
        Line(run, f"{FOUND}{key}", f"found by {one['label']}", _on_sets(one, FOUND_ON_SETS), measures)
        for key, one in summary["found"].items()
    ]
    success = verdict(summary)
    for key, row in summary["rows"].items():
        figures = _estimates(row, signed) | _on_sets(row, ON_SETS)
        if sum(row["trials_seeds"]):
            name = next(iter(measures))
            figures[name] = of_trials(row[f"{name}_seeds"], row["trials_seeds"])
        if success in figures:
            figures["success"] = figures[success]
        lines.append(
            Line(run, key, row["label"], figures, {**measures, "success": measures.get(success, "")})
        )
    return lines


def _on_sets(one: dict[str, Any], kinds: Iterable[str]) -> dict[str, Estimate]:
    found = {}
    for kind in kinds:
        within = (0.0, math.inf) if kind == "draws" else SHARE
        found |= {f"{kind}.{name}": each for name, each in _estimates(one.get(kind, {}), (), within).items()}
    return found


def _estimates(
    figures: dict[str, Any], signed: Iterable[str], within: tuple[float, float] = SHARE
) -> dict[str, Estimate]:
    names = [name for name in figures if f"{name}_seeds" in figures and f"{name}_std" in figures]
    found = {
        name: over_seeds(figures[f"{name}_seeds"], SIGNED if name in signed else within) for name in names
    }
    return {name: one for name, one in found.items() if one is not None}


def select(
    lines: list[Line], rows: list[str] | None, columns: list[str] | None
) -> tuple[list[Line], list[str]]:
    """The lines and columns asked for; lines without any of the columns are left out. Raises UserError."""
    known = list(dict.fromkeys(name for line in lines for name in line.figures))
    sets = {kind: [name for name in known if name.startswith(f"{kind}.")] for kind in ON_SETS}
    wanted: list[str] = []
    for name in columns or [name for name in DEFAULT if name in known] or ["idnf"]:
        wanted += sets.get(name) or [name]
    if unknown := [name for name in wanted if name not in known]:
        raise UserError(f"--columns: unknown figure {unknown[0]}; known: {', '.join(known)}")
    for pattern in rows or []:
        if not any(fnmatch.fnmatch(name_of(line), pattern) for line in lines):
            raise UserError(
                f"--rows: nothing is called {pattern}; a row is RUN/TRAINING, for example {name_of(lines[0])}"
            )
    kept = [
        line
        for line in lines
        if (rows is None or any(fnmatch.fnmatch(name_of(line), pattern) for pattern in rows))
        and any(name in line.figures for name in wanted)
    ]
    if not kept:
        raise UserError("none of the requested rows has any of the requested columns")
    return kept, wanted


def name_of(line: Line) -> str:
    """RUN/TRAINING."""
    return f"{line.run}/{line.training}"


def heading(column: str, lines: list[Line]) -> str:
    """A column's heading."""
    share, dot, name = column.partition(".")
    if dot:
        return f"{ON_SETS[share]} {set_label(name)}"
    own = (line.headings[column] for line in lines if column in line.headings)
    return HEADINGS.get(column) or next(own, column)


def cells(lines: list[Line], columns: list[str]) -> list[list[str]]:
    """The table's text, in per cent, without its head."""
    return [
        [plain(line.run), plain(line.label), *(cell(name, line.figures.get(name)) for name in columns)]
        for line in lines
    ]


def cell(column: str, one: Estimate | None) -> str:
    """An estimate in per cent; draws are a number."""
    if one is None:
        return "-"
    return one.text() if column.startswith("draws.") else str(one)


def print_table(
    lines: list[Line], form: str, *, rows: list[str] | None = None, columns: list[str] | None = None
) -> None:
    """Print as text, Markdown, LaTeX (in per cent), or CSV (fractions: mean, interval, n of each column)."""
    kept, names = select(lines, rows, columns)
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        parts = [f"{name}{part}" for name in names for part in ("", "_low", "_high", "_n")]
        writer.writerow(["run", "training", *map(no_formula, parts)])
        for line in kept:
            found = [line.figures.get(name) for name in names]
            values = [
                v
                for one in found
                for v in (("",) * 4 if one is None else (one.mean, one.low, one.high, one.n))
            ]
            writer.writerow([no_formula(line.run), no_formula(line.training), *values])
        return
    head = ["run", "training", *(plain(heading(name, kept)) for name in names)]
    body = cells(kept, names)
    if form == "md":
        print(f"{note(kept, names)}\n\n{markdown_table(head, body)}", end="")
    elif form == "latex":
        print(f"% {note(kept, names)}\n{latex(head, body)}", end="")
    else:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=note(kept, names))
        for at, name in enumerate(head):
            table.add_column(name, justify="left" if at < 2 else "right", no_wrap=True)
        for at, line in enumerate(body):
            table.add_row(*line, end_section=at + 1 < len(body) and body[at + 1][0] != line[0])
        console = Screen()
        whole = console.measure(table, options=console.options.update(max_width=1000)).maximum
        console.width = max(console.width, whole)
        console.print(table)


def note(lines: list[Line], columns: list[str]) -> str:
    """What the cells are, and of how many seeds."""
    counts = sorted({line.figures[name].n for line in lines for name in columns if name in line.figures})
    n = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    unit = "draws per epoch" if all(name.startswith("draws.") for name in columns) else "per cent"
    return f"{unit}; mean [95% interval], n = {n}"


def no_formula(text: str) -> str:
    """A cell of text that no spreadsheet takes for a formula."""
    text = plain(text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def latex(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A LaTeX tabular (booktabs)."""

    def line(parts: Sequence[str]) -> str:
        return " & ".join("".join(LATEX.get(sign, sign) for sign in part) for part in parts) + r" \\"

    columns = "ll" + "r" * (len(head) - 2)
    rows = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", line(head), r"\midrule", *map(line, body)]
    return "\n".join([*rows, r"\bottomrule", r"\end{tabular}"]) + "\n"
