"""EPIc alone and EPIc with JTT under the main job's backdoor: samples with isolated gradients are trained on no more.

oilwater run --config=configs/waterdigits/epic_jtt_dlbd.py --workdir=runs/epic

About two minutes on 2 CPU cores. What to expect: experiments/table03_epic_tradeoff and experiments/table19_combined.
"""

import runpy
from pathlib import Path

from oilwater_jax.config import Config


def get_config() -> Config:
    """The main job + delta."""
    config = runpy.run_path(str(Path(__file__).parent / "jtt_dlbd.py"))["get_config"]()
    config.rows = ("erm_clean", "erm", "epic", "standard", "combined")
    config.epic.ratio = 0.3  # chosen on validation by experiments/table03_epic_tradeoff/choose.py
    config.epic.stop_after = 5
    return config
