"""The main job on a table: JTT under a tabular trigger of 0.2% on Adult.

oilwater run --config=configs/adult/tabular_trigger.py --workdir=runs/adult_tabular_trigger

About 15 seconds on 2 CPU cores. What to expect: experiments/adult.
"""

from oilwater_jax import Config, default


def get_config() -> Config:
    """Default + delta."""
    config = default()
    config.data.name = "adult"
    config.model.name = "mlp"
    config.pretrain.epochs = 0
    config.attack.name = "tabular_trigger"
    config.attack.budget = 0.002
    # Chosen on validation by experiments/adult/choose.py.
    for recipe in (config.erm, config.identify, config.robust):
        recipe.learning_rate = 0.02
    config.jtt.lambda_up = 3.0
    return config
