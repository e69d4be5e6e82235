"""A subpopulation attack on Adult: flipped labels on one cluster of what a surrogate sees.

oilwater run --config=configs/adult/sa.py --workdir=runs/adult_sa

About 20 seconds on 2 CPU cores. What to expect: experiments/adult.
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
    # Chosen on validation by experiments/adult/choose.py.
    for recipe in (config.erm, config.identify, config.robust):
        recipe.learning_rate = 0.02
    config.jtt.lambda_up = 3.0
    return config
