"""The grid of Table 2: JTT and GEORGE in every amplification mode under three attacks, on CelebA.

oilwater sweep --config=configs/celeba/table02.py --workdir=runs/celeba

The settings and their sources: oilwater_jax/settings/published.py.
"""

from oilwater_jax import Grid
from oilwater_jax.settings import published


def get_grid() -> Grid:
    """Published settings."""
    return published.amplification("celeba")
