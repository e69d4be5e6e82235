"""A summary as tables: for a terminal (rich), and as plain cells for Markdown and HTML."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from oilwater_jax.errors import plain
from oilwater_jax.reporting.diagnosis import diagnose
from oilwater_jax.reporting.summary import RATES, set_label

HEADINGS = {
    "acc": "ACC",
    "acc_adjusted": "adj. ACC",
    "wga": "WGA",
    "acc_worst_class": "worst class",
    "acc_balanced": "balanced ACC",
    "f1_worst": "worst F1",
    "ece": "ECE",
}


def columns(summary: dict[str, Any]) -> list[str]:
    """The headings of the result table: what is always measured, then what the attack measures."""
    return ["training", *(HEADINGS[name] for name in RATES), "worst group", *summary["measures"].values()]


def per_cent(figures: dict[str, Any], name: str) -> str:
    """`87.3 ± 1.2`: mean and standard deviation in per cent; `-` if undefined."""
    if figures.get(name) is None:
        return "-"
    text = f"{100 * figures[name]:.1f}"
    std = figures.get(f"{name}_std")
    return text if std is None else f"{text} ± {100 * std:.1f}"


def result_cells(summary: dict[str, Any]) -> list[list[str]]:
    """The rows of the result table, one cell for each of `columns`."""
    return [
        [
            row["label"],
            *(per_cent(row, name) for name in RATES),
            summary["groups"][row["worst_group"]],
            *(per_cent(row, name) for name in summary["measures"]),
        ]
        for row in summary["rows"].values()
    ]


def sets_of(figures: dict[str, Any]) -> list[str]:
    """The sets that a figure is of: poisons, minorities, majorities."""
    return [name for name in figures if not name.endswith(("_std", "_seeds"))]


class PageTable(NamedTuple):
    """A table of a page, of plain text: headings, lines, the headings' meanings, and the terms to explain beneath."""

    head: Sequence[str]
    lines: Sequence[Sequence[str]]
    meanings: Mapping[str, str]
    terms: Sequence[tuple[str, str]]
    title: str = ""


class Cell(NamedTuple):
    """A cell of a table that can be sorted: its text, and what it is sorted by (empty: it has none)."""

    text: str
    value: str


class OnSets(NamedTuple):
    """A table below the result table: title, the sets as headings, a line for each method or row."""

    title: str
    head: list[str]
    lines: list[list[str]]


def set_tables(summary: dict[str, Any]) -> list[OnSets]:
    """What methods found (IDNF), what rows eliminated (ELMF), and draws per epoch of each set."""
    rows = summary["rows"]
    found = {one["label"]: one["idnf"] for one in summary["found"].values()}
    beyond = {
        one["label"]: one["idnf_class"]
        for one in summary["found"].values()
        if one["idnf_class"] != one["idnf"]
    }
    elmf = {
        row["label"]: row["elmf"] for row in rows.values() if any(row["rounds_seeds"]) or _any(row["elmf"])
    }
    draws = {row["label"]: row["draws"] for row in rows.values() if _uneven(row["draws"])}
    tables = []
    for title, figures, show in (
        ("IDNF: share that a method finds, per cent", found, per_cent),
        ("IDNF within class: the same without classes that are found whole", beyond, per_cent),
        ("ELMF: share eliminated, per cent", elmf, per_cent),
        ("draws per epoch of a sample (1: as in plain training)", draws, number),
    ):
        if figures:
            names = list(dict.fromkeys(name for one in figures.values() for name in sets_of(one)))
            lines = [[label, *(show(one, name) for name in names)] for label, one in figures.items()]
            tables.append(OnSets(title, ["", *map(set_label, names)], lines))
    return tables


def _any(shares: dict[str, Any]) -> bool:
    return any(shares[name] for name in sets_of(shares))


def _uneven(draws: dict[str, Any]) -> bool:
    return any(draws[name] is not None and abs(draws[name] - 1) > 1e-9 for name in sets_of(draws))


def number(figures: dict[str, Any], name: str) -> str:
    """`12.3 ± 0.4`: mean and standard deviation; `-` if undefined."""
    if figures.get(name) is None:
        return "-"
    std = figures.get(f"{name}_std")
    return f"{figures[name]:.2f}" + ("" if std is None else f" ± {std:.2f}")


def headline(summary: dict[str, Any]) -> str:
    """One line on what the figures are of."""
    seeds = summary["seeds"]
    count = "1 seed" if len(seeds) == 1 else f"{len(seeds)} seeds, mean ± standard deviation"
    n, poisons = summary["n_train"], sorted(summary["n_poison_seeds"])
    if not poisons or not poisons[-1]:
        share = "no poisons"
    elif poisons[0] == poisons[-1]:
        share = f"{poisons[0]} poisons ({100 * poisons[0] / n:.2f}%)"
    else:
        low, high = (100 * count / n for count in (poisons[0], poisons[-1]))
        share = f"{poisons[0]} to {poisons[-1]} poisons ({low:.2f} to {high:.2f}%)"
    size = f"{n:,} training samples, {share}; " if n else ""
    smoke = "SMOKE RUN (a few samples, a few epochs: the figures mean nothing); " if summary["smoke"] else ""
    return f"{smoke}{size}{summary['split']} split, per cent; {count}"


def print_summary(summary: dict[str, Any], console: Console) -> None:
    """Print the result table, and below it what is known of each set of training samples."""
    tables = []
    if summary["rows"]:
        tables.append(("", _table(columns(summary), result_cells(summary), ("training", "worst group"))))
    tables += [(title, _table(head, lines, ("",))) for title, head, lines in set_tables(summary)]
    console.print(headline(summary), highlight=False, soft_wrap=True)
    # Never cut a figure short: in a narrow terminal the lines run on.
    wide = console.options.update(max_width=1000)
    console.width = max(
        [console.width, *(console.measure(table, options=wide).maximum for _, table in tables)]
    )
    for title, table in tables:
        if title:
            console.print(title, highlight=False, soft_wrap=True)
        console.print(table)
    for sentence in diagnose(summary):
        console.print(f"Diagnosis: {sentence}", highlight=False, soft_wrap=True)


def _table(head: list[str], lines: list[list[str]], left: tuple[str, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in head:
        table.add_column(column, justify="left" if column in left else "right", no_wrap=True)
    for cells in lines:
        table.add_row(*cells)
    return table


def markdown(summary: dict[str, Any]) -> str:
    """The same as Markdown."""
    parts = [headline(summary), markdown_table(columns(summary), result_cells(summary))]
    for title, head, lines in set_tables(summary):
        parts += [f"{title}:", markdown_table(head, lines)]
    parts += [f"Diagnosis: {sentence}" for sentence in diagnose(summary)]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def markdown_table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    escaped = ([plain(cell).replace("|", r"\|") for cell in line] for line in (head, *body))
    lines = ["| " + " | ".join(line) + " |" for line in escaped]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]]) + "\n"
