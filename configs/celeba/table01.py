"""The grid of Table 1: which samples JTT and GEORGE identify under three attacks, on CelebA.

oilwater sweep --config=configs/celeba/table01.py --workdir=runs/celeba

The settings and their sources: oilwater_jax/settings/published.py.
"""

from oilwater_jax import Grid
from oilwater_jax.settings import published


def get_grid() -> Grid:
    """Published settings."""
    return published.identification("celeba")
