"""Every method and defence, and some defences before JTT, under the tabular trigger: one seed, a look and no claim.

    taskset -c 0 oilwater run --config=experiments/adult/every.py --workdir=runs/adult_every
    python experiments/adult/report.py every runs/adult_every

About 80 seconds of one core a seed; more of them by --seeds. spare and dp_sgd are left out for their time; fct is for
images.
"""

import runpy
from pathlib import Path

from oilwater_jax import Config

GRID = runpy.run_path(str(Path(__file__).with_name("grid.py")))
AMPLIFIERS = ("george", "balanced", "group_dro", "cvar", "loss_band", "eiil", "lff", "afr", "self")
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
)
BEFORE = ("epic", "loss_trim", "deep_knn", "base_loss", "base_knn")  # before JTT


def get_config() -> Config:
    """The grid's trigger with all rows."""
    rows = (*GRID["CORE"], *AMPLIFIERS, *DEFENCES, *(f"{one}/jtt" for one in BEFORE), "epic+jtt")
    return GRID["run"]("trigger", GRID["CHOSEN"]["trigger"], rows)
