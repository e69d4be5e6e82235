"""JTT under a subpopulation attack: flipped labels on one cluster of what a surrogate sees.

oilwater run --config=configs/waterdigits/jtt_sa.py --workdir=runs/sa

About 80 seconds on 2 CPU cores. What to expect: experiments/table02_amplification, line SA, JTT.
"""

from oilwater_jax.config import Config, default


def get_config() -> Config:
    """Default + delta."""
    config = default()
    config.attack.name = "sa"
    config.data.auxiliary = 0.3
    config.attack.sa.clusters = 25
    return config
