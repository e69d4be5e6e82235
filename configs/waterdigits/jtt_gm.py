"""JTT under gradient matching: clean-label poisons for one test image, crafted by 250 steps from 8 starts.

oilwater run --config=configs/waterdigits/jtt_gm.py --workdir=runs/gm

About 2 minutes on 2 CPU cores. What to expect: experiments/table02_amplification, line GM, eps 32, JTT.
"""

from oilwater_jax.config import Config, default


def get_config() -> Config:
    """Default + delta."""
    config = default()
    config.attack.name = "gm"
    config.attack.gm.targets = 1
    config.attack.gm.eps = 32.0  # the published 16 is weak here: experiments/table02_amplification
    return config
