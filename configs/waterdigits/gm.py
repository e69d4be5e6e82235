"""Gradient matching: clean-label poisons for one test image, crafted by 250 steps from 8 starts.

oilwater run --config=configs/waterdigits/gm.py --workdir=runs/gm

About 2 minutes on 2 CPU cores. What to expect: experiments/frontiers/gm.py.
"""

from oilwater_jax import Config, default


def get_config() -> Config:
    """Default + delta."""
    config = default()
    config.attack.name = "gm"
    config.gm.targets = 1
    config.gm.eps = 32.0  # the published 16 is weak here: experiments/frontiers/gm.py
    config.epic.ratio = 0.3  # chosen on validation by experiments/frontiers, ratio_dlbd
    config.epic.stop_after = 5
    return config
