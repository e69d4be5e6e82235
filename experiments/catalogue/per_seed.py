"""A sweep's figures seed by seed: one CSV that tables and figures are made from, and means with intervals.

A line is a row of one run and seed, or, with `found:` before its name, what a method found there that only looked.
"""

import argparse
import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from oilwater_jax.files import read_json, write_text
from oilwater_jax.intervals import SHARE, SIGNED, Estimate, clopper_pearson, over_seeds
from oilwater_jax.intervals import paired as difference

Line = dict[str, Any]
RATES = ("acc", "acc_adjusted", "wga")
SETS = ("poison", "lrg_1", "lrg_2", "hrg_1", "hrg_2")
SET_LABELS = {"poison": "poisons", "lrg_1": "LRG-1", "lrg_2": "LRG-2", "hrg_1": "HRG-1", "hrg_2": "HRG-2"}
STOPPED = (
    0.1  # net success above that on the model trained on clean data, up to which an attack counts as stopped
)


def collect(workdir: Path, names: Iterable[str]) -> list[Line]:
    """The lines of those of the runs that are finished."""
    lines: list[Line] = []
    for name in names:
        if summary := read_json(workdir / "runs" / name / "summary.json"):
            lines += lines_of(name, summary)
    return lines


def lines_of(run: str, summary: Mapping[str, Any]) -> list[Line]:
    """A run's lines: for each seed what methods found, then rows."""
    found: list[Line] = []
    for at, seed in enumerate(summary["seeds"]):
        head = {"run": run, "seed": seed, "n_poison": summary["n_poison_seeds"][at]}
        for key, one in summary["found"].items():
            flagged = {f"flagged.{name}": _value(one["idnf"], name, at) for name in SETS}
            found.append({**head, "row": f"found:{key}", "label": one["label"], **flagged})
        for key, row in summary["rows"].items():
            rates = {name: _value(row, name, at) for name in (*RATES, *summary["measures"])}
            elmf = {f"elmf.{name}": _value(row["elmf"], name, at) for name in SETS}
            success = _success(rates, summary)
            epoch = {"epoch": row["selected_epoch_seeds"][at]}
            found.append(
                {**head, "row": key, "label": row["label"], **rates, "success": success, **epoch, **elmf}
            )
    return found


def _value(figures: Mapping[str, Any], name: str, at: int) -> float | None:
    return figures.get(f"{name}_seeds", [None] * (at + 1))[at]


def _success(rates: Mapping[str, float | None], summary: Mapping[str, Any]) -> float | None:
    """The attack's success, net of what it would be without the trigger."""
    first = next(iter(summary["measures"]), "")
    success, without = rates.get(first), rates.get(summary["baseline"], 0.0)
    return None if success is None or without is None else success - without


def write(path: Path, lines: Sequence[Line]) -> None:
    """The lines as CSV, fractions."""
    columns = list(dict.fromkeys(name for line in lines for name in line))

    def text(value: Any) -> str:
        return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)

    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([text(line.get(name)) for name in columns] for line in lines)
    write_text(path, file.getvalue())


def read(path: Path) -> list[Line]:
    """The lines of a CSV."""
    with path.open() as file:
        return [{name: _parsed(name, text) for name, text in line.items()} for line in csv.DictReader(file)]


def _parsed(name: str, text: str) -> Any:
    if name in ("run", "row", "label"):
        return text
    if not text:
        return None
    return int(text) if name in ("seed", "n_poison", "epoch") else float(text)


def seeds(lines: Sequence[Line]) -> str:
    """How many seeds the runs have: `Seeds: 3 of defence_dlbd, 5 of the others.`"""
    counts = {
        run: len({line["seed"] for line in lines if line["run"] == run})
        for run in {one["run"] for one in lines}
    }
    most = max(counts.values())
    less = [f"{n} of {run}" for run, n in sorted(counts.items()) if n < most]
    return f"Seeds: {', '.join([*less, f'{most} of the others' if less else str(most)])}."


def note(lines: Sequence[Line], what: str) -> str:
    """What a reader of the tables must know."""
    return (
        f"waterdigits, {what}, test, per cent; mean [Student's 95% interval] over seeds; counts with exact 95%\n"
        f"intervals. {seeds(lines)}\nSuccess is net of the untriggered rate (of label_flip: the damage). Stopped: at "
        f"most {100 * STOPPED:g} points\nabove what the trigger does to ERM trained on clean data.\n"
    )


def of(lines: Sequence[Line], run: str, row: str) -> dict[int, Line]:
    """The lines of a row of a run by seed; none where it is not there."""
    return {line["seed"]: line for line in lines if (line["run"], line["row"]) == (run, row)}


def mean(own: Mapping[int, Line], name: str) -> Estimate | None:
    """Mean and Student's 95% interval over the seeds; net success may be negative, nothing else."""
    return over_seeds([line.get(name) for line in own.values()], SIGNED if name == "success" else SHARE)


def paired(own: Mapping[int, Line], other: Mapping[int, Line], name: str) -> Estimate | None:
    """The same of the difference to another row, seed by seed."""
    both = [seed for seed in own if seed in other]
    return difference(*([one[seed][name] for seed in both] for one in (own, other)))


def share(own: Mapping[int, Line], holds: Callable[[Line], bool]) -> str:
    """In how many seeds something holds, with the exact interval of that share: `3 of 3 (29 to 100%)`."""
    k, n = sum(map(holds, own.values())), len(own)
    if not n:
        return "-"
    low, high = clopper_pearson(k, n)
    return f"{k} of {n} ({100 * low:.0f} to {100 * high:.0f}%)"


def is_stopped(line: Line, clean: Mapping[int, Line]) -> bool:
    """Whether success is at most STOPPED above what the trigger does to that seed's model trained on clean data."""
    return line["success"] <= clean[line["seed"]]["success"] + STOPPED


def stopped(own: Mapping[int, Line], clean: Mapping[int, Line]) -> str:
    """In how many seeds the attack is stopped."""
    both = {seed: line for seed, line in own.items() if seed in clean}
    return share(both, lambda line: is_stopped(line, clean))


def epochs(own: Mapping[int, Line]) -> str:
    """Which epoch's model is reported, seed by seed."""
    return ", ".join(str(line["epoch"]) for line in own.values())


def cell(one: Estimate | None, *, signed: bool = False) -> str:
    """In per cent, `-` where there is none."""
    return "-" if one is None else f"+{one}" if signed and one.mean > 0 else str(one)


def reach(ones: Sequence[Estimate]) -> tuple[list[float], list[float]]:
    """How far the intervals reach below and above their means, in per cent, for error bars; 0 where there is none."""
    below = [0.0 if one.low is None else 100 * (one.mean - one.low) for one in ones]
    return below, [0.0 if one.high is None else 100 * (one.high - one.mean) for one in ones]


def ticks(axis: Axes, values: Sequence[float]) -> None:
    """Ticks of a logarithmic axis at the values that were tried, and nowhere else."""
    axis.set_xticks(list(values), [f"{value:g}" for value in values])
    axis.minorticks_off()


def main(about: str, here: Path, runs: Iterable[str], report: Callable[[Path], None]) -> None:
    """A report's command line: of a sweep's folder, if it is given, results.csv; then the report."""
    parser = argparse.ArgumentParser(description=about.partition("\n")[0])
    parser.add_argument(
        "workdir", nargs="?", type=Path, help="the sweep's folder (default: results.csv as it is)"
    )
    parser.add_argument("--out", type=Path, default=here, help="folder of tables and figures (default: here)")
    options = parser.parse_args()
    if options.workdir is not None:
        write(here / "results.csv", collect(options.workdir, runs))
    report(options.out)
