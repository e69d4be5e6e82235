"""How fast the package is, beside PyTorch and beside its own arithmetic, in one run.

    pip install -e '.[torch]'
    python experiments/speed/side_by_side.py --source=DIR

DIR holds Fashion-MNIST's four IDX files. Two CPU cores and two threads for both sides, waterfashion's images and model.
Both sides run in this process, in turn, after a warm-up that is not counted; seconds are medians of REPEATS, a ratio is
the median of the turns' ratios. First it is checked that both compute the same. Then the main job in processes of its
own (`whole_run.py`) and cost and memory against size (`scaling.py`). Writes side_by_side.md, .csv and .png beside this
file, in about 20 minutes. `--smoke` tries everything in some minutes, on waterdigits, and keeps nothing;
`--parts=epoch,norms` measures some parts and prints them.
"""

import argparse
import os
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
THREADS = 2
REPEATS = 7
PARTS = ("epoch", "norms", "last_layer", "crafting", "main_job", "help", "scaling")


def pin() -> None:
    """Keep this process and its children to THREADS cores; before anything counts the cores."""
    os.environ["OMP_NUM_THREADS"] = str(THREADS)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])


def main() -> None:
    """Measure, print, and write the files unless only some parts were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--source", metavar="DIR", default="", help="folder of Fashion-MNIST's IDX files")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument(
        "--smoke", action="store_true", help="try everything quickly on waterdigits; keep nothing"
    )
    args = parser.parse_args()
    parts = args.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        raise SystemExit(f"--parts: {', '.join(sorted(unknown))} is not of {', '.join(PARTS)}")
    if not args.smoke and not (args.source and Path(args.source).is_dir()):
        raise SystemExit(f"--source={args.source}: give the folder with Fashion-MNIST's four IDX files")
    pin()
    measure(parts, args.source, smoke=args.smoke)


def measure(parts: list[str], source: str, *, smoke: bool) -> None:
    """Measure and print; write the files if these are all parts."""
    import report  # from here on: these count the cores when they are imported
    import scaling
    import whole_run
    from bench import Bench

    load, repeats = os.getloadavg()[0], 2 if smoke else REPEATS
    bench = Bench("waterdigits" if smoke else "waterfashion", source, THREADS, smoke=smoke, repeats=repeats)
    found = [
        row
        for part in ("epoch", "norms", "last_layer", "crafting")
        if part in parts
        for row in getattr(bench, part)()
    ]
    jobs = whole_run.main_job(bench.step(), smoke=smoke) if "main_job" in parts else []
    helps = whole_run.help_seconds(repeats) if "help" in parts else []
    points = scaling.measure(repeats, smoke=smoke) if "scaling" in parts else []
    if set(parts) < set(PARTS):
        return
    with tempfile.TemporaryDirectory() as thrown_away:
        folder = Path(thrown_away) if smoke else HERE
        slopes = scaling.plot(points, folder / "side_by_side.png")
        report.write_csv(folder / "side_by_side.csv", found, jobs, helps, points)
        text = report.text(found, jobs, helps, points, slopes, load=load, repeats=repeats)
        (folder / "side_by_side.md").write_text(text)
        print(text)


if __name__ == "__main__":
    main()
