"""The phenomenon without an attack: ERM, a group-balanced oracle and JTT on clean waterdigits.

oilwater run --config=configs/waterdigits/jtt_clean.py --workdir=runs/clean --seeds=5

About 2.5 minutes on 2 CPU cores. To expect (test, experiments/headline): WGA of ERM 44%, of JTT 88%, of the
oracle 94%.
"""

from oilwater_jax.config import Config, default


def get_config() -> Config:
    """Default + delta."""
    config = default()
    config.attack.name = "none"
    config.rows = ("erm_clean", "oracle", "standard")
    return config
