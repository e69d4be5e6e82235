"""A subpopulation attack: flipped labels on one cluster of what a surrogate sees.

oilwater run --config=configs/waterdigits/sa.py --workdir=runs/sa

About 80 seconds on 2 CPU cores. What to expect: experiments/tables, SA.
"""

from oilwater_jax import Config, default


def get_config() -> Config:
    """Default + delta."""
    config = default()
    config.attack.name = "sa"
    config.data.auxiliary = 0.3
    config.sa.clusters = 25
    config.epic.ratio = 0.3  # chosen on validation by experiments/frontiers, ratio_sa
    config.epic.stop_after = 5
    return config
