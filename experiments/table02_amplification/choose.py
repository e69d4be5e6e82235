"""The choices behind grid.py, on validation: GM's eps, for one and for three targets; JTT only.

oilwater sweep --config=experiments/table02_amplification/choose.py --workdir=runs/choose_gm
oilwater table runs/choose_gm --columns=success,wga,idnf.poison
"""

import runpy
from pathlib import Path

from oilwater_jax.config import Config, Grid

TABLE_2 = runpy.run_path(str(Path(__file__).parent / "grid.py"))


def run(eps: float, targets: int) -> Config:
    """GM under JTT on the validation split."""
    config = TABLE_2["run"]("gm", "jtt")
    config.evaluate = "val"
    config.rows = ("erm", "standard", "ideal")
    config.attack.gm.eps = eps
    config.attack.gm.targets = targets
    return config


def get_grid() -> Grid:
    """Two values of eps with one target, and three targets with the larger."""
    return Grid({f"eps{e:g}_targets{t}": run(e, t) for e, t in ((16.0, 1), (32.0, 1), (32.0, 3))}, 5)
