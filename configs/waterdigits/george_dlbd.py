"""GEORGE under the main job's backdoor: ERM features, clusters within each class, group DRO over the clusters.

oilwater run --config=configs/waterdigits/george_dlbd.py --workdir=runs/george

About 70 seconds on 2 CPU cores. What to expect: experiments/table02_amplification, line DLBD, GEORGE.
"""

import runpy
from pathlib import Path

from oilwater_jax.config import Config


def get_config() -> Config:
    """The main job + delta."""
    config = runpy.run_path(str(Path(__file__).parent / "jtt_dlbd.py"))["get_config"]()
    config.method.name = "george"
    return config
