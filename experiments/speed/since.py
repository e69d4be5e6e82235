"""The main job's seconds beside those of version 0.4, in turn on the same machine.

    git worktree add --detach OLD b03f0b1
    python experiments/speed/since.py --old=OLD

OLD is a checkout of version 0.4 (commit b03f0b1). Both run with this Python, everything compiled and the data built
before, on two cores. Writes since.csv and since.md beside this file, in about ten minutes.
"""

import argparse
import csv
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import machine

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
# lambda_up is validation's choice now, 20; with 0.4's 50 both sides draw as many samples for as large an error set.
ARGUMENTS = {
    "0.4": ["--config=configs/waterdigits/jtt_dlbd.py"],
    "now": ["--config=configs/waterdigits/dlbd.py", "--config.jtt.lambda_up=50"],
}
TARGET = 0.65
CORES = 2


def seconds(where: Path, arguments: list[str], workdir: str, cache: str) -> float:
    """Of a run from process start to exit."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "oilwater_jax", "run", *arguments, f"--workdir={workdir}"],
        cwd=where,
        env=os.environ | {"OILWATER_CACHE": cache, "PYTHONPATH": str(where)},
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - began


def main() -> None:
    """Measure in turn and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--old", type=Path, required=True, help="checkout of version 0.4")
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()
    if not (args.old / "configs/waterdigits/jtt_dlbd.py").is_file():
        raise SystemExit(
            f"--old={args.old}: no checkout of version 0.4 (it lacks configs/waterdigits/jtt_dlbd.py)"
        )
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    load = os.getloadavg()[0]
    sides = {"0.4": args.old.resolve(), "now": ROOT}
    times: dict[str, list[float]] = {name: [] for name in sides}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(-1, args.turns):  # the first compiles and builds the data
            for name, where in sides.items():
                taken = seconds(where, ARGUMENTS[name], f"{folder}/{name}-{turn}", f"{folder}/cache-{name}")
                print(f"{name}: {taken:.1f} s{' (compiles)' if turn < 0 else ''}", flush=True)
                times[name] += [taken] * (turn >= 0)
    ratios = [now / old for old, now in zip(times["0.4"], times["now"], strict=True)]
    with (HERE / "since.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["turn", "0.4", "now", "ratio"])
        for turn, row in enumerate(zip(times["0.4"], times["now"], ratios, strict=True)):
            writer.writerow([turn, *(f"{value:.3f}" for value in row)])
    old, now = (statistics.median(times[name]) for name in sides)
    text = (
        f"The main job, from process start to exit, everything compiled before: {old:.1f} s by version 0.4, "
        f"{now:.1f} s now (lambda_up 50 on both sides), {statistics.median(ratios):.2f} of it ({min(ratios):.2f} to "
        f"{max(ratios):.2f}; target at most {TARGET}). Medians of {len(ratios)} turns; {CORES} cores of {machine()}, "
        f"Python {platform.python_version()}; load average when begun {load:.1f}. Command: "
        "`python experiments/speed/since.py --old=OLD`.\n"
    )
    (HERE / "since.md").write_text(f"# The main job, then and now\n\n{text}")
    print(text)


if __name__ == "__main__":
    main()
