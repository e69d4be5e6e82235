"""GEORGE under the dirty-label backdoor on CelebA.

oilwater run --config=configs/celeba/george_dlbd.py --workdir=runs/celeba_george_dlbd

The settings and their sources: oilwater_jax/published.py.
"""

from oilwater_jax import published
from oilwater_jax.settings.config import Config


def get_config() -> Config:
    """Published settings."""
    return published.pair("celeba", "george", "dlbd")
