"""What can be reached when the groups are known: balanced draws, and group DRO on top of them.

oilwater run --config=configs/waterdigits/oracles.py --workdir=runs/oracles --seeds=5

About 50 seconds for one seed on 2 CPU cores. To expect (one seed, --config.evaluate=val): WGA of ERM 48%, of both
oracles 95%.
"""

from oilwater_jax.config import Config, default


def get_config() -> Config:
    """Default + delta."""
    config = default()
    config.attack.name = "none"
    config.rows = ("erm_clean", "oracle", "group_dro")
    return config
