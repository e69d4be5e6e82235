"""Tables and figures of README.md from the committed values: headline.csv, budget_*.csv, dlbd.csv, ...

python experiments/frontiers/report.py

Writes NAME.md of every frontier, headline_table.md, last_epoch.md, budgets.md, sets.md and figures beside this file, of
the csv files that are there.
"""

import argparse
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from oilwater_jax import Config
from oilwater_jax.files import write_text
from oilwater_jax.frontier import points
from oilwater_jax.frontier import report as frontier
from oilwater_jax.frontier.points import Line
from oilwater_jax.frontier.run import about, of_row
from oilwater_jax.intervals import SHARE, Estimate, over_seeds, paired
from oilwater_jax.reporting import plots
from oilwater_jax.reporting.tables import markdown_table
from oilwater_jax.rows import parse
from oilwater_jax.settings.config import registry_of

HERE = Path(__file__).parent
RUN = runpy.run_path(str(HERE / "run.py"))
LABELS = {
    **{"erm": "ERM", "erm@clean": "ERM on clean data", "jtt": "JTT", "jtt:ideal": "JTT ideal"},
    **{"george": "GEORGE", "george:ideal": "GEORGE ideal", "epic": "EPIc", "epic:ideal": "EPIc ideal"},
    **{"epic+jtt": "EPIc + JTT", "epic/jtt": "EPIc, then JTT", "epic/george": "EPIc, then GEORGE"},
}
SETS = ("poison", "lrg_1", "lrg_2", "hrg_1", "hrg_2")


def read(name: str, folder: Path = HERE) -> list[Line]:
    """The settings of a frontier, from its csv file; none where there is none."""
    file = folder / f"{name}.csv"
    return points.read(file) if file.exists() else []


def result(name: str) -> dict[str, Any]:
    """What frontier.json held, from the csv file."""
    return rebuilt(read(name), RUN["config_of"](name))


def rebuilt(lines: Sequence[Line], config: Config) -> dict[str, Any]:
    """What a frontier's frontier.json held, from the lines of its csv file."""
    settings: dict[tuple[str, str], dict[str, Any]] = {}
    for line in lines:
        dialled = {path: float(value) for path, value in line.dials.items()}
        point = {**of_row(parse(line.row, registry_of(config)), config), "setting": dialled}
        settings.setdefault((line.row, line.setting), point)[line.split] = {
            **line.figures,
            "trials": [int(one or 0) for one in line.figures["trials"]],
        }
    return {**about(config, lines[0].seeds), "points": list(settings.values()), "failed": {}}


def one(lines: Sequence[Line], row: str, split: str = "test", **setting: str) -> Line | None:
    """The line of a row at a setting: its dials' values as text, by the last part of their names."""
    for line in lines:
        parts = _parts(line)
        if (line.row, line.split) == (row, split) and all(parts.get(k) == v for k, v in setting.items()):
            return line
    return None


def text(estimate: Estimate | None) -> str:
    """A cell."""
    return "-" if estimate is None else str(estimate)


def chosen(lines: Sequence[Line], row: str) -> Line | None:
    """The setting of a row with the highest validation WGA; its line on test."""
    own = [line for line in lines if line.row == row and line.split == "val"]
    if not own:
        return None
    best = max(own, key=lambda line: line.mean("wga"))
    return next(line for line in lines if line[:3] == (row, best.setting, "test"))


def headline(lines: Sequence[Line]) -> str:
    """ERM, JTT as validation chooses it, the dial, and the same on the right samples only."""
    erm = one(lines, "erm")
    if erm is None:
        return ""
    picked = {row: chosen(lines, row) for row in ("jtt", "jtt:ideal")}
    wanted = [("ERM on clean data", one(lines, "erm@clean")), ("ERM", erm)]
    wanted += [(f"{LABELS[row]}, chosen ({line.setting})", line) for row, line in picked.items() if line]
    for row in ("jtt", "jtt:ideal"):
        for lambda_up in ("3", "5", "10", "20", "50"):
            line = one(lines, row, lambda_up=lambda_up, epochs="4")
            wanted.append((f"{LABELS[row]}, lambda_up {lambda_up}, T 4", line))
    body = []
    for label, line in wanted:
        if line is None:
            continue
        val = one(lines, line.row, "val", **_parts(line))
        body.append(
            [
                label,
                *(text(line.of(name)) for name in ("wga", "net", "asr", "asr_untriggered", "acc_adjusted")),
                "-" if line.row.startswith("erm") else text(paired(line.figures["wga"], erm.figures["wga"])),
                "-" if line.row.startswith("erm") else text(paired(line.figures["net"], erm.figures["net"])),
                "-" if val is None else f"{100 * val.mean('wga'):.1f}",
            ]
        )
    rows = {row: [line for line in lines if (line.row, line.split) == (row, "test")] for row in picked}
    ranges = [
        f"- {LABELS[row]}, all {len(own)} settings, means: WGA {_range(own, 'wga')}, net ASR {_range(own, 'net')}; "
        f"at most {max(100 * abs(line.mean('net') - erm.mean('net')) for line in own):.1f} points from ERM's "
        "net ASR\n"
        for row, own in rows.items()
    ]
    head = (
        "training",
        "WGA",
        "net ASR",
        "ASR",
        "untriggered",
        "adj. ACC",
        "WGA - ERM's",
        "net - ERM's",
        "val WGA",
    )
    return note(erm, "DLBD at 1%") + markdown_table(head, body) + "\n" + "".join(ranges)


def _range(lines: Sequence[Line], name: str) -> str:
    values = [100 * line.mean(name) for line in lines]
    return f"{min(values):.1f} to {max(values):.1f}"


def at_the_end(lines: Sequence[Line], best: Sequence[Line]) -> str:
    """The dial where the last epoch is reported, beside the epoch of highest validation WGA."""
    body = []
    for row in ("jtt", "jtt:ideal"):
        for lambda_up in ("3", "10", "20", "50"):
            ones = [one(found, row, lambda_up=lambda_up, epochs="4") for found in (lines, best)]
            cells = [text(line.of(name)) if line else "-" for name in ("wga", "net") for line in ones]
            body.append([LABELS[row], lambda_up, *cells])
    erm = [one(found, "erm") for found in (lines, best)]
    body.insert(0, ["ERM", "-", *(text(x.of(name)) if x else "-" for name in ("wga", "net") for x in erm)])
    head = (
        "training",
        "lambda_up",
        "WGA, last epoch",
        "best on validation",
        "net ASR, last epoch",
        "best on validation",
    )
    return note(lines[0], "DLBD at 1%, T = 4") + markdown_table(head, body)


def _parts(line: Line) -> dict[str, str]:
    return {path.rpartition(".")[2]: value for path, value in line.dials.items()}


def note(line: Line, what: str) -> str:
    """What a table is of."""
    n = len(line.figures["wga"])
    return f"waterdigits, {what}, test, per cent, mean [95% interval], n = {n} seeds\n\n"


def sets(lines: Sequence[Line], what: str) -> str:
    """Whom each row draws above once, above its class's mean, and not at all, at the setting that validation chose."""
    rows = dict.fromkeys(line.row for line in lines)
    body = []
    for row in rows:
        line = chosen(lines, row)
        assert line is not None
        for kind, label in (
            ("idnf", "drawn above once (IDNF)"),
            ("idnf_class", "above its class's mean"),
            ("elmf", "eliminated (ELMF)"),
            ("draws", "draws per epoch"),
        ):
            within = (0.0, float("inf")) if kind == "draws" else SHARE
            ones = [line.figures.get(f"{kind}.{name}") for name in SETS]
            known = [over_seeds(each, within) if each else None for each in ones]
            flat = 1.0 if kind == "draws" else 0.0
            if all(each is None or abs(each.mean - flat) < 1e-9 for each in known):
                continue
            if kind == "idnf_class" and not row.startswith("george"):
                continue  # where whole classes are not drawn above once it says no more than IDNF
            cells = ["-" if each is None else each.text() if kind == "draws" else str(each) for each in known]
            body.append([LABELS.get(row, row), label, *cells])
    head = (
        "training",
        "share",
        *(name.replace("_", "-").upper() if name != "poison" else "poisons" for name in SETS),
    )
    return note(lines[0], what) + markdown_table(head, body)


CURVES = {
    "ERM": ("erm", {}, "kx-"),
    "JTT, lambda_up 3": ("jtt", {"lambda_up": "3"}, "o:"),
    "JTT, lambda_up 10": ("jtt", {"lambda_up": "10"}, "s--"),
    "JTT, lambda_up 50": ("jtt", {"lambda_up": "50"}, "^-"),
    "GEORGE": ("george", {}, "D-."),
    "EPIc": ("epic", {}, "v--"),
    "EPIc + JTT, lambda_up 10": ("epic+jtt", {"lambda_up": "10"}, "P-"),
}


def budgets(found: dict[float, list[Line]]) -> str:
    """Every curve at every budget."""
    body = [
        [
            f"{100 * budget:g}%",
            label,
            *(text(line.of(name)) for name in ("wga", "net", "asr", "asr_untriggered")),
        ]
        for budget, lines in found.items()
        for label, (row, setting, _) in CURVES.items()
        if (line := one(lines, row, **setting))
    ]
    first = next(iter(found.values()))[0]
    head = ("budget", "training", "WGA", "net ASR", "ASR", "untriggered")
    return note(first, "DLBD") + markdown_table(head, body)


def draw(found: dict[float, list[Line]], path: Path) -> None:
    """Net success and WGA against the budget."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), sharex=True)
    for axis, name, label in zip(axes, ("net", "wga"), ("net ASR, %", "WGA, %"), strict=True):
        for curve, (row, setting, style) in CURVES.items():
            own = [(100 * b, one(lines, row, **setting)) for b, lines in found.items()]
            known = [(b, line) for b, line in own if line]
            axis.plot([b for b, _ in known], [100 * line.mean(name) for _, line in known], style, label=curve)
        axis.set(xscale="log", xlabel="poisons, % of the training samples", ylabel=label, ylim=(-5, 102))
        axis.set_xticks([100 * b for b in found], [f"{100 * b:g}" for b in found])
        axis.minorticks_off()
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.tight_layout()
    plots.save(figure, path)


def draw_dial(lines: Sequence[Line], others: Sequence[Line], path: Path) -> None:
    """The picture of README's first screen: JTT's dial, the same without the poisons, and EPIc before it."""
    figure, axis = plt.subplots(figsize=(6.4, 3.8))
    erm = one(lines, "erm")
    assert erm is not None
    axis.plot(100 * erm.mean("net"), 100 * erm.mean("wga"), "kx", markersize=9, label="ERM (plain training)")
    for row, style, label, dials in (
        ("jtt", "o-", "JTT, lambda_up 3 to 50", ("3", "5", "10", "20", "50")),
        ("jtt:ideal", "^--", "JTT on what it found, without the poisons", ("3", "5", "10", "20", "50")),
    ):
        own = [line for value in dials if (line := one(lines, row, lambda_up=value, epochs="4"))]
        colour = plots.WGA if row == "jtt:ideal" else plots.ASR
        axis.plot(
            *([100 * line.mean(name) for line in own] for name in ("net", "wga")),
            style,
            color=colour,
            label=label,
        )
        if row == "jtt":
            for line, value in zip(own, dials, strict=False):
                at = 100 * line.mean("net"), 100 * line.mean("wga")
                axis.annotate(value, at, (4, 5), textcoords="offset points", fontsize=8)
    both = [one(others, "epic/jtt", lambda_up=value, stop_after="3") for value in ("3", "10", "50")]
    known = [line for line in both if line]
    axis.plot(
        *([100 * line.mean(name) for line in known] for name in ("net", "wga")),
        "s:",
        color="0.4",
        label="EPIc, then JTT",
    )
    bar = 100 * (erm.mean("net") + 0.05)
    axis.axvspan(-10, bar, color="0.93", zorder=0, label="attack not amplified (ERM + 5 points)")
    axis.set(xlabel="attack success, net of the untriggered rate, %", ylabel="worst-group accuracy, %")
    axis.set(xlim=(-2, 100), ylim=(50, 100))
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8, loc="lower right")
    figure.tight_layout()
    plots.save(figure, path)


def report(out: Path = HERE) -> None:
    """Write all that there are values for."""
    for name in RUN["FRONTIERS"]:
        if read(name):
            write_text(out / f"{name}.md", frontier.markdown(result(name)))
    if lines := read("headline"):
        write_text(out / "headline_table.md", headline(lines))
        draw_dial(lines, read("dlbd"), out / "dial.png")
    if last := read("headline_last"):
        write_text(out / "last_epoch.md", at_the_end(last, read("headline")))
    parts = [
        sets(lines, what) for name, what in (("dlbd", "DLBD at 1%"), ("sa", "SA")) if (lines := read(name))
    ]
    if parts:
        write_text(out / "sets.md", "\n".join(parts))
    if (HERE / "gm.csv").exists():
        gm = runpy.run_path(str(HERE / "gm.py"))
        write_text(out / "gm.md", gm["table"](gm["read_csv"]()))
    found = {b: lines for b in RUN["BUDGETS"] if (lines := read(f"budget_{b:g}"))}
    if found:
        write_text(out / "budgets.md", budgets(found))
        draw(found, out / "budgets.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Tables and figures from the committed values.")
    parser.add_argument("--out", type=Path, default=HERE)
    report(parser.parse_args().out)
