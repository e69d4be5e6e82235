"""The phenomenon without an attack: ERM, a group-balanced oracle and JTT on clean waterdigits.

oilwater run --config=configs/waterdigits/jtt_clean.py --workdir=runs/clean --seeds=5
"""

from oilwater_jax.config import Config, default


def get_config() -> Config:
    """Default + delta."""
    config = default()
    config.attack.name = "none"
    config.rows = ("erm_clean", "oracle", "standard")
    return config
