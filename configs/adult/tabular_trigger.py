"""TODO

oilwater run --config=configs/adult/tabular_trigger.py --workdir=runs/adult_tabular_trigger
"""

from oilwater_jax import Config, default


def get_config() -> Config:
    """Default + delta."""
    config = default()
    config.data.name = "adult"
    config.model.name = "mlp"
    config.pretrain.epochs = 0
    config.attack.name = "tabular_trigger"
    return config
