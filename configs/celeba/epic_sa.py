"""EPIc under the subpopulation attack on CelebA.

oilwater run --config=configs/celeba/epic_sa.py --workdir=runs/celeba_epic_sa

The settings and their sources: oilwater_jax/published.py.
"""

from oilwater_jax import published
from oilwater_jax.settings.config import Config


def get_config() -> Config:
    """Published settings."""
    return published.pair("celeba", "epic", "sa")
