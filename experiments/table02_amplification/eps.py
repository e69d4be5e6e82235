"""How strong gradient matching is: eps and the group of the target, on validation, under JTT.

oilwater sweep --config=experiments/table02_amplification/eps.py --workdir=runs/gm_eps
oilwater table runs/gm_eps --columns=success,wga,idnf.poison --format=md
"""

import runpy
from pathlib import Path

from oilwater_jax.config import Config, Grid

TABLE_2 = runpy.run_path(str(Path(__file__).parent / "grid.py"))
SETTINGS = {"eps32": (32.0, -1), "eps32_minority_target": (32.0, 1), "eps16": (16.0, -1)}


def run(eps: float, group: int) -> Config:
    """Table 2's GM under JTT, on the validation split."""
    config = TABLE_2["run"]("gm", "jtt")
    config.evaluate = "val"
    config.rows = ("erm_clean", "erm", "standard", "ideal")
    config.attack.gm.eps = eps
    config.attack.source_group = group
    return config


def get_grid() -> Grid:
    """Published eps and twice that; targets of the majority, and of the minority of their class."""
    return Grid({name: run(*settings) for name, settings in SETTINGS.items()}, 5)
