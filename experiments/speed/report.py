"""What `side_by_side.py` writes: a table in Markdown, and everything as CSV."""

import csv
import os
import platform
import statistics
from importlib.metadata import version
from pathlib import Path

from scaling import Point
from turns import Row
from whole_run import Job

OVERHEAD = 0.4  # of the main job over its floor, at most
HELP = 2.0  # seconds


def machine() -> str:
    """The processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor()
    return f"{name} ({platform.machine()})"


def text(
    rows: list[Row],
    jobs: list[Job],
    helps: list[float],
    points: list[Point],
    slopes: dict[str, float],
    *,
    load: float,
    repeats: int,
) -> str:
    """All results with their targets."""
    cores = len(os.sched_getaffinity(0))
    lines = [
        "# Speed, side by side",
        "",
        f"{cores} cores and threads of {machine()}, Python {platform.python_version()}, jax {version('jax')}, "
        f"PyTorch {version('torch')}; load average when begun {load:.1f} (above 0.5 others were using the machine, "
        f"and seconds are too many on both sides). Medians of {repeats} turns; a ratio is the median of the turns' "
        "ratios of our seconds to the other side's. Command: `python experiments/speed/side_by_side.py --source=DIR`.",
        "",
        "| | what | who | seconds | lowest | ours / this | target |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        target = "" if row.target is None else f"{row.target:g}"
        lines.append(
            f"| {row.part} | {row.what} | {row.who} | {row.seconds:.4g} | {row.lowest:.4g} | {ratio} | {target} |"
        )
    if jobs:
        lines += ["", *_main_job(jobs)]
    if helps:
        lines += ["", f"(f) `oilwater --help`: {statistics.median(helps):.2f} s (target: under {HELP:g} s)."]
    if points:
        lines += ["", *_scaling(points, slopes)]
    return "\n".join([*lines, ""])


def _main_job(jobs: list[Job]) -> list[str]:
    middle = Job(*(statistics.median(values) for values in zip(*jobs, strict=True)))
    overhead = statistics.median(job.total / job.floor - 1 for job in jobs)
    return [
        f"(e) The main job, from process start to exit with its table printed, all programs compiled before: "
        f"{middle.total:.1f} s (median of {len(jobs)}). Its floor, {middle.steps:,.0f} training steps at the speed of "
        f"the bare jitted step measured between the runs: {middle.floor:.1f} s. Overhead {100 * overhead:.0f}% "
        f"(target: at most {100 * OVERHEAD:.0f}%).",
        "",
        "| where its seconds go | s |",
        "|---|---|",
        f"| training steps, at the floor | {middle.floor:.1f} |",
        f"| epochs beyond that: driving, validation | {middle.epochs - middle.floor:.1f} |",
        f"| imports, config, data, exit | {middle.start:.1f} |",
        f"| compiled programs, checkpoints, scores, stages | {middle.rest:.1f} |",
        f"| figures and page | {middle.report:.1f} |",
    ]


def _scaling(points: list[Point], slopes: dict[str, float]) -> list[str]:
    lines = [
        "(g) Gradient norms of all parameters: seconds grow as "
        + ", ".join(f"{name} to the power of {slope:.2f}" for name, slope in slopes.items())
        + " (least squares over all points; fixed costs flatten the small ends).",
        "",
        "| varied | n | widths | parameters | samples at once | seconds | peak MB | of which before |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in points:
        lines.append(
            f"| {one.series} | {one.n:,} | {', '.join(map(str, one.widths))} | {one.parameters:,} | {one.chunk:,} "
            f"| {one.seconds:.4g} | {one.peak_mb:.0f} | {one.before_mb:.0f} |"
        )
    return [*lines, "", "![cost against size](side_by_side.png)"]


def write_csv(path: Path, rows: list[Row], jobs: list[Job], helps: list[float], points: list[Point]) -> None:
    """One line per measurement."""
    lines: list[dict[str, object]] = [row._asdict() for row in rows]
    lines += [{"part": "e", "what": "main job", **job._asdict()} for job in jobs]
    lines += [{"part": "f", "what": "oilwater --help", "seconds": seconds} for seconds in helps]
    lines += [{"part": "g", "what": "gradient norms", **one._asdict()} for one in points]
    names = dict.fromkeys(name for line in lines for name in line)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(names), restval="", lineterminator="\n")
        writer.writeheader()
        for line in lines:
            writer.writerow({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in line.items()})
