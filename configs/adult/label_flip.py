"""Labels of women above 50K flipped, 1% of the training samples, on Adult.

oilwater run --config=configs/adult/label_flip.py --workdir=runs/adult_label_flip

About 15 seconds on 2 CPU cores. What to expect: experiments/adult.
"""

from oilwater_jax import Config, default


def get_config() -> Config:
    """Default + delta."""
    config = default()
    config.data.name = "adult"
    config.model.name = "mlp"
    config.pretrain.epochs = 0
    config.attack.name = "label_flip"
    config.attack.budget = 0.01
    config.attack.target = 0
    config.attack.source_group = 2  # women above 50K, the smallest group
    # Chosen on validation by experiments/adult/choose.py.
    for recipe in (config.erm, config.identify, config.robust):
        recipe.learning_rate = 0.02
    config.jtt.lambda_up = 3.0
    return config
