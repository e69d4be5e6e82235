"""How strong each attack is, on validation: what the strengths of grid.py were chosen by.

oilwater sweep --config=experiments/catalogue/choose.py --workdir=runs/catalogue_choose
oilwater table runs/catalogue_choose --columns=asr,asr_untriggered,wga --format=csv > experiments/catalogue/choose.csv
"""

from oilwater_jax import Config, Grid, default

# Attack, budget, and the setting that says how visible it is, with the values tried.
TRIED = (
    ("dlbd", 0.01, "opacity", (0.6, 1.0)),
    ("tact", 0.02, "cover", (1.0,)),
    ("blended", 0.02, "ratio", (0.2, 0.4, 0.6)),
    ("adaptive_blend", 0.02, "ratio", (0.2, 0.6)),
    ("warp", 0.1, "strength", (0.5, 4.0, 8.0)),
    ("sinusoid", 0.1, "delta", (40.0,)),
    ("hidden_minority", 0.01, "copies", (False,)),
)


def run(attack: str, budget: float, field: str, value: float) -> Config:
    """ERM under one attack."""
    config = default()
    config.attack.name, config.attack.budget = attack, budget
    config.evaluate, config.rows = "val", ("erm",)
    config.dlbd.update(size=5, margin=2, colour=(255, 0, 255), opacity=1.0)
    config[attack][field] = value
    return config


def get_grid() -> Grid:
    """A run for each attack and strength."""
    runs = {
        f"{a}_{value}": run(a, budget, field, value) for a, budget, field, values in TRIED for value in values
    }
    return Grid(runs, 1)
