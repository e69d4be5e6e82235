"""How GM's success depends on eps (published: 16) and on the number of targets, on validation, under JTT.

oilwater sweep --config=experiments/table02_amplification/eps.py --workdir=runs/gm_eps
oilwater table runs/gm_eps --columns=success,wga,idnf.poison --format=md
"""

import runpy
from pathlib import Path

from oilwater_jax.config import Config, Grid

TABLE_2 = runpy.run_path(str(Path(__file__).parent / "grid.py"))


def run(eps: float, targets: int) -> Config:
    """Table 2's GM under JTT, on the validation split."""
    config = TABLE_2["run"]("gm", "jtt")
    config.evaluate = "val"
    config.rows = ("erm", "standard", "ideal")
    config.attack.gm.eps = eps
    config.attack.gm.targets = targets
    return config


def get_grid() -> Grid:
    """One target with two values of eps, and five with the larger."""
    return Grid({f"eps{e:g}_targets{t}": run(e, t) for e, t in ((16.0, 1), (32.0, 1), (32.0, 5))}, 5)
