"""Settings of experiments/adult, chosen on validation of clean data: learning rate, JTT's lambda.

    oilwater sweep --config=experiments/adult/choose.py --workdir=runs/adult_choose
    python experiments/adult/report.py choose runs/adult_choose

The rule: the highest mean worst-group accuracy on validation (ERM's for the learning rate, then JTT's for lambda).
"""

from oilwater_jax import Config, Grid, default

RATES = (0.005, 0.02, 0.05)
LAMBDAS = (1.5, 2.0, 3.0, 5.0, 10.0)
SEEDS = 3


def run(rate: float, factor: float = 2.0) -> Config:
    """ERM and JTT on clean data, on validation."""
    config = default()
    config.data.name = "adult"
    config.model.name = "mlp"
    config.pretrain.epochs = 0
    config.attack.name = "none"
    config.evaluate = "val"
    for recipe in (config.erm, config.identify, config.robust):
        recipe.learning_rate = rate
    config.jtt.lambda_up = factor
    config.rows = ("erm", "jtt")
    return config


def get_grid() -> Grid:
    """Learning rates at lambda 2, lambdas at the rate that was chosen."""
    rates = {f"rate{rate:g}": run(rate) for rate in RATES}
    return Grid(rates | {f"lambda{one:g}": run(0.02, one) for one in LAMBDAS}, SEEDS)
