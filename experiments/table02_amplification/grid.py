"""Table 2's grid: three attacks (GM at two strengths) x {JTT, GEORGE} x {none, standard, ideal, worst}.

And both methods without an attack.

    oilwater sweep --config=experiments/table02_amplification/grid.py --workdir=runs/waterdigits
    oilwater sweep --config=experiments/table02_amplification/grid.py --workdir=runs/waterfashion \
        --config.data.name=waterfashion --config.data.source=DIR

The settings of the attacks are the same for both data sets; README.md says how they were chosen.
"""

from oilwater_jax.settings.config import Config, Grid, default

ATTACKS = ("dlbd", "sa", "gm", "gm32")  # gm: the published eps; gm32: twice that
METHODS = ("jtt", "george")
SEEDS = 8


def run(attack: str, method: str) -> Config:
    """One run of the grid."""
    config = default()
    config.attack.name = "gm" if attack == "gm32" else attack
    config.method.name = method
    config.rows = ("erm_clean", "erm", "standard", "ideal", "worst")
    # DLBD: the main job's trigger.
    config.attack.trigger.size = 5
    config.attack.trigger.margin = 2
    config.attack.trigger.colour = (255, 0, 255)
    config.attack.trigger.opacity = 0.35
    if attack == "sa":
        config.data.auxiliary = 0.3
        config.attack.sa.clusters = 25
    if attack in ("gm", "gm32"):
        config.attack.gm.targets = 1
        config.attack.gm.eps = 32.0 if attack == "gm32" else 16.0
    if attack == "none":
        config.rows = ("erm_clean", "standard")
    return config


def get_grid() -> Grid:
    """A run for each attack (or none) and method."""
    return Grid({f"{a}_{m}": run(a, m) for a in (*ATTACKS, "none") for m in METHODS}, SEEDS)
