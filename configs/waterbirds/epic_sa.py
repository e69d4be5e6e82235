"""EPIc under the subpopulation attack on Waterbirds.

oilwater run --config=configs/waterbirds/epic_sa.py --workdir=runs/waterbirds_epic_sa

The settings and their sources: oilwater_jax/published.py.
"""

from oilwater_jax import published
from oilwater_jax.settings.config import Config


def get_config() -> Config:
    """Published settings."""
    return published.pair("waterbirds", "epic", "sa")
