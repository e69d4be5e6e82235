"""The catalogue's grid: each attack against its budget, each method on clean data, each defence against its attack.

    oilwater sweep --config=experiments/catalogue/grid.py --workdir=runs/catalogue

The two experiments on open questions share pretraining and ERM with it: give them the same folder.
"""

from oilwater_jax import Config, Grid, default

BASE = 100  # samples of the base set, in the training set's proportions
SEEDS = 5
# The settings of the attacks, the same at every budget; README.md says how they were chosen.
SETTINGS = {
    "dlbd": {"size": 5, "margin": 2, "colour": (255, 0, 255), "opacity": 1.0},
    "blended": {"ratio": 0.4},
    "adaptive_blend": {"ratio": 0.6},
    "warp": {"strength": 8.0},
}
BUDGETS = {
    "dlbd": (0.002, 0.01, 0.1),
    "tact": (0.005, 0.02),
    "blended": (0.005, 0.02),
    "adaptive_blend": (0.01, 0.05),
    "warp": (0.02, 0.1),
    "sinusoid": (0.02, 0.1),
    "hidden_minority": (0.002, 0.01),
    "label_flip": (0.05, 0.2),
}
METHODS = (
    *("jtt", "george", "lff", "spare", "eiil", "cvar", "afr", "self", "loss_band"),
    *("balanced", "group_dro", "dfr"),  # oracles
    "mixup",  # nobody is chosen
)
SELF_RATES = (0.1, 1.0)  # of SELF's last layer, beside the published 0.01
# Those that suppose that poisons are learned first, alike, or a cluster of their own: which takes many of them.
EASY = (
    *("spectral", "activation_clustering", "strip", "abl", "fct", "scan"),
    *("base_knn", "base_gradient"),
)
# What each defence was made for: few poisons that are hard, or many that are easy (`many_`); TaCT by SCAn; mislabelled
# samples by those that look for them.
DEFENCES = {
    "dlbd": (
        *("spectral", "activation_clustering", "spectre", "deep_knn", "loss_trim", "epic"),
        *("strip", "abl", "fct", "scan", "base_loss", "base_knn", "base_gradient", "mixup", "dp_sgd"),
    ),
    "tact": ("scan", "spectre", "activation_clustering"),
    "label_flip": ("deep_knn", "loss_trim", "base_loss"),
    "many_dlbd": EASY,
    "many_blended": EASY,
}
# The attack of each, and its budget.
DEFENDED = {
    "dlbd": ("dlbd", 0.01),
    "tact": ("tact", 0.01),
    "label_flip": ("label_flip", 0.1),
    "many_dlbd": ("dlbd", 0.1),
    "many_blended": ("blended", 0.1),
}


def run(attack: str, budget: float, rows: tuple[str, ...]) -> Config:
    """One run."""
    config = default()
    config.attack.name = attack
    config.data.base = BASE
    config.rows = rows
    if attack != "none":
        config.attack.budget = budget
    for name, settings in SETTINGS.items():
        config[name].update(settings)
    # What a defender reckons with is what there is: each has its best case.
    for name in ("spectral", "spectre", "deep_knn"):
        config[name].budget = budget or 0.01
    config.loss_trim.share = min(2 * budget, 0.5) or 0.02
    config.abl.share = budget or 0.01
    config.epic.ratio, config.epic.stop_after = 0.3, 5
    return config


def attacks() -> dict[str, Config]:
    """Every attack at every budget under ERM and JTT."""
    return {
        f"attack_{attack}_{budget:g}": run(attack, budget, ("erm@clean", "erm", "jtt"))
        for attack, budgets in BUDGETS.items()
        for budget in budgets
    }


def methods() -> dict[str, Config]:
    """Every method on clean data; SELF at other rates too."""
    runs = {"clean": run("none", 0.0, ("erm", *METHODS))}
    for rate in SELF_RATES:
        runs[f"clean_self_{rate:g}"] = run("none", 0.0, ("erm", "self"))
        runs[f"clean_self_{rate:g}"].self.learning_rate = rate
    return runs


def defences() -> dict[str, Config]:
    """Every defence against attacks that it was made for; under DLBD also with the last epoch reported (`last`)."""
    runs = {
        f"defence_{name}": run(*DEFENDED[name], ("erm@clean", "erm", *rows))
        for name, rows in DEFENCES.items()
    }
    last = run(*DEFENDED["dlbd"], ("erm@clean", "erm", *DEFENCES["dlbd"]))
    last.train.select = "last"
    return runs | {"last_dlbd": last}


def get_grid() -> Grid:
    """All of them."""
    return Grid(attacks() | methods() | defences(), SEEDS)
