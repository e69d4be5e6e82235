"""Group DRO over the true groups under the subpopulation attack on Waterbirds.

oilwater run --config=configs/waterbirds/group_dro_sa.py --workdir=runs/waterbirds_group_dro_sa

The settings and their sources: oilwater_jax/published.py.
"""

from oilwater_jax import published
from oilwater_jax.settings.config import Config


def get_config() -> Config:
    """Published settings."""
    return published.pair("waterbirds", "group_dro", "sa")
