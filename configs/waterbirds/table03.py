"""The grid of Tables 3 and 19: EPIc's stopping epoch, alone and with a method, under three attacks, on Waterbirds.

oilwater sweep --config=configs/waterbirds/table03.py --workdir=runs/waterbirds

The settings and their sources: oilwater_jax/settings/published.py.
"""

from oilwater_jax import Grid
from oilwater_jax.settings import published


def get_grid() -> Grid:
    """Published settings."""
    return published.elimination("waterbirds")
