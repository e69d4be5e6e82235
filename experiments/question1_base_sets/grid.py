"""Open question 1: how large must a trusted base set be, and of whom, for a defence to spare the minority?

    oilwater sweep --config=experiments/question1_base_sets/grid.py --workdir=runs/catalogue

A base set is taken out of the training set, so each has an ERM of its own to compare with.
"""

import runpy
from pathlib import Path

from oilwater_jax import Config, Grid

CATALOGUE = runpy.run_path(str(Path(__file__).parents[1] / "catalogue" / "grid.py"))
# Of each group equally many, 400 would be 100 of the 56 samples of the smallest; 200 takes 50 of them.
SIZES = {"natural": (20, 100, 400), "group": (20, 100, 200), "class": (20, 100, 400)}
LOOKS = ("base_loss", "base_knn", "base_gradient", "scan", "strip", "deep_knn")  # the last has no base set
TRAINED = ("base_loss", "base_knn", "base_gradient")
TRAINED_AT = (("natural", 100), ("group", 100))
BUDGET = 0.01
SEEDS = 5


def run(balance: str, size: int) -> Config:
    """DLBD with a base set; at some of them what the defences find is trained on."""
    trained = TRAINED if (balance, size) in TRAINED_AT else ()
    config = CATALOGUE["run"]("dlbd", BUDGET, ("erm@clean", "erm", *trained) if trained else ())
    config.look = tuple(one for one in LOOKS if one not in trained)
    config.data.base = size
    config.data.base_balance = balance
    config.strip.blends = 20  # as many as the smallest base set has
    return config


def get_grid() -> Grid:
    """A run for each composition and size."""
    return Grid(
        {f"base_{balance}_{size}": run(balance, size) for balance, sizes in SIZES.items() for size in sizes},
        SEEDS,
    )
