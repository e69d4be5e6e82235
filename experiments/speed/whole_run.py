"""The main job and `oilwater --help`, from process start to exit, and where the main job's seconds go."""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CONFIG = ROOT / "configs/waterdigits/dlbd.py"
BATCH = 64  # of the config
JOBS = 5


class Job(NamedTuple):
    """One run of the main job with everything compiled before; seconds."""

    total: float  # from process start to exit, the table printed
    floor: float  # its training steps times a bare step, measured just before
    steps: int
    start: float  # imports, config and data
    epochs: float  # its epochs as `metrics.jsonl` has them: drawing, steps, validation
    rest: float  # reading compiled programs, checkpoints, scores and figures of the stages, exit
    report: float  # pictures and page


def run(arguments: list[str], environment: dict[str, str]) -> tuple[float, str]:
    """Seconds of a command from start to exit, and what it said on standard error."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "oilwater_jax", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"oilwater {' '.join(arguments)}: {done.stderr.strip()[-2000:]}")
    return seconds, done.stderr


def main_job(bare_step: Callable[[], float], *, smoke: bool) -> list[Job]:
    """The main job JOBS times, each in a new folder, after one that compiles and builds the data."""
    jobs = []
    with tempfile.TemporaryDirectory() as folder:
        environment = {"OILWATER_CACHE": f"{folder}/cache"}
        for number in range(1 + (1 if smoke else JOBS)):
            step = statistics.median(bare_step() for _ in range(5))
            workdir = Path(folder) / f"run{number}"
            arguments = ["run", f"--config={CONFIG}", f"--workdir={workdir}"]
            total, said = run(arguments + ["--config.smoke=true"] * smoke, environment)
            rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
            steps = sum(-(-row["draws"] // BATCH) for row in rows)
            # Lines like `[  41.2 s] seed0/erm ...`; the clock begins when config and data are there.
            stamps = [float(stamp) for stamp in re.findall(r"^\[ *([0-9.]+) s\]", said, re.MULTILINE)]
            epochs, report = sum(row["seconds"] for row in rows), stamps[-1] - stamps[-2]
            start = total - stamps[-1]
            jobs.append(Job(total, steps * step, steps, start, epochs, stamps[-2] - epochs, report))
            print(f"e: main job {number} (0 compiles): {jobs[-1]}", flush=True)
    return jobs[1:]


def help_seconds(repeats: int) -> list[float]:
    """Seconds of `oilwater --help`, after one that reads the files from the disk."""
    seconds = [run(["--help"], {})[0] for _ in range(1 + repeats)][1:]
    print(f"f: oilwater --help: {statistics.median(seconds):.2f} s", flush=True)
    return seconds
