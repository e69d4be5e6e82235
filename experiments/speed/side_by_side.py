"""How fast the package is, beside PyTorch and beside its own arithmetic, in one run.

    pip install -e '.[torch]'
    python experiments/speed/side_by_side.py --source=DIR

DIR holds Fashion-MNIST's four IDX files. Two CPU cores and two threads for both sides (a training epoch also on one
core and thread, in a process of its own), waterfashion's images and model. Both sides run in this process, in turn,
after a warm-up that is not counted; seconds are medians of REPEATS, a ratio is the median of the turns' ratios. First
it is checked that both compute the same. Then the main job in processes of its own (`whole_run.py`) and cost and
memory against size (`scaling.py`). Writes side_by_side.md, .csv and .png beside this file, in about 20 minutes.
`--smoke` tries everything in some minutes, on waterdigits, and keeps nothing; `--parts=epoch,norms` measures some
parts and prints them (`--keep=NAME`: and writes NAME.md and NAME.csv of these alone).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
THREADS = 2
REPEATS = 7
PARTS = ("one_core", "epoch", "norms", "last_layer", "crafting", "main_job", "help", "scaling")


def pin(threads: int) -> None:
    """Keep this process and its children to so many cores; before anything counts the cores."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def one_core(source: str, *, smoke: bool) -> list[Any]:
    """The rows of a training epoch on one core, from a process of its own."""
    from turns import Row

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        asked = ["--threads=1", "--parts=epoch", f"--source={source}", f"--rows={file}"]
        command = [sys.executable, __file__, *asked, *["--smoke"] * smoke]
        subprocess.run(command, check=True)
        found = [Row(*row) for row in json.loads(file.read_text())]
    return [row._replace(what=f"{row.what}, one core") for row in found if row.ratio or row.who == "ours"]


def main() -> None:
    """Measure, print, and write the files unless only some parts were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--source", metavar="DIR", default="", help="folder of Fashion-MNIST's IDX files")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument(
        "--smoke", action="store_true", help="try everything quickly on waterdigits; keep nothing"
    )
    parser.add_argument("--threads", type=int, default=THREADS, help="cores and threads of both sides")
    parser.add_argument(
        "--keep", default="", metavar="NAME", help="write NAME.md and NAME.csv, of some parts too"
    )
    parser.add_argument("--rows", type=Path, help="file for the rows, as JSON")
    args = parser.parse_args()
    parts = args.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        raise SystemExit(f"--parts: {', '.join(sorted(unknown))} is not of {', '.join(PARTS)}")
    if not args.smoke and not (args.source and Path(args.source).is_dir()):
        raise SystemExit(f"--source={args.source}: give the folder with Fashion-MNIST's four IDX files")
    pin(args.threads)
    found = measure(parts, args.source, args.threads, smoke=args.smoke, keep=args.keep)
    if args.rows:
        args.rows.write_text(json.dumps(found))


def measure(parts: list[str], source: str, threads: int, *, smoke: bool, keep: str) -> list[Any]:
    """Measure and print; write the files, of some parts only under a name to `keep`. The rows beside PyTorch."""
    import report  # from here on: these count the cores when they are imported
    import scaling
    import whole_run
    from bench import Bench

    load, repeats = os.getloadavg()[0], 2 if smoke else REPEATS
    alone = one_core(source, smoke=smoke) if "one_core" in parts else []
    bench = Bench("waterdigits" if smoke else "waterfashion", source, threads, smoke=smoke, repeats=repeats)
    found = [
        row
        for part in ("epoch", "norms", "last_layer", "crafting")
        if part in parts
        for row in getattr(bench, part)()
    ]
    found = [*alone, *found]
    jobs = whole_run.main_job(bench.step(), smoke=smoke) if "main_job" in parts else []
    helps = whole_run.help_seconds(repeats) if "help" in parts else []
    points = scaling.measure(repeats, smoke=smoke) if "scaling" in parts else []
    keep = keep or ("" if set(parts) < set(PARTS) else "side_by_side")
    if not keep:
        return found
    with tempfile.TemporaryDirectory() as thrown_away:
        folder = Path(thrown_away) if smoke else HERE
        slopes = scaling.plot(points, folder / "side_by_side.png") if points else {}
        report.write_csv(folder / f"{keep}.csv", found, jobs, helps, points)
        text = report.text(found, jobs, helps, points, slopes, load=load, repeats=repeats)
        (folder / f"{keep}.md").write_text(text)
        print(text)
    return found


if __name__ == "__main__":
    main()
