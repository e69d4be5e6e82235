"""The grid of Table 1: whom JTT and GEORGE identify under three attacks, on CelebA.

oilwater sweep --config=configs/celeba/table01.py --workdir=runs/celeba

The settings and their sources: oilwater_jax/published.py.
"""

from oilwater_jax import published
from oilwater_jax.settings.config import Grid


def get_grid() -> Grid:
    """Published settings."""
    return published.identification("celeba")
