"""How much EPIc eliminates at the least and at the largest published ratio, on validation, with a round every epoch.

oilwater sweep --config=experiments/table03_epic_tradeoff/choose.py --workdir=runs/epic_ratio
oilwater table runs/epic_ratio --rows='*/epic' --columns=elmf,success,wga --format=md
"""

import runpy
from pathlib import Path

from oilwater_jax import Config, Grid

TABLE_3 = runpy.run_path(str(Path(__file__).parent / "grid.py"))
RATIOS = (0.1, 0.3)


def run(attack: str, ratio: float) -> Config:
    """ERM with EPIc to the last of 20 epochs."""
    config = TABLE_3["run"](attack, "jtt", 21)
    config.evaluate = "val"
    config.rows = ("erm", "epic")
    config.erm.epochs = 20
    config.epic.ratio = ratio
    return config


def get_grid() -> Grid:
    """A run for each attack and ratio."""
    return Grid({f"{attack}_{ratio}": run(attack, ratio) for attack in ("dlbd", "sa") for ratio in RATIOS}, 2)
