"""TODO

oilwater run --config=configs/adult/tabular_gm.py --workdir=runs/adult_tabular_gm
"""

from oilwater_jax import Config, default


def get_config() -> Config:
    """Default + delta."""
    config = default()
    config.data.name = "adult"
    config.model.name = "mlp"
    config.pretrain.epochs = 0
    config.attack.name = "tabular_gm"
    return config
