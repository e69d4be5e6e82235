"""The grid of Tables 3 and 19: EPIc's stopping epoch, alone and with a method, under three attacks, on Waterbirds.

oilwater sweep --config=configs/waterbirds/table03.py --workdir=runs/waterbirds

The settings and their sources: oilwater_jax/published.py.
"""

from oilwater_jax import published
from oilwater_jax.settings.config import Grid


def get_grid() -> Grid:
    """Published settings."""
    return published.elimination("waterbirds")
