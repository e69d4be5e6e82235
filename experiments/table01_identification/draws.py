"""How often GEORGE draws a sample of each set per epoch, from the clusters of Table 2's finished sweep.

    python experiments/table01_identification/draws.py runs/waterdigits
    python experiments/table01_identification/draws.py runs/waterfashion data.name=waterfashion data.source=DIR

Prints a Markdown table: mean over seeds. IDNF only says whether that is above 1.
"""

import sys
from pathlib import Path

import numpy as np

from oilwater_jax import pipeline, selectors
from oilwater_jax.experiment import Experiment
from oilwater_jax.files import read_json
from oilwater_jax.groups import report_sets
from oilwater_jax.reporting.grid import markdown
from oilwater_jax.reporting.progress import Progress
from oilwater_jax.rooms import Rooms
from oilwater_jax.settings.config import load_grid
from oilwater_jax.stages import Store

GRID = Path(__file__).parent.parent / "table02_amplification/grid.py"
RUNS = ("dlbd_george", "sa_george", "gm_george", "gm32_george")


def main(workdir: Path, overrides: dict[str, str]) -> None:
    """Print the table of a sweep's folder."""
    grid = load_grid(str(GRID), overrides)
    head, body = ["run"], []
    for name in RUNS:
        config, splits = pipeline.prepare(grid.runs[name])
        seeds = (read_json(workdir / "runs" / name / "summary.json") or {})["seeds"]
        draws: dict[str, list[float]] = {}
        for seed in seeds:
            with Progress(print) as progress:
                store = Store(workdir, print, shared=True)
                rooms = Rooms(Experiment(config, splits, store, progress, {}), seed)
                weights = selectors.balanced(rooms.found["cluster"])
                for one, members in report_sets(rooms.poisoned, 2, 2).items():
                    draws.setdefault(one, []).append(float(weights[members].mean()))
        body.append([name, *(f"{np.mean(values):.1f}" for values in draws.values())])
        head = ["run", *draws]
    print(markdown(head, body), end="")


if __name__ == "__main__":
    main(Path(sys.argv[1]), dict(argument.split("=", 1) for argument in sys.argv[2:]))
