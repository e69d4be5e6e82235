"""How strong gradient matching is at the published eps and at twice that, on validation, under JTT.

oilwater sweep --config=experiments/table02_amplification/eps.py --workdir=runs/gm_eps
oilwater table runs/gm_eps --columns=success,wga,idnf.poison --format=md
"""

import runpy
from pathlib import Path

from oilwater_jax import Config, Grid

TABLE_2 = runpy.run_path(str(Path(__file__).parent / "grid.py"))
EPS = (32.0, 16.0)


def run(eps: float) -> Config:
    """Table 2's GM under JTT, on the validation split."""
    config = TABLE_2["run"]("gm", "jtt")
    config.evaluate = "val"
    config.rows = ("erm@clean", "erm", "jtt", "jtt:ideal")
    config.gm.eps = eps
    return config


def get_grid() -> Grid:
    """The published eps and twice that."""
    return Grid({f"eps{eps:g}": run(eps) for eps in EPS}, 5)
