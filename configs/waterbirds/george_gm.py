"""GEORGE under gradient matching on Waterbirds.

oilwater run --config=configs/waterbirds/george_gm.py --workdir=runs/waterbirds_george_gm

The settings and their sources: oilwater_jax/published.py.
"""

from oilwater_jax import published
from oilwater_jax.settings.config import Config


def get_config() -> Config:
    """Published settings."""
    return published.pair("waterbirds", "george", "gm")
