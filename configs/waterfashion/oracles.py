"""What can be reached on waterfashion when the groups are known: balanced draws.

oilwater run --config=configs/waterfashion/oracles.py --config.data.source=DIR --workdir=runs/fashion_oracles

DIR holds Fashion-MNIST's four IDX files; without it tensorflow-datasets downloads them. About 80 seconds for one
seed on one CPU core. To expect (--config.evaluate=val, 3 seeds): WGA of ERM 39%, of the oracle 92%.
"""

from oilwater_jax.config import Config, default


def get_config() -> Config:
    """Default + delta."""
    config = default()
    config.data.name = "waterfashion"
    config.attack.name = "none"
    config.rows = ("erm_clean", "oracle")
    return config
