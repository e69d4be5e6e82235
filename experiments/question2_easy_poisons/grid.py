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
SEEDS = 5


def run(budget: float) -> Config:
    """DLBD at a budget; every defence reckons with that budget."""
    config = CATALOGUE["run"]("dlbd", budget, ("erm@clean", "erm", *EASY))
    config.abl.share = budget
    return config


def get_grid() -> Grid:
    """A run for each budget."""
    return Grid({f"easy_{budget:g}": run(budget) for budget in BUDGETS}, SEEDS)
