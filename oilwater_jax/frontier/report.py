"""The report of a frontier: a table, sentences, points.csv (a line per setting, split and seed) and figures.

Two choices are reported for every row, both made on validation and evaluated once on test:
chosen   the setting of highest validation WGA, which is all that a defender without knowledge of the attack can do
at best  the setting of highest validation WGA among those whose attack succeeds at most SLACK more than against ERM; it
         knows the attack, and says whether any setting has both
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from oilwater_jax.errors import UserError
from oilwater_jax.files import Damaged, load_json, write_text
from oilwater_jax.frontier import dials, pareto
from oilwater_jax.frontier import points as points_file
from oilwater_jax.intervals import SHARE, SIGNED, Estimate, of_trials, over_seeds, paired
from oilwater_jax.reporting import plots
from oilwater_jax.reporting.tables import markdown_table
from oilwater_jax.shapes import FRONTIER

FILE = "frontier.json"
Point = Mapping[str, Any]
HEAD = (
    *("training", "settings", "area", "chosen: setting", "WGA", "success"),
    *("at best: setting", "WGA", "success", "WGA - ERM's"),
)


class Choice(NamedTuple):
    """A setting chosen on validation, with its test results."""

    point: Point
    wga: Estimate
    success: Estimate
    gain: Estimate | None  # of WGA over ERM's, seed by seed


class Answer(NamedTuple):
    """What a row can reach: chosen by WGA alone; at best, knowing the attack, None where every setting amplifies it."""

    row: str
    label: str
    settings: int
    area: float
    chosen: Choice
    at_best: Choice | None


def read(folder: Path) -> dict[str, Any] | None:
    """What a folder's frontier.json holds; None where there is none yet. Raises UserError for a damaged one."""
    file = folder / FILE
    try:
        found = load_json(file, FRONTIER, sealed=True)
        if found is not None:
            _check(found)
        return found
    except Damaged as damage:
        raise UserError(f"{file} is damaged ({damage}); run the same command again to rebuild it") from None


def _check(found: Mapping[str, Any]) -> None:
    for point in found["points"]:
        for split in points_file.SPLITS:
            own = point[split]
            if missing := [name for name in ("wga", "trials", found["verdict"]) if name not in own]:
                raise Damaged(f"{point['row'][:50]} has no {missing[0]}")
            if any(len(ones) != len(found["seeds"]) for ones in own.values()):
                raise Damaged(f"{point['row'][:50]} is not of {len(found['seeds'])} seeds")


def means(points: Sequence[Point], split: str, name: str) -> np.ndarray:
    """The mean of a figure over the seeds, NaN where it is undefined for one."""
    return np.array(
        [np.nan if None in (ones := point[split][name]) else float(np.mean(ones)) for point in points]
    )


def success_of(point: Point, split: str, result: Mapping[str, Any]) -> Estimate:
    """The attack's success, net where it has a baseline; of few targets as a count."""
    name = result["verdict"]
    ones, trials = point[split][name], point[split]["trials"]
    if sum(trials):
        return of_trials(ones, trials)
    found = over_seeds(ones, SIGNED if name in result["signed"] else SHARE)
    return found or Estimate(float("nan"), None, None, len(ones))


def by_row(result: Mapping[str, Any]) -> dict[str, list[Point]]:
    """The settings of every row, plain ERM first."""
    found: dict[str, list[Point]] = {}
    for point in result["points"]:
        found.setdefault(point["row"], []).append(point)
    return found


def choice(point: Point, erm: Point, result: Mapping[str, Any]) -> Choice:
    """A setting's test results, beside plain ERM's."""
    own = point["test"]["wga"]
    wga = over_seeds(own, SHARE) or Estimate(float("nan"), None, None, len(own))
    gain = None if point is erm else paired(own, erm["test"]["wga"])
    return Choice(point, wga, success_of(point, "test", result), gain)


def verdict(one: Choice, erm: Choice) -> tuple[bool, bool]:
    """Of a setting on test: a WGA above ERM's by the 95% interval; a success at most SLACK above ERM's by the means."""
    raised = one.gain is not None and one.gain.low is not None and one.gain.low > 0
    return raised, one.success.mean <= erm.success.mean + pareto.SLACK


def answers(result: Mapping[str, Any]) -> list[Answer]:
    """Of every row, plain ERM first, what it can reach; a row without a WGA on validation is left out."""
    rows = {
        row: points
        for row, points in by_row(result).items()
        if not np.isnan(means(points, "val", "wga")).all()
    }
    if "erm" not in rows:
        return []
    name, (erm, *_) = result["verdict"], rows["erm"]
    bound = float(means([erm], "val", name)[0]) + pareto.SLACK
    found = []
    for row, points in rows.items():
        wga, success = means(points, "val", "wga"), means(points, "val", name)
        on = pareto.frontier(wga, success)  # chosen on validation, told on test
        told = [points[at] for at in on]
        area = pareto.area(means(told, "test", "wga"), means(told, "test", name)) if told else float("nan")
        best = pareto.best_within(wga, success, bound)
        chosen = choice(points[int(np.nanargmax(wga))], erm, result)
        at_best = None if best is None else choice(points[best], erm, result)
        found.append(Answer(row, points[0]["label"], len(points), area, chosen, at_best))
    return found


def has_both(one: Answer, erm: Answer) -> bool:
    """Whether a row at best has both by `verdict`; oracles do not."""
    best = one.at_best
    return best is not None and not best.point["oracle"] and all(verdict(best, erm.chosen))


def sentences(result: Mapping[str, Any]) -> list[str]:
    """The answer in sentences: does any row have both, and at which dials?"""
    found = answers(result)
    if not found:
        return ["ERM is not finished or has no WGA on validation: nothing can be compared with it."]
    points = 100 * pareto.SLACK
    both = [one for one in found[1:] if has_both(one, found[0])]
    said = [
        f"{one.label} has both at {dials.text(one.at_best.point['setting'])}: WGA {one.at_best.wga}, "
        f"{one.at_best.gain} above ERM's, at a success of {one.at_best.success}."
        for one in sorted(both, key=lambda one: -(one.at_best.wga.mean if one.at_best else 0))
        if one.at_best
    ]
    what = f"WGA above ERM's (95% interval) and success at most {points:g} points above ERM's, on test"
    count = len(found) - 1
    return [f"{len(both)} of {count} rows have both: {what}, at a setting that validation chose.", *said]


def line(one: Answer) -> list[str]:
    """The cells of an answer, one for each of HEAD."""
    chosen, best = one.chosen, one.at_best
    row = [one.label, str(one.settings), "-" if np.isnan(one.area) else f"{one.area:.2f}"]
    row += [dials.text(chosen.point["setting"]), str(chosen.wga), str(chosen.success)]
    if best is None:
        return [*row, "none", "-", "-", "-"]
    gain = "-" if best.gain is None else str(best.gain)
    return [*row, dials.text(best.point["setting"]), str(best.wga), str(best.success), gain]


def note(result: Mapping[str, Any]) -> str:
    """What the table's cells are."""
    smoke = "SMOKE RUN (the figures mean nothing); " if result["smoke"] else ""
    seeds = len(result["seeds"])
    measure = result["measures"].get(result["verdict"], "success")
    slack = f"{100 * pareto.SLACK:g} points"
    return (
        f"{smoke}{result['data']}, {result['attack']} at {100 * result['budget']:g}%, test, per cent, mean [95% "
        f"interval], n = {seeds} seed{'s' * (seeds > 1)}; success: {measure}; chosen: highest WGA on validation; at "
        f"best: the same among settings whose success is at most {slack} above ERM's on validation; area: mean over "
        "all bounds on success of the best WGA within them"
    )


def print_result(result: Mapping[str, Any], console: Console) -> None:
    """The table, its note, the settings that failed, the plain answer."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for at, name in enumerate(HEAD):
        table.add_column(name, justify="left" if at in (0, 3, 6) else "right", no_wrap=True)
    for one in answers(result):
        table.add_row(*line(one))
    whole = console.measure(table, options=console.options.update(max_width=1000)).maximum
    console.width = max(console.width, whole)
    console.print(table)
    console.print(note(result), highlight=False, soft_wrap=True)
    for name, reason in result["failed"].items():
        console.print(f"failed: {name}: {reason}", highlight=False, markup=False, soft_wrap=True)
    for sentence in sentences(result):
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)


def markdown(result: Mapping[str, Any]) -> str:
    """The same as Markdown."""
    table = markdown_table(HEAD, [line(one) for one in answers(result)])
    said = "".join(f"- {sentence}\n" for sentence in sentences(result))
    return f"{note(result)}\n\n{table}\n{said}"


def write(workdir: Path, result: Mapping[str, Any]) -> None:
    """points.csv, frontier.md and the figures."""
    points_file.write(workdir / "points.csv", result)
    write_text(workdir / "frontier.md", markdown(result))
    if result["points"]:
        draw(workdir / "figures" / "frontier.png", result)
        for name, values in matrices(result).items():
            draw_matrix(workdir / "figures" / f"{name}.png", result, values)


def draw(path: Path, result: Mapping[str, Any]) -> None:
    """Every setting of every row on test, and of each row the line through those that validation would keep."""
    name = result["verdict"]
    rows = by_row(result)
    columns = min(4, len(rows))
    height = -(-len(rows) // columns)
    figure, axes = plt.subplots(
        height, columns, figsize=(3.2 * columns, 2.9 * height), sharex=True, sharey=True, squeeze=False
    )
    erm = rows["erm"] if "erm" in rows else list(result["points"][:1])
    at = [100 * float(means(erm, "test", what)[0]) for what in (name, "wga")]
    for axis, points in zip(axes.flat, rows.values(), strict=False):
        success, wga = (100 * means(points, "test", what) for what in (name, "wga"))
        on = pareto.frontier(means(points, "val", "wga"), means(points, "val", name))
        axis.axvspan(-100, at[0] + 100 * pareto.SLACK, color="0.93", zorder=0)
        axis.plot(success, wga, ".", color="0.6", label="a setting")
        axis.plot(success[on], wga[on], "o-", color=plots.WGA, label="kept by validation")
        axis.plot(*at, "kx", label="ERM")
        axis.set_title(points[0]["label"], fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    shown = [one for point in result["points"] for one in (means([point], "test", name)[0],)]
    low = min(0.0, float(np.nanmin(shown, initial=0.0)))
    axes[0][0].set(xlim=(100 * low - 5, 105), ylim=(0, 102))
    for axis in axes.flat[len(rows) :]:
        axis.set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel(f"{result['measures'].get(name, name)}, %")
    for axis in axes[:, 0]:
        axis.set_ylabel("WGA, %")
    axes[0][0].legend(frameon=False, fontsize=7)
    figure.tight_layout()
    plots.save(figure, path)


def split_row(point: Point) -> tuple[str, str] | None:
    """The defending and the amplifying part of a row's expression, `-` for a part that is not there.

    A defence has its `/` or `+` behind it; one that is alone stands where nothing comes after it: `epic /`, `-`. None
    for a row that is no such pair: with a mode, on clean data, or of more methods than one for each part.
    """
    row, names = point["row"], point["methods"]
    if any(sign in row for sign in "@:"):
        return None
    defending = [name for name, aim in names.items() if aim != "amplify" and name != "erm"]
    amplifying = [name for name, aim in names.items() if aim == "amplify"]
    if len(defending) > 1 or len(amplifying) > 1:
        return None
    join = "+" if "+" in row else "/"
    return f"{defending[0]} {join}" if defending else "-", amplifying[0] if amplifying else "-"


def matrices(result: Mapping[str, Any]) -> dict[str, dict[tuple[str, str], Answer]]:
    """Answers by defence and amplifying method, where there are two of each at least."""
    cells: dict[tuple[str, str], Answer] = {}
    for one in answers(result):
        if parts := split_row(one.chosen.point):
            cells[parts] = one
    defences, methods = ({parts[at] for parts in cells} for at in (0, 1))
    return {"matrix": cells} if len(defences) > 2 and len(methods) > 2 else {}


def draw_matrix(path: Path, result: Mapping[str, Any], cells: Mapping[tuple[str, str], Answer]) -> None:
    """A heat map: WGA at best without amplifying the attack, a line per defence, a column per amplifying method.

    A star marks what has both on test (`has_both`).
    """
    defences = list(dict.fromkeys(defence for defence, _ in cells))
    methods = list(dict.fromkeys(method for _, method in cells))
    values = np.full((len(defences), len(methods)), np.nan)
    figure, axis = plt.subplots(figsize=(1.5 + 0.75 * len(methods), 1.6 + 0.36 * len(defences)))
    for (defence, method), one in cells.items():
        if one.at_best is not None:
            values[defences.index(defence), methods.index(method)] = 100 * one.at_best.wga.mean
    erm = next(one for one in cells.values() if one.row == "erm")
    image = axis.imshow(values, vmin=0, vmax=100, cmap="viridis", aspect="auto")
    for (defence, method), one in cells.items():
        at = methods.index(method), defences.index(defence)
        value = values[at[1], at[0]]
        text, colour = (
            ("none", "0.4") if np.isnan(value) else (f"{value:.0f}", "black" if value > 60 else "white")
        )
        text += "*" * has_both(one, erm)
        axis.text(*at, text, ha="center", va="center", fontsize=7, color=colour)
    words = {"/": ", then", "+": ", with"}
    columns = ["none" if name == "-" else name for name in methods]
    heads = ["none" if name == "-" else name[:-2] + words[name[-1]] for name in defences]
    axis.set_xticks(range(len(methods)), columns, rotation=60, ha="right", fontsize=8)
    axis.set_yticks(range(len(defences)), heads, fontsize=8)
    axis.set(xlabel="amplifies", ylabel="defends")
    figure.colorbar(
        image, label=f"best WGA at success at most ERM's + {100 * pareto.SLACK:g} points, %; *: has both"
    )
    figure.tight_layout()
    plots.save(figure, path)
