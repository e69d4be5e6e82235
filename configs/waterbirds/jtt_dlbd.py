"""JTT under the dirty-label backdoor on Waterbirds.

oilwater run --config=configs/waterbirds/jtt_dlbd.py --workdir=runs/waterbirds_jtt_dlbd

The settings and their sources: oilwater_jax/published.py.
"""

from oilwater_jax import published
from oilwater_jax.settings.config import Config


def get_config() -> Config:
    """Published settings."""
    return published.pair("waterbirds", "jtt", "dlbd")
