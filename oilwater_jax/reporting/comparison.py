"""An HTML page that compares runs: figures side by side and differing settings. Needs no JAX."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from oilwater_jax.errors import UserError
from oilwater_jax.files import read_json, write_text
from oilwater_jax.reporting import glossary, grid, palette
from oilwater_jax.reporting.charts import Dots, dots
from oilwater_jax.reporting.grid import Line
from oilwater_jax.reporting.pictures import MOST_FIGURES, Figure, dot, embedded
from oilwater_jax.reporting.runs import Run, Runs, is_sweep
from oilwater_jax.reporting.summary import RATES
from oilwater_jax.reporting.tables import Cell
from oilwater_jax.reporting.templating import render
from oilwater_jax.run_folder import is_run_folder
from oilwater_jax.settings.config import flatten

PAGE = "report.html"
MOST_ROWS = 40  # runs in one panel; more are in the table alone


class Gallery(NamedTuple):
    """A figure that several runs have, side by side: its name, and each run's."""

    name: str
    pictures: list[Figure]


def out_file(given: Path | None, folders: Sequence[Path]) -> Path:
    """Where the page goes: beside a sweep's runs, or into the current folder. Raises UserError for a run's own page."""
    alone = len(folders) == 1 and is_sweep(folders[0])
    out = given or (folders[0] / "comparison.html" if alone else Path(PAGE))
    mend = "name another by --out=FILE"
    if out.is_dir():
        raise UserError(f"{out} is a folder; {mend}")
    if not out.parent.is_dir():
        raise UserError(f"the folder of --out={out} does not exist; make it, or {mend}")
    if out.name == PAGE and is_run_folder(out.parent.absolute()):
        raise UserError(f"{out} is that run's own page; {mend}")
    return out


def write_comparison(out: Path, runs: Runs) -> None:
    """Write the page of some runs; a page that is there and says the same is left as it is."""
    text = page(out, runs)
    if not out.is_file() or out.read_bytes() != text.encode():
        write_text(out, text)


def page(out: Path, runs: Runs) -> str:
    """The page's text; `out` is where it will be, for its links to the runs' own pages."""
    done = runs.done
    lines = [line for run in done for line in grid.lines_of(run.name, run.summary)]
    trained = [line for line in lines if not line.training.startswith(grid.FOUND)]
    names, seeds = columns(done), {run.name: len(run.summary["seeds"]) for run in done}
    head = ["run", "training", "seeds", *(grid.heading(name, trained) for name in names)]
    pictures, not_shown = side_by_side(done)
    return render(
        "comparison.html",
        name="Comparison of " + (f"{len(done)} runs" if len(done) > 1 else done[0].name),
        sentence=sentence(done),
        headline=headline(done),
        smoke=any(run.summary["smoke"] for run in done),
        unfinished=runs.unfinished,
        head=head,
        meanings=glossary.meanings(head),
        terms=glossary.definitions(head),
        lines=[cells(line, names, seeds[line.run]) for line in trained],
        pivots=pivots(done, trained) if len(done) > 1 else [],
        differences=differences(done),
        runs=[run.name for run in done],
        pictures=pictures,
        not_shown=not_shown,
        made=[made(run, out) for run in done],
    )


def headline(done: Sequence[Run]) -> str:
    """What the runs are of."""
    data = ", ".join(dict.fromkeys(run.config["data"]["name"] for run in done))
    attacks = ", ".join(dict.fromkeys(run.config["attack"]["name"] for run in done))
    splits = ", ".join(dict.fromkeys(run.summary["split"] for run in done))
    return f"data: {data}; attack: {attacks}; {splits} split; per cent, mean [95% interval over seeds]"


def sentence(done: Sequence[Run]) -> str:
    """The run and training with the best worst-group accuracy; empty where nothing was trained."""
    rows = [
        (row["wga"], run.name, row["label"])
        for run in done
        for key, row in run.summary["rows"].items()
        if row["wga"] is not None and not row["oracle"] and "@" not in key
    ]
    if not rows:
        return ""
    wga, run, label = max(rows, key=lambda row: row[0])
    where = f" in {run}" if len(done) > 1 else ""
    return f"Of {len(rows)} trainings, {label}{where} has the highest worst-group accuracy, {100 * wga:.1f}%."


def columns(done: Sequence[Run]) -> list[str]:
    """The figures of the table: what is always measured, then what any of the attacks measures."""
    names = dict.fromkeys(RATES)
    return list(names | dict.fromkeys(name for run in done for name in run.summary["measures"]))


def cells(line: Line, names: Sequence[str], seeds: int) -> list[Cell]:
    """A line of the table."""
    found = [line.figures.get(name) for name in names]
    return [
        Cell(line.run, line.run),
        Cell(line.label, line.label),
        Cell(str(seeds), str(seeds)),
        *(
            Cell("-", "") if one is None else Cell(grid.cell(name, one), f"{one.mean:.6f}")
            for name, one in zip(names, found, strict=True)
        ),
    ]


class Pivot(NamedTuple):
    """One figure of every training (lines) in every run (columns); a panel for each training has a row for each run."""

    title: str
    lines: list[list[str]]
    panels: list[Dots]


def pivots(done: Sequence[Run], lines: Sequence[Line]) -> list[Pivot]:
    """Worst-group accuracy and the attack's success by training and run."""
    found = []
    labels = list(dict.fromkeys(line.label for line in lines))
    for name, title, style in (
        ("wga", "worst-group accuracy, %", palette.Style(palette.BLUE, "o", ())),
        ("success", success_title(lines), palette.Style(palette.VERMILLION, "X", ())),
    ):
        if not any(name in line.figures for line in lines):
            continue
        body, panels = [], []
        for label in labels:
            by_run = {line.run: line.figures.get(name) for line in lines if line.label == label}
            texts = [str(one) if (one := by_run.get(run.name)) else "-" for run in done]
            body.append([label, *texts])
            if 1 < len(by_run) <= MOST_ROWS:
                panels.append(dots(label, style, [dot(run, one) for run, one in by_run.items()]))
        found.append(Pivot(title, body, panels))
    return found


def success_title(lines: Sequence[Line]) -> str:
    """`attack's success (ASR), %`, with the headings of all the attacks."""
    headings = (next((h for n, h in line.headings.items() if _is_success(line, n)), "") for line in lines)
    return f"attack's success ({', '.join(dict.fromkeys(filter(None, headings)))}), %"


def _is_success(line: Line, name: str) -> bool:
    return "success" in line.figures and line.figures.get(name) == line.figures["success"]


def differences(done: Sequence[Run]) -> list[list[str]]:
    """The settings in which the runs differ: the setting, then its value in each run."""
    flat = [flatten(run.config) for run in done]
    paths = dict.fromkeys(path for one in flat for path in one)
    texts = {path: [_text(one[path]) if path in one else "absent" for one in flat] for path in paths}
    return [[path, *values] for path, values in texts.items() if len(set(values)) > 1]


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def side_by_side(done: Sequence[Run]) -> tuple[list[Gallery], list[str]]:
    """The figures of the runs by name, as many as fit, and the names of the others."""
    names = dict.fromkeys(
        path.name for run in done for path in sorted((run.folder / "figures").glob("*.png"))
    )
    found, left, not_shown = [], MOST_FIGURES, []
    for name in sorted(names, key=lambda name: (name != "rates.png", name)):
        pictures = [
            one for run in done if (one := embedded(run.folder / "figures" / name, run.name)) is not None
        ]
        size = sum(len(one.uri) for one in pictures)
        if not pictures or size > left:
            not_shown.append(name)
            continue
        left -= size
        found.append(Gallery(name.removesuffix(".png").replace("_", " "), pictures))
    return found, not_shown


class Made(NamedTuple):
    """Where a run is from."""

    run: str
    link: str
    seeds: str
    size: str
    version: str
    begun: str
    key: str


def made(run: Run, out: Path) -> Made:
    """A run's provenance; `link` leads from the page to the run's own, where it has one."""
    environment: Mapping[str, Any] = read_json(run.folder / "environment.json", {}) or {}
    own = run.folder / PAGE
    link = os.path.relpath(own.resolve(), out.parent.resolve()) if own.is_file() else ""
    summary = run.summary
    poisons = sorted(set(summary["n_poison_seeds"]))
    return Made(
        run.name,
        link,
        ", ".join(map(str, summary["seeds"])),
        f"{summary['n_train'] or 0:,} samples, {' to '.join(map(str, poisons[:1] + poisons[1:][-1:])) or 0} poisons",
        str(environment.get("oilwater_jax", "-")),
        str(environment.get("started", "-")),
        summary["key"],
    )
