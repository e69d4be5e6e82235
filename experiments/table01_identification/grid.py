"""Table 1's grid: whom JTT and GEORGE identify, after T = 1, 2, 4 and 8 epochs, under three attacks.

    oilwater sweep --config=experiments/table01_identification/grid.py --workdir=runs/waterdigits
    oilwater sweep --config=experiments/table01_identification/grid.py --workdir=runs/waterfashion \
        --config.data.name=waterfashion --config.data.source=DIR

In the folder of Table 2's sweep it computes only what that has not: the poisons and the models of T = 4 are shared.
"""

import runpy
from pathlib import Path

from oilwater_jax import Config, Grid

EPOCHS = (1, 2, 4, 8)
TABLE_2 = runpy.run_path(str(Path(__file__).parent.parent / "table02_amplification/grid.py"))


def run(attack: str, method: str, epochs: int) -> Config:
    """Table 2's run of this name, with another T, and only a look."""
    config = TABLE_2["run"](attack, method)
    config.identify.epochs = epochs
    config.rows = ()
    config.look = (method,)
    return config


def get_grid() -> Grid:
    """A run for each attack, method and T."""
    runs = {
        f"{attack}_{method}_T{epochs}": run(attack, method, epochs)
        for attack in TABLE_2["ATTACKS"]
        for method in TABLE_2["METHODS"]
        for epochs in EPOCHS
    }
    return Grid(runs, TABLE_2["SEEDS"])
