"""The studies behind README.md: two data sets x three attacks, 5 seeds each, one process per core.

    python experiments/separability/run.py runs/separability --fashion_mnist=DIR      # its four IDX files
    python experiments/separability/report.py runs/separability

What was cut off goes on with the same command; more --seeds may be asked of the same folder later.
"""

import argparse
import functools
import os
import queue
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
DATA = ("waterdigits", "waterfashion")
ATTACKS = ("dlbd", "sa", "gm")  # configs/waterdigits/{dlbd,sa,gm}.py: those of Tables 2, 3 and 19
RATIO = 0.3  # EPIc's in Table 3
SEEDS = 5


def command(
    data: str, attack: str, workdir: Path, fashion_mnist: str, *, seeds: int, smoke: bool
) -> list[str]:
    """The `oilwater study` of one data set and attack."""
    return [
        *(sys.executable, "-m", "oilwater_jax", "study"),
        f"--config={ROOT / 'configs' / 'waterdigits' / f'{attack}.py'}",
        f"--workdir={workdir / f'{data}_{attack}'}",
        f"--config.data.name={data}",
        f"--config.data.source={fashion_mnist if data == 'waterfashion' else ''}",
        f"--config.epic.ratio={RATIO}",
        f"--config.smoke={smoke}",
        f"--seeds={seeds}",
    ]


def main() -> None:
    """Run every study, each on one core: XLA's sums depend on the number of threads."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workdir", type=Path)
    parser.add_argument(
        "--fashion_mnist", default="", help="folder of its IDX files (default: tensorflow-datasets)"
    )
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--smoke", action="store_true", help="try it all in seconds")
    options = parser.parse_args()
    options.workdir.mkdir(parents=True, exist_ok=True)
    free: queue.SimpleQueue[int] = queue.SimpleQueue()
    cores = sorted(os.sched_getaffinity(0))
    for core in cores:
        free.put(core)

    def study(name: tuple[str, str]) -> int:
        core = free.get()
        line = command(
            *name, options.workdir, options.fashion_mnist, seeds=options.seeds, smoke=options.smoke
        )
        with (options.workdir / f"{'_'.join(name)}.log").open("w") as log:
            pin = functools.partial(os.sched_setaffinity, 0, {core})
            code = subprocess.run(
                line, stdout=log, stderr=subprocess.STDOUT, preexec_fn=pin, check=False
            ).returncode
        free.put(core)
        print(f"{' '.join(name)}: {'done' if code == 0 else f'failed, see {log.name}'}", flush=True)
        return code

    with ThreadPoolExecutor(len(cores)) as pool:
        codes = list(pool.map(study, [(data, attack) for attack in ATTACKS for data in DATA]))
    sys.exit(any(codes))


if __name__ == "__main__":
    main()
