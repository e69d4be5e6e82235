"""Every method under gradient matching on CelebA, with the literature's settings.

oilwater run --config=configs/celeba/gm.py --workdir=runs/celeba_gm

Trains ERM, JTT (as it is, ideal, worst), EPIc, and EPIc with JTT. Any other row under the same attack:
--config.rows=erm,group_dro,george,george:ideal,epic/george

The batch of 64 and the reference model are JTT's. Group DRO and GEORGE were published with batches of 128, and GEORGE
with a reference model that is trained like its final one; to run these alone as published, add
--config.train.batch=128 --config.identify.epochs=50

The settings and their sources: oilwater_jax/settings/published.py.
"""

from oilwater_jax import Config
from oilwater_jax.settings import published


def get_config() -> Config:
    """Published settings."""
    return published.config("celeba", "gm")
