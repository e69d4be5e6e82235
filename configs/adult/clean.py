"""Adult without an attack: ERM, JTT, GEORGE and two oracles on minorities that nobody made.

oilwater run --config=configs/adult/clean.py --workdir=runs/adult_clean

About 20 seconds on 2 CPU cores.
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
    # Chosen on validation by experiments/adult/choose.py.
    for recipe in (config.erm, config.identify, config.robust):
        recipe.learning_rate = 0.02
    config.jtt.lambda_up = 3.0
    return config
