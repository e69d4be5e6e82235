"""A summary as tables: for a terminal (rich), and as plain cells for Markdown and HTML."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from oilwater_jax.reporting.diagnosis import diagnose
from oilwater_jax.reporting.summary import RATES, row_label, set_label

HEADINGS = {
    "acc": "ACC",
    "acc_adjusted": "adj. ACC",
    "wga": "WGA",
    "asr": "ASR",
    "asr_untriggered": "untriggered",
    "target_damage": "damage",
    "collateral": "collateral",
    "target_acc": "ACC on F",
}


def columns(summary: dict[str, Any]) -> list[str]:
    """The headings of the result table: what is always measured, then what the attack measures."""
    rates, measures = ([HEADINGS[name] for name in names] for names in (RATES, summary["measures"]))
    return ["training", *rates, "worst group", *measures]


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
            row_label(key),
            *(per_cent(row, name) for name in RATES),
            summary["groups"][row["worst_group"]],
            *(per_cent(row, name) for name in summary["measures"]),
        ]
        for key, row in summary["rows"].items()
    ]


def share_cells(shares: dict[str, Any]) -> list[tuple[str, str]]:
    """(set, share) pairs of an IDNF or ELMF: poisons, minorities, majorities."""
    names = [name for name in shares if not name.endswith(("_std", "_seeds"))]
    return [(set_label(name), per_cent(shares, name)) for name in names]


def eliminating(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The rows in which samples may have been eliminated: those with rounds or anything gone.

    A run of version 0.2 has no such figures, and so no such rows.
    """
    return {
        key: row
        for key, row in summary["rows"].items()
        if any(row.get("rounds_seeds", ()))
        or any(share for share in row.get("elmf", {}).values() if isinstance(share, float))
    }


def share_tables(summary: dict[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """What stands below the result table: (title, (set, share) pairs) of IDNF, then of each row's ELMF."""
    found = [("IDNF (share identified, per cent)", share_cells(summary["idnf"]))] if summary["idnf"] else []
    return found + [
        (f"ELMF (share eliminated, per cent), {row_label(key)}", share_cells(row["elmf"]))
        for key, row in eliminating(summary).items()
    ]


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
    return f"{size}{summary['split']} split, per cent; {count}"


def print_summary(summary: dict[str, Any], console: Console) -> None:
    """Print the result table and the IDNF line."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns(summary):
        plain = column in ("training", "worst group")
        table.add_column(column, justify="left" if plain else "right", no_wrap=True)
    for cells in result_cells(summary):
        table.add_row(*cells)
    console.print(headline(summary), highlight=False, soft_wrap=True)
    # Never cut a figure short: in a narrow terminal the lines run on.
    whole = console.measure(table, options=console.options.update(max_width=1000)).maximum
    console.width = max(console.width, whole)
    if summary["rows"]:
        console.print(table)
    for title, cells in share_tables(summary):
        shares = "   ".join(f"{name} {share}" for name, share in cells)
        console.print(f"{title}:  {shares}", highlight=False, soft_wrap=True)
    for sentence in diagnose(summary):
        console.print(f"Diagnosis: {sentence}", highlight=False, soft_wrap=True)


def markdown(summary: dict[str, Any]) -> str:
    """The same as Markdown."""
    head = columns(summary)
    lines = [headline(summary), "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    lines += ["| " + " | ".join(cells) + " |" for cells in result_cells(summary)]
    for title, cells in share_tables(summary):
        head, shares = zip(*cells, strict=True)
        lines += ["", f"{title}:", "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        lines += ["| " + " | ".join(shares) + " |"]
    for sentence in diagnose(summary):
        lines += ["", f"Diagnosis: {sentence}"]
    return "\n".join(lines) + "\n"
