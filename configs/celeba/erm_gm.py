"""ERM under gradient matching on CelebA.

oilwater run --config=configs/celeba/erm_gm.py --workdir=runs/celeba_erm_gm

The settings and their sources: oilwater_jax/published.py.
"""

from oilwater_jax import published
from oilwater_jax.settings.config import Config


def get_config() -> Config:
    """Published settings."""
    return published.pair("celeba", "erm", "gm")
