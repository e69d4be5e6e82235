"""Adult, whose minority nobody made: does amplification help attacks, and does elimination cost the minority?

    oilwater sweep --config=experiments/adult/grid.py --workdir=runs/adult
    python experiments/adult/report.py results runs/adult

Attacks: a tabular trigger (the two rarest values) on men below 50K; labels of women above 50K flipped; a subpopulation
attack on a cluster. Dials: budgets, JTT's lambda, EPIc's ratio. `every.py` has all methods under the trigger.
"""

from oilwater_jax import Config, Grid, default

SEEDS = 5
BUDGETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02)
ALPHAS = (0.2, 0.5, 1.0, 2.0)  # sa's poisons / members of the cluster, each of which is about 1% of train
LAMBDAS = (1.5, 2.0, 5.0, 10.0)  # beside the chosen one
RATIOS = (0.3, 0.7)  # of EPIc's medoids, beside 0.5
CHOSEN = {"trigger": 0.002, "flip": 0.01, "sa": 1.0}  # the strength at which more methods are met

CORE = ("erm@clean", "erm", "jtt@clean", "jtt", "jtt:ideal")
FEW = ("balanced", "group_dro", "epic", "epic/jtt", "loss_trim", "base_loss", "base_loss/jtt")


def run(attack: str, strength: float, rows: tuple[str, ...] = CORE) -> Config:
    """One run of the grid."""
    config = default()
    config.data.name = "adult"
    config.data.base = 200
    config.model.name = "mlp"
    config.pretrain.epochs = 0
    for recipe in (config.erm, config.identify, config.robust):
        recipe.learning_rate = 0.02
    config.jtt.lambda_up = 3.0  # this and the rate were chosen on validation by choose.py
    config.george.k_max = 4  # silhouettes of 19,000 samples are slow
    config.epic.ratio = 0.5
    config.rows = rows
    if attack == "trigger":
        config.attack.name = "tabular_trigger"
        config.attack.budget = strength
    elif attack == "flip":  # women above 50K, the smallest group, labelled below
        config.attack.name = "label_flip"
        config.attack.budget = strength
        config.attack.target = 0
        config.attack.source_group = 2
    else:
        config.attack.name = "sa"
        config.data.auxiliary = 0.2
        config.sa.alpha = strength
    return config


def get_grid() -> Grid:
    """Budgets of each attack; lambda and ratio at one budget of the trigger."""
    runs = {f"trigger_{one:g}": run("trigger", one) for one in BUDGETS}
    for factor in LAMBDAS:
        config = run("trigger", CHOSEN["trigger"], ("erm", "jtt"))
        config.jtt.lambda_up = factor
        runs[f"lambda_{factor:g}"] = config
    for attack, strengths in (("flip", BUDGETS[2:]), ("sa", ALPHAS)):
        for one in strengths:
            rows = (*CORE, *FEW) if one == CHOSEN[attack] else CORE
            runs[f"{attack}_{one:g}"] = run(attack, one, rows)
    for ratio in RATIOS:
        config = run("trigger", CHOSEN["trigger"], ("erm", "epic", "epic/jtt"))
        config.epic.ratio = ratio
        runs[f"ratio_{ratio:g}"] = config
    return Grid(runs, SEEDS)
