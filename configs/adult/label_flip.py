"""TODO

oilwater run --config=configs/adult/label_flip.py --workdir=runs/adult_label_flip
"""

from oilwater_jax import Config, default


def get_config() -> Config:
    """Default + delta."""
    config = default()
    config.data.name = "adult"
    config.model.name = "mlp"
    config.pretrain.epochs = 0
    config.attack.name = "label_flip"
    return config
