"""Open question 2: what do defences do that suppose poisons are easy, at budgets from 0.2% to 10%?

oilwater sweep --config=experiments/question2_easy_poisons/grid.py --workdir=runs/catalogue
"""

import runpy
from pathlib import Path

from oilwater_jax import Config, Grid

CATALOGUE = runpy.run_path(str(Path(__file__).parents[1] / "catalogue" / "grid.py"))
BUDGETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
EASY = (
    "abl",
    "activation_clustering",
    "spectral",
)  # poisons are learned first, or lie apart in feature space
LAST = (0.01, 0.1)  # the control: the last epoch is reported, when the trigger is learned
SEEDS = 5


def run(budget: float, select: str = "val_wga") -> Config:
    """DLBD at a budget; every defence reckons with that budget."""
    config = CATALOGUE["run"]("dlbd", budget, ("erm@clean", "erm", *EASY))
    config.abl.share = budget
    config.train.select = select
    return config


def get_grid() -> Grid:
    """A run for each budget, and the control."""
    runs = {f"easy_{budget:g}": run(budget) for budget in BUDGETS}
    return Grid(runs | {f"last_{budget:g}": run(budget, "last") for budget in LAST}, SEEDS)
