"""JTT under the subpopulation attack on CelebA.

oilwater run --config=configs/celeba/jtt_sa.py --workdir=runs/celeba_jtt_sa

The settings and their sources: oilwater_jax/published.py.
"""

from oilwater_jax import published
from oilwater_jax.settings.config import Config


def get_config() -> Config:
    """Published settings."""
    return published.pair("celeba", "jtt", "sa")
