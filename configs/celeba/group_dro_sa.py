"""Group DRO over the true groups under the subpopulation attack on CelebA.

oilwater run --config=configs/celeba/group_dro_sa.py --workdir=runs/celeba_group_dro_sa

The settings and their sources: oilwater_jax/published.py.
"""

from oilwater_jax import published
from oilwater_jax.settings.config import Config


def get_config() -> Config:
    """Published settings."""
    return published.pair("celeba", "group_dro", "sa")
