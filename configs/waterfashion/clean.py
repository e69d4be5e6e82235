"""The phenomenon without an attack: ERM, a group-balanced oracle and JTT on clean waterfashion.

oilwater run --config=configs/waterfashion/jtt_clean.py --config.data.source=DIR --workdir=runs/fashion_clean

DIR holds Fashion-MNIST's four IDX files; without it tensorflow-datasets downloads them. Under 4 minutes for one
seed on one busy CPU core. To expect (--config.evaluate=val, 3 seeds): WGA of ERM 39%, of JTT 73%, of the oracle 92%.
"""

from oilwater_jax.settings.config import Config, default


def get_config() -> Config:
    """Default + delta."""
    config = default()
    config.data.name = "waterfashion"
    config.attack.name = "none"
    config.rows = ("erm_clean", "oracle", "standard")
    return config
