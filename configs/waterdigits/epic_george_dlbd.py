"""EPIc before GEORGE under the main job's backdoor: GEORGE clusters and trains on what EPIc left.

oilwater run --config=configs/waterdigits/epic_george_dlbd.py --workdir=runs/epic_george

About two minutes on 2 CPU cores. What to expect: experiments/table19_combined.
"""

import runpy
from pathlib import Path

from oilwater_jax.config import Config


def get_config() -> Config:
    """EPIc + JTT's config + delta."""
    config = runpy.run_path(str(Path(__file__).parent / "epic_jtt_dlbd.py"))["get_config"]()
    config.method.name = "george"
    config.epic.when = "before"
    return config
