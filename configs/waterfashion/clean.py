"""The phenomenon without an attack: ERM, JTT and an oracle that knows the groups, on clean waterfashion.

oilwater run --config=configs/waterfashion/clean.py --config.data.source=DIR --workdir=runs/fashion_clean

DIR holds Fashion-MNIST's four IDX files; without it tensorflow-datasets downloads them. Under 4 minutes for one
seed on one busy CPU core. To expect (--config.evaluate=val, 3 seeds): WGA of ERM 39%, of JTT 73%, of the oracle 92%.

For an attack, name the data set to that of waterdigits:
oilwater run --config=configs/waterdigits/dlbd.py --config.data.name=waterfashion --config.data.source=DIR ...
"""

from oilwater_jax import Config, default


def get_config() -> Config:
    """Default + delta."""
    config = default()
    config.data.name = "waterfashion"
    config.attack.name = "none"
    config.rows = ("erm", "jtt", "balanced")
    return config
