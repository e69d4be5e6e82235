"""TODO

oilwater run --config=configs/adult/sa.py --workdir=runs/adult_sa
"""

from oilwater_jax import Config, default


def get_config() -> Config:
    """Default + delta."""
    config = default()
    config.data.name = "adult"
    config.model.name = "mlp"
    config.pretrain.epochs = 0
    config.attack.name = "sa"
    config.data.auxiliary = 0.2
    return config
