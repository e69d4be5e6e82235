"""Random kills over `run`, `sweep`, `study` and `frontier`: the same command again ends in the same bytes.

    python tests/kills.py --kills=50 [--first=0] [--out=kills.csv]

Each kill starts a command in an empty folder, ends it by SIGKILL after a random time (drawn by the kill's number),
as often as drawn (1 to 3 times), then lets it finish, and compares every summary, table of scores and finished stage
with those of the command left alone. Exit code 1 where a byte differs or a command does not end well.
"""

import argparse
import csv
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
OWN = ROOT / "tests/own"
PLUGINS = ",".join(str(OWN / f"{name}.py") for name in ("stripes", "line", "flip"))
SETTINGS = {
    **{"data.name": "stripes", "attack.name": "flip", "model.name": "line", "pretrain.epochs": "0"},
    **{"erm.epochs": "4", "robust.epochs": "4", "identify.epochs": "2", "rows": "erm@clean,erm,jtt,epic+jtt"},
    **{"flip.count": "30", "study.epochs": "1,3", "checkpoint.seconds": "0"},
}
COMMANDS = ("run", "sweep", "study", "frontier")
GRID = f"""
import oilwater_jax as ow
def get_grid():
    runs = {{}}
    for count in (20, 40):
        config = ow.load({str(ROOT / "configs/waterdigits/dlbd.py")!r}, {SETTINGS!r}, plugins={PLUGINS.split(",")!r})
        with config.unlocked():
            config.flip.count = count
        runs[f"flip_{{count}}"] = config
    return ow.Grid(runs, 1)
"""


def arguments(command: str, folder: Path, files: Path) -> list[str]:
    """The command line of one of the four."""
    python = [sys.executable, "-m", "oilwater_jax", command, f"--workdir={folder}"]
    if command == "sweep":
        (files / "grid.py").write_text(GRID)
        return [*python, f"--config={files / 'grid.py'}", "--workers=1"]
    if command == "frontier":
        python += ["--workers=1", "--dial=jtt.lambda_up=2,4", "--dial=identify.epochs=", "--dial=epic.ratio="]
        python += ["--dial=epic.stop_after=2,3"]
    settings = [f"--config.{name}={value}" for name, value in SETTINGS.items()]
    return [*python, f"--config={ROOT / 'configs/waterdigits/dlbd.py'}", f"--plugins={PLUGINS}", *settings]


def digests(folder: Path) -> dict[str, str]:
    """What must be the same, by its place: summaries, scores, finished stages, and that there is a report."""
    kept = ("summary.json", "config.json", "grid.json", "scores.npz", "stage.json", "arrays.npz")
    kept += ("frontier.json", "frontier.md", "points.csv")
    files = [path for path in sorted(folder.rglob("*")) if path.name in kept and path.is_file()]
    found = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    found["reports"] = str(len(list(folder.rglob("report.html"))))
    return found


def finish(line: list[str]) -> tuple[int, str, float]:
    """Exit code, standard error and seconds of a command left alone."""
    began = time.monotonic()
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT)
    return done.returncode, done.stderr, time.monotonic() - began


def killed(line: list[str], seconds: float) -> None:
    """Start a command and end it, with all of its processes, by SIGKILL."""
    process = subprocess.Popen(
        line, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def note(path: Path, row: dict[str, object]) -> None:
    """Add a line to a CSV file."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, row, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def main() -> None:
    """See above."""
    options = argparse.ArgumentParser()
    options.add_argument("--kills", type=int, default=50)
    options.add_argument("--first", type=int, default=0)
    options.add_argument("--out", type=Path)
    given = options.parse_args()
    rows, faults = [], 0
    with tempfile.TemporaryDirectory() as below:
        whole: dict[str, tuple[dict[str, str], float]] = {}
        for command in COMMANDS:
            folder = Path(below) / f"whole-{command}"
            code, err, seconds = finish(arguments(command, folder, Path(below)))
            assert code == 0, err
            whole[command] = digests(folder), seconds
        for number in range(given.first, given.first + given.kills):
            draw = random.Random(number)
            command = COMMANDS[number % len(COMMANDS)]
            wanted, seconds = whole[command]
            line = arguments(command, Path(below) / f"kill-{number}", Path(below))
            times = [round(draw.uniform(0.2, 1.0) * seconds, 2) for _ in range(draw.randint(1, 3))]
            for after in times:
                killed(line, after)
            code, err, _ = finish(line)
            found = digests(Path(below) / f"kill-{number}")
            odd = sorted(name for name in {**wanted, **found} if wanted.get(name) != found.get(name))
            same = code == 0 and not odd and "Traceback" not in err
            faults += not same
            rows.append(
                {"kill": number, "command": command, "after": " ".join(map(str, times)), "same": same}
            )
            if given.out:
                note(given.out, rows[-1])
            print(rows[-1], "" if same else (code, odd[:5], err[-300:]), flush=True)
    print(f"{len(rows) - faults} of {len(rows)} kills ended in the same bytes")
    sys.exit(faults > 0)


main()
