"""The grid of Tables 3 and 19: EPIc's stopping epoch x three attacks x {JTT, GEORGE}.

    oilwater sweep --config=experiments/table03_epic_tradeoff/grid.py --workdir=runs/epic_waterdigits
    oilwater sweep --config=experiments/table03_epic_tradeoff/grid.py --workdir=runs/epic_waterfashion \
        --config.data.name=waterfashion --config.data.source=DIR

One sweep serves both tables because they share ERM, the methods alone and EPIc's own trainings. The attacks are those
of Table 2 (GM at eps 32, which is the one that succeeds there); README.md says how EPIc's settings were chosen.
"""

import runpy
from pathlib import Path

from oilwater_jax import Config, Grid

TABLE_2 = runpy.run_path(str(Path(__file__).parents[1] / "table02_amplification" / "grid.py"))
ATTACKS = {"dlbd": "dlbd", "sa": "sa", "gm": "gm32"}
STOPS = {"jtt": (3, 4, 5, 7, 9), "george": (3, 5, 9)}  # rounds at epochs 2 ... stop - 1, of 10 epochs
BOTH = {"jtt": "epic+jtt", "george": "epic/george"}  # EPIc and a method: in one training, one after the other
RATIO = 0.3
SEEDS = 5


def run(attack: str, method: str, stop: int) -> Config:
    """One run of the grid."""
    config = TABLE_2["run"](ATTACKS[attack], method)
    config.rows = ("erm@clean", "erm", "epic", method, BOTH[method])
    config.epic.ratio = RATIO
    config.epic.stop_after = stop
    return config


def get_grid() -> Grid:
    """A run for each attack, method and stopping epoch."""
    return Grid(
        {
            f"{attack}_{method}_stop{stop}": run(attack, method, stop)
            for method, stops in STOPS.items()
            for attack in ATTACKS
            for stop in stops
        },
        SEEDS,
    )
