"""The grid of Table 2: JTT and GEORGE in every amplification mode under three attacks, on Waterbirds.

oilwater sweep --config=configs/waterbirds/table02.py --workdir=runs/waterbirds

The settings and their sources: oilwater_jax/settings/published.py.
"""

from oilwater_jax import Grid
from oilwater_jax.settings import published


def get_grid() -> Grid:
    """Published settings."""
    return published.amplification("waterbirds")
