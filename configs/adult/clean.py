"""TODO

oilwater run --config=configs/adult/clean.py --workdir=runs/adult_clean
"""

from oilwater_jax import Config, default


def get_config() -> Config:
    """Default + delta."""
    config = default()
    config.data.name = "adult"
    config.model.name = "mlp"
    config.pretrain.epochs = 0
    config.attack.name = "none"
    config.rows = ("erm", "jtt", "george", "balanced", "group_dro")
    return config
