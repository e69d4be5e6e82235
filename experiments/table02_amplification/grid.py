"""Table 2's grid: three attacks (GM at two strengths) x {JTT, GEORGE} x {none, standard, ideal, worst}.

And both methods without an attack.

    oilwater sweep --config=experiments/table02_amplification/grid.py --workdir=runs/waterdigits
    oilwater sweep --config=experiments/table02_amplification/grid.py --workdir=runs/waterfashion \
        --config.data.name=waterfashion --config.data.source=DIR

The settings of the attacks are the same for both data sets; README.md says how they were chosen.
"""

from oilwater_jax import Config, Grid, default

ATTACKS = ("dlbd", "sa", "gm", "gm32")  # gm: the published eps; gm32: twice that
METHODS = ("jtt", "george")
SEEDS = 8


def run(attack: str, method: str) -> Config:
    """One run of the grid."""
    config = default()
    config.attack.name = "gm" if attack == "gm32" else attack
    config.rows = ("erm@clean", "erm", method, f"{method}:ideal", f"{method}:worst")
    # DLBD: the main job's trigger.
    config.dlbd.size = 5
    config.dlbd.margin = 2
    config.dlbd.colour = (255, 0, 255)
    config.dlbd.opacity = 0.35
    if attack == "sa":
        config.data.auxiliary = 0.3
        config.sa.clusters = 25
    if attack in ("gm", "gm32"):
        config.gm.targets = 1
        config.gm.eps = 32.0 if attack == "gm32" else 16.0
    if attack == "none":
        config.rows = ("erm@clean", method)
    return config


def get_grid() -> Grid:
    """A run for each attack (or none) and method."""
    return Grid({f"{a}_{m}": run(a, m) for a in (*ATTACKS, "none") for m in METHODS}, SEEDS)
