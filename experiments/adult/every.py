"""Every method and defence, and some defences before JTT, under each attack at one strength.

    oilwater sweep --config=experiments/adult/every.py --workdir=runs/adult_every
    python experiments/adult/report.py every runs/adult_every

About 80 seconds of one core for a seed of an attack. spare and dp_sgd are left out for their time; fct is for
images.
"""

import runpy
from pathlib import Path

from oilwater_jax import Config, Grid

GRID = runpy.run_path(str(Path(__file__).with_name("grid.py")))
AMPLIFIERS = ("george", "balanced", "group_dro", "cvar", "loss_band", "eiil", "lff", "afr", "self", "dfr")
DEFENCES = (
    "epic",
    "loss_trim",
    "deep_knn",
    "spectral",
    "activation_clustering",
    "spectre",
    "strip",
    "abl",
    "scan",
    "base_loss",
    "base_knn",
    "base_gradient",
    "mixup",
)
BEFORE = ("epic", "loss_trim", "deep_knn", "base_loss", "base_knn")  # before JTT


def run(attack: str) -> Config:
    """All rows under an attack."""
    rows = (*GRID["CORE"], *AMPLIFIERS, *DEFENCES, *(f"{one}/jtt" for one in BEFORE), "epic+jtt")
    return GRID["run"](attack, GRID["CHOSEN"][attack], rows)


def get_grid() -> Grid:
    """A run for each attack."""
    return Grid({attack: run(attack) for attack in GRID["CHOSEN"]}, GRID["SEEDS"])
