"""How long EPIc's selection takes and how much memory, beside submodlib's, in one run.

    pip install -e '.[bench]'
    python experiments/speed/epic.py

Writes epic.md, epic.csv and epic.png beside this file; about 10 minutes on 2 cores. Every measurement is a process
of its own (the parent measures nothing), so that its peak memory is its own; the first call, which compiles, is
reported apart from the median of the five that follow.
"""

import argparse
import csv
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
REPEATS = 5
CELEBA = (138_503, 24_267)  # its two classes


def gradients(n: int, c: int) -> np.ndarray:
    """Gradients softmax - onehot of one class in a half-trained network: most samples learned, some not at all."""
    rng = np.random.default_rng(0)
    logits = 1.5 * rng.standard_normal((n, c))
    logits[:, 0] += 2.0
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    points = shifted / shifted.sum(axis=1, keepdims=True)
    points[:, 0] = -points[:, 1:].sum(axis=1)
    return points


def ours(sizes: tuple[int, ...], c: int, ratio: float) -> Callable[[], dict[str, float]]:
    """The package's selection, one class after the other."""
    from oilwater_jax.defenses.facility_location import select

    problems = [gradients(n, c) for n in sizes]

    def run() -> dict[str, float]:
        began = time.perf_counter()
        for points in problems:
            select(points, int(ratio * len(points)), scale=float(c))
        return {"seconds": time.perf_counter() - began}

    return run


def submodlib(sizes: tuple[int, ...], c: int, ratio: float) -> Callable[[], dict[str, float]]:
    """submodlib's: its own dense kernel (which for euclidean is exp(-distance / c)), LazyGreedy, assignment."""
    from submodlib import FacilityLocationFunction  # pyright: ignore[reportMissingImports]

    problems = [gradients(n, c) for n in sizes]

    def run() -> dict[str, float]:
        similarity = greedy = 0.0
        for points in problems:
            began = time.perf_counter()
            function = FacilityLocationFunction(n=len(points), mode="dense", data=points, metric="euclidean")
            made = time.perf_counter()
            picks = function.maximize(
                int(ratio * len(points)),
                optimizer="LazyGreedy",
                stopIfZeroGain=False,
                stopIfNegativeGain=False,
                show_progress=False,
            )
            np.argmax(np.asarray(function.sijs)[:, [row for row, _ in picks]], axis=1)
            similarity += made - began
            greedy += time.perf_counter() - made
        return {"seconds": similarity + greedy, "greedy_seconds": greedy}

    return run


def megabytes() -> float:
    """The process's peak resident memory so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if platform.system() == "Darwin" else 1e3)


def child(who: str, sizes: tuple[int, ...], c: int, ratio: float, repeats: int) -> None:
    """Measure one case and print it as a line of JSON."""
    run = {"ours": ours, "submodlib": submodlib}[who](sizes, c, ratio)
    before = megabytes()
    first = run()["seconds"]
    results = [run() for _ in range(repeats)]
    medians = {name: statistics.median(result[name] for result in results) for name in results[0]}
    print(json.dumps({**medians, "first_seconds": first, "peak_mb": megabytes(), "imports_mb": before}))


def measure(
    case: str, who: str, sizes: tuple[int, ...], c: int, ratio: float, repeats: int = REPEATS
) -> dict[str, Any]:
    """One case in a process of its own."""
    command = [sys.executable, __file__, "--child", who, *map(str, sizes), f"--classes={c}"]
    command += [f"--ratio={ratio}", f"--repeats={repeats}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{case}, {who}: {done.stderr.strip()[-2000:]}")
    row = {"case": case, "who": who, "n": sum(sizes), "c": c, "ratio": ratio}
    row |= json.loads(done.stdout.splitlines()[-1])
    print(f"{case}, {who}, n = {row['n']:,}: {row['seconds']:.3g} s, {row['peak_mb']:.0f} MB", flush=True)
    return row


def slope(rows: list[dict[str, Any]]) -> float:
    """The exponent p of time ~ n^p, by least squares over the larger half of the sizes."""
    rows = sorted(rows, key=lambda row: row["n"])[len(rows) // 2 :]
    n, seconds = (np.log([row[name] for row in rows]) for name in ("n", "seconds"))
    return float(np.polyfit(n, seconds, 1)[0])


def plot(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Time against n, log-log; returns each curve's slope."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 4))
    slopes = {}
    for case in dict.fromkeys(row["case"] for row in rows):
        own = [row for row in rows if row["case"] == case]
        slopes[case] = slope(own)
        label = f"{case}: slope {slopes[case]:.2f}"
        axis.loglog([row["n"] for row in own], [row["seconds"] for row in own], marker="o", label=label)
    axis.set_xlabel("points n (ratio 0.1)")
    axis.set_ylabel("seconds (median of 5)")
    axis.grid(alpha=0.3)
    axis.legend()
    figure.tight_layout()
    figure.savefig(HERE / "epic.png", dpi=150)
    return slopes


def report(rows: list[dict[str, Any]], slopes: dict[str, float], load: float) -> str:
    """The table in words and Markdown, with each target beside what was measured."""
    by = {(row["case"], row["who"]): row for row in rows}
    lines = [
        "# Speed of EPIc's selection",
        "",
        f"Medians of {REPEATS} after the first call, {len(os.sched_getaffinity(0))} of {os.cpu_count()} cores, "
        f"{platform.machine()}, Python {platform.python_version()}; load average when begun {load:.1f} (above 0.5 "
        "others were using the machine, and seconds are too many on both sides). Peak memory is the whole "
        "process's, imports and data included. submodlib is submodlib-py (C++), dense, euclidean, LazyGreedy; its "
        "time includes the similarity matrix. Command: `python experiments/speed/epic.py`.",
        "",
        "| case | who | seconds | greedy alone | first call | peak MB | of which imports |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        alone = f"{row['greedy_seconds']:.3g}" if "greedy_seconds" in row else ""
        lines.append(
            f"| {row['case']} | {row['who']} | {row['seconds']:.3g} | {alone} | {row['first_seconds']:.3g} "
            f"| {row['peak_mb']:.0f} | {row['imports_mb']:.0f} |"
        )
    lines.append("")
    for case, target in (
        (LINE, "at least 20 times"),
        (ANYWHERE, "at least twice, in at most half the memory"),
    ):
        mine, theirs = by[case, "ours"], by[case, "submodlib"]
        lines.append(
            f"- {case}: {theirs['seconds'] / mine['seconds']:.1f} times as fast as submodlib "
            f"({theirs['greedy_seconds'] / mine['seconds']:.1f} times its greedy alone, given the matrix), in "
            f"{mine['peak_mb'] / theirs['peak_mb']:.2f} of its memory. Target: {target}."
        )
    mine = by[CELEBA_CASE, "ours"]
    lines.append(
        f"- {CELEBA_CASE}: {mine['seconds']:.1f} s, {mine['peak_mb'] / 1e3:.2f} GB. Target: 30 s, 2 GB. "
        f"The larger class's matrix alone would take {CELEBA[0] ** 2 * 8 / 1e9:.0f} GB in doubles."
    )
    lines += ["", "Time grows as n to the power of (larger half of the sizes):", ""]
    lines += [f"- {case}: {power:.2f}" for case, power in slopes.items()]
    return "\n".join([*lines, "", "![time against n](epic.png)", ""])


LINE = "two classes' line, n = 3,600, ratio 0.3"
ANYWHERE = "10 classes, n = 5,000, ratio 0.1"
CELEBA_CASE = "two classes of CelebA's sizes, ratio 0.1"
SERIES = {
    "ours, c = 2": ("ours", 2, (1_000, 3_000, 10_000, 30_000, 100_000, 300_000)),
    "ours, c = 10": ("ours", 10, (500, 1_000, 2_000, 4_000, 8_000)),
    "submodlib, c = 2": ("submodlib", 2, (500, 1_000, 2_000, 4_000)),
}


def main() -> None:
    """Measure everything and write the three files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--child", choices=["ours", "submodlib"], help=argparse.SUPPRESS)
    parser.add_argument("sizes", nargs="*", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--classes", type=int, default=2, help=argparse.SUPPRESS)
    parser.add_argument("--ratio", type=float, default=0.1, help=argparse.SUPPRESS)
    parser.add_argument("--repeats", type=int, default=REPEATS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, tuple(args.sizes), args.classes, args.ratio, args.repeats)
        return
    load = os.getloadavg()[0]
    rows = [measure(LINE, who, (3_600,), 2, 0.3) for who in ("ours", "submodlib")]
    rows += [measure(ANYWHERE, who, (5_000,), 10, 0.1) for who in ("ours", "submodlib")]
    rows += [measure(CELEBA_CASE, "ours", CELEBA, 2, 0.1)]
    series = [measure(case, who, (n,), c, 0.1) for case, (who, c, sizes) in SERIES.items() for n in sizes]
    slopes = plot(series)
    rows += series
    names = [
        "case",
        "who",
        "n",
        "c",
        "ratio",
        "seconds",
        "greedy_seconds",
        "first_seconds",
        "peak_mb",
        "imports_mb",
    ]
    with (HERE / "epic.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows
        )
    (HERE / "epic.md").write_text(report([row for row in rows if row not in series], slopes, load))


if __name__ == "__main__":
    main()
