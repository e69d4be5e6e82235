"""EPIc during JTT under the dirty-label backdoor on Waterbirds.

oilwater run --config=configs/waterbirds/epic_jtt_dlbd.py --workdir=runs/waterbirds_epic_jtt_dlbd

The settings and their sources: oilwater_jax/published.py.
"""

from oilwater_jax import published
from oilwater_jax.settings.config import Config


def get_config() -> Config:
    """Published settings."""
    return published.pair("waterbirds", "epic_jtt", "dlbd")
