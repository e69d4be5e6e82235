"""report.html of a frontier: one file to open or to send, with every setting of every row."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oilwater_jax.files import write_text
from oilwater_jax.frontier import dials, pareto, report
from oilwater_jax.frontier.points import SPLITS
from oilwater_jax.frontier.report import Point
from oilwater_jax.intervals import SHARE, Estimate, over_seeds
from oilwater_jax.reporting import glossary, palette
from oilwater_jax.reporting.charts import Cloud, Scatter, Spot, scatter
from oilwater_jax.reporting.page import about
from oilwater_jax.reporting.pictures import embedded
from oilwater_jax.reporting.tables import Cell, PageTable
from oilwater_jax.reporting.templating import render
from oilwater_jax.settings.config import Config, registry_of, to_json

PAGE = "report.html"
WITHIN = f"at most {100 * pareto.SLACK:g} points above ERM's"
TERMS = {
    "settings": "how many settings of its dials the row was trained at",
    "area": "area under the frontier: mean over all bounds on success of the best WGA within them; 1 would be best",
    "chosen": "the setting of highest WGA on validation, which asks for no knowledge of the attack",
    "at best": f"the same among the settings whose success on validation is {WITHIN}; it knows the attack",
}
SETTING, KEPT, ERM = (
    palette.Style(palette.GREY, "o", ()),
    palette.Style(palette.BLUE, "s", ()),
    palette.Style(palette.VERMILLION, "X", ()),
)
MATRIX = "WGA at best: a line per defence, a column per amplifying method"
WORDS = {"val": "validation", "test": "test"}


def write_page(
    folder: Path, result: Mapping[str, Any], config: Config, made: Sequence[Mapping[str, Any]]
) -> None:
    """Write report.html of what frontier.json holds and of the figures.

    `config` is that of the command, `made` what computed the stages (`environment.versions`), each once.
    """
    said = report.sentences(result)
    names = report.matrices(result)
    found = {name: embedded(folder / "figures" / f"{name}.png", MATRIX) for name in names}
    text = render(
        "frontier.html",
        name=folder.absolute().name,
        sentence=said[0],
        headline=headline(result),
        smoke=result["smoke"],
        both=said[1:],
        answers=answer_table(result),
        panels=panels(result),
        within=WITHIN,
        success=success_words(result),
        head=(head := point_head(result)),
        meanings=glossary.meanings(head),
        terms=glossary.definitions(head),
        points=point_lines(result),
        looked=[one for one in found.values() if one],
        not_shown=[f"{name}.png" for name, one in found.items() if one is None],
        failed=result["failed"],
        **about(to_json(config), result, registry_of(config).fields, environment(made)),
    )
    write_text(folder / PAGE, text)


def environment(made: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What computed the stages, as environment.json of a run has it."""
    first, *others = made or [{}]
    return {**first, "later": others} if others else dict(first)


def success_words(result: Mapping[str, Any]) -> str:
    """What the attack's success is measured by."""
    return result["measures"].get(result["verdict"], "success")


def headline(result: Mapping[str, Any]) -> str:
    """One line on what the figures are of."""
    rows, seeds = len(report.by_row(result)), len(result["seeds"])
    return (
        f"{result['data']}, attack {result['attack']} at {100 * result['budget']:g}%: {rows} rows, "
        f"{len(result['points'])} settings; {seeds} seed{'s' * (seeds > 1)}; success: {success_words(result)}; "
        "test, per cent, mean [95% interval]"
    )


def answer_table(result: Mapping[str, Any]) -> PageTable:
    """The table of answers, as a terminal has it."""
    head = report.HEAD
    measure = success_words(result)
    words = {**TERMS, "success": f"the attack's: {glossary.TERMS.get(measure, measure)}"}
    own = {name: words[term] for name in head if (term := name.partition(":")[0]) in words}
    terms = [*glossary.definitions(head), *words.items()]
    lines = [report.line(one) for one in report.answers(result)]
    return PageTable(head, lines, glossary.meanings(head) | own, terms)


def panels(result: Mapping[str, Any]) -> list[Scatter]:
    """A panel per row: its settings on test, those kept by validation joined, plain ERM, the room above its success.

    Plain ERM has one itself only where its settings differ.
    """
    name, rows = result["verdict"], report.by_row(result)
    success = report.means(result["points"], "test", name)
    least = min(0.0, math.floor(10 * float(np.nanmin(success, initial=0.0))) / 10)
    erm = rows.get("erm", [])[:1]
    zone = float(report.means(erm, "test", name)[0]) + pareto.SLACK if erm else None
    measured = success_words(result)
    return [
        scatter(
            points[0]["label"],
            [*clouds(points, result), Cloud("ERM", ERM, spots(erm, result))],
            x_label=f"{measured}, %",
            y_label="WGA, %",
            least=least,
            zone=None if zone is None or math.isnan(zone) else zone,
        )
        for row, points in rows.items()
        if row != "erm" or len(points) > 1
    ]


def clouds(points: Sequence[Point], result: Mapping[str, Any]) -> list[Cloud]:
    """The settings of a row that validation passes over, and those that it keeps."""
    wga, success = (report.means(points, "val", name) for name in ("wga", result["verdict"]))
    on = pareto.frontier(wga, success).tolist()
    others = [point for at, point in enumerate(points) if at not in on]
    return [
        Cloud("a setting", SETTING, spots(others, result)),
        Cloud("kept by validation", KEPT, spots([points[at] for at in on], result), joined=True),
    ]


def spots(points: Sequence[Point], result: Mapping[str, Any]) -> list[Spot]:
    """Where the points are on test; those that are undefined there are left out."""
    where = zip(*(report.means(points, "test", name) for name in (result["verdict"], "wga")), strict=True)
    return [
        Spot(float(x), float(y), spot_words(point, result))
        for point, (x, y) in zip(points, where, strict=True)
        if not math.isnan(x + y)
    ]


def spot_words(point: Point, result: Mapping[str, Any]) -> str:
    """The setting of a point and its figures on test."""
    wga, success = estimates(point, "test", result)
    return f"{point['label']}, {dials.text(point['setting'])}: WGA {wga}, success {success}"


def estimates(point: Point, split: str, result: Mapping[str, Any]) -> list[Estimate | None]:
    """WGA and success of a point on a split, None where undefined."""
    success = report.success_of(point, split, result)
    return [over_seeds(point[split]["wga"], SHARE), None if math.isnan(success.mean) else success]


def point_head(result: Mapping[str, Any]) -> list[str]:
    """The headings of the table of all settings."""
    shown = ("WGA", success_words(result))
    return ["training", "setting", *(f"{name} on {WORDS[split]}" for split in SPLITS for name in shown)]


def point_lines(result: Mapping[str, Any]) -> list[list[Cell]]:
    """Every setting of every row on both splits."""
    lines = []
    for point in result["points"]:
        setting = dials.text(point["setting"])
        found = [one for split in SPLITS for one in estimates(point, split, result)]
        cells = [Cell("-", "") if one is None else Cell(str(one), f"{one.mean:.6f}") for one in found]
        lines.append([Cell(point["label"], point["label"]), Cell(setting, setting), *cells])
    return lines
