"""The literature's settings for Waterbirds and CelebA, in one place: what configs/waterbirds and configs/celeba return.

None has been run at full size yet: neither the data nor an accelerator was at hand. On a CPU `smoke` takes minutes with
a ResNet-50; `--config.model.name=resnet18 --config.model.init_from=` is the quicker try, and needs no weights.

A config is `fields`' defaults with four sets of changes on top, in this order: SHARED, DATASETS, METHODS, ATTACKS.

Sources, as the comments name them: [JTT] Liu et al. 2021 (anniesch/jtt, README and generate_downstream.py); [DRO]
Sagawa et al. 2020 (kohpangwei/group_DRO, README); [GEORGE] Sohoni et al. 2020 (HazyResearch/hidden-stratification,
configs: waterbirds_george_config, celeba_george_config_nobit); [EPIc] Yang et al. 2022 (YuYang0901/EPIC, examples.sh);
[GM] Geiping et al. 2021; [SA] Jagielski et al. 2021; [BadNets] Gu et al. 2017; [paper] "Like Oil and Water".
"(recalled)": not checked against its source. "(ours)": the paper and the literature leave it open.

Importing this needs neither JAX nor NumPy.
"""

from collections.abc import Mapping
from typing import Any

from oilwater_jax.config import Config, Grid, default
from oilwater_jax.fields import MODES

Changes = Mapping[str, Any]

SHARED: Changes = {
    "model.name": "resnet50",  # [JTT], [DRO], [GEORGE]
    # ImageNet's weights, as all three have it; `oilwater weights import FILE --model=resnet50 --out=weights/resnet50`
    "model.init_from": "weights/resnet50",
    "model.normalise": "imagenet",
    "pretrain.epochs": 0,
    "train.batch": 64,  # [JTT]
    "train.momentum": 0.9,  # [JTT], [DRO], [GEORGE]; a constant learning rate
    "train.shift": 0,  # no augmentation: [JTT]
    "train.select": "val_wga",  # [JTT], [DRO]
    "checkpoint.seconds": 300.0,  # (ours) one of a ResNet-50 in training is about 0.3 GB
}

DATASETS: Mapping[str, Changes] = {
    "waterbirds": {
        "data.name": "waterbirds",
        "erm.learning_rate": 1e-3,  # [DRO], its standard (weak) regularisation
        "erm.weight_decay": 1e-4,  # [DRO]
        "erm.epochs": 300,  # [DRO]
        "identify.learning_rate": 1e-5,  # [JTT], both stages
        "identify.weight_decay": 1.0,  # [JTT], both stages
        "identify.epochs": 60,  # [JTT], T
        "robust.learning_rate": 1e-5,  # [JTT], [GEORGE]; [DRO] with strong regularisation (recalled)
        "robust.weight_decay": 1.0,  # [JTT], [GEORGE]; [DRO] with strong regularisation (recalled)
        "robust.epochs": 300,  # [JTT], [DRO], [GEORGE]
        "method.lambda_up": 100.0,  # [JTT]
        "george.adjustment": 2.0,  # [GEORGE], C
        # [EPIc] has settings for trainings of 40 and of 200 epochs; these are the latter's, which are nearest to 300.
        "epic.subset_freq": 10,
        "epic.drop_after": 30,
        "epic.stop_after": 100,  # (ours) its dial, turned by `elimination` below
    },
    "celeba": {
        "data.name": "celeba10",  # [paper], a random tenth; all of it: --config.data.name=celeba
        "erm.learning_rate": 1e-4,  # [DRO], its standard (weak) regularisation
        "erm.weight_decay": 1e-4,  # [DRO]
        "erm.epochs": 50,  # [DRO]
        # [JTT]'s are for all of CelebA, and so is T = 1: [paper]'s for the tenth are not known.
        "identify.learning_rate": 1e-5,  # [JTT], both stages
        "identify.weight_decay": 0.1,  # [JTT], both stages
        "identify.epochs": 1,  # [JTT], T
        "robust.learning_rate": 1e-5,  # [JTT], [GEORGE]; [DRO] with strong regularisation (recalled)
        "robust.weight_decay": 0.1,  # [JTT], [GEORGE]; [DRO] with strong regularisation (recalled)
        "robust.epochs": 50,  # [JTT], [DRO], [GEORGE]
        "method.lambda_up": 50.0,  # [JTT]
        "george.adjustment": 3.0,  # [GEORGE], C
        # [EPIc]'s settings for trainings of 40 epochs
        "epic.subset_freq": 2,
        "epic.drop_after": 10,
        "epic.stop_after": 20,  # (ours) its dial, turned by `elimination` below
    },
}

AMPLIFIED = ("erm_clean", "erm", *MODES)
DEFENDED = ("erm_clean", "erm", "epic", "standard", "combined")
GEORGE: Changes = {
    "method.name": "george",
    "train.batch": 128,  # [GEORGE]
    # [GEORGE] has these two on both data sets, on CelebA for features of a network that has seen ImageNet alone.
    "george.reducer": "hardness",
    "george.clusterer": "gmm",
    "group_dro.eta": 0.01,  # [DRO], [GEORGE]
}
EPIC: Changes = {
    "epic.ratio": 0.2,  # [EPIc] has 0.1, 0.2 and 0.3
    "epic.gradients": "last_layer",  # [EPIc]
    "epic.cluster_thresh": 1,  # [EPIc]
}
METHODS: Mapping[str, Changes] = {
    "erm": {"rows": ("erm_clean", "erm")},
    "group_dro": {
        "rows": ("erm_clean", "erm", "group_dro", "group_dro_poisoned"),
        "train.batch": 128,  # [DRO]
        "group_dro.eta": 0.01,  # [DRO]
        "group_dro.adjustment": 0.0,  # [DRO]
    },
    "jtt": {"rows": AMPLIFIED},
    "george": {"rows": AMPLIFIED, **GEORGE},
    "epic": {"rows": ("erm_clean", "erm", "epic"), **EPIC},
    "epic_jtt": {"rows": DEFENDED, **EPIC, "epic.when": "during"},  # (ours)
    "epic_george": {"rows": DEFENDED, **GEORGE, **EPIC, "epic.when": "before"},  # (ours)
}

ATTACKS: Mapping[str, Changes] = {
    "dlbd": {
        "attack.name": "dlbd",
        "attack.budget": 0.01,  # [paper] has 0.1% to 1%
        # [BadNets] and its followers: white, 3 x 3 pixels in the corner of 32 x 32; of 224 x 224 that is 21 x 21.
        "attack.trigger.size": 21,
        "attack.trigger.margin": 0,
        "attack.trigger.colour": (255, 255, 255),
        "attack.trigger.opacity": 1.0,
    },
    "sa": {
        "attack.name": "sa",
        "data.auxiliary": 0.2,  # (ours) what the attacker holds is taken from nobody else's training
        "attack.sa.match": "cluster",  # [SA], ClusterMatch
        "attack.sa.alpha": 1.0,  # [SA] has 0.5, 1 and 2
        "attack.sa.clusters": 100,  # [SA]
        "attack.sa.components": 10,  # [SA]
    },
    "gm": {
        "attack.name": "gm",
        "attack.budget": 0.01,  # [GM]
        "attack.gm.targets": 1,  # [GM]
        "attack.gm.eps": 16.0,  # [GM]
        "attack.gm.steps": 250,  # [GM]
        "attack.gm.restarts": 8,  # [GM]
        "attack.gm.step_size": 0.1,  # [GM]
        "attack.gm.flip": False,  # as the training that is attacked: it has no augmentation
    },
}

SEEDS = 3  # (ours) of the tables; [GM] asks for several trials
TABLE_1_EPOCHS = {
    "waterbirds": (40, 50, 60),
    "celeba": (1, 5, 10),
}  # the values of T that [JTT] chose among (recalled)
# (ours) From one round of EPIc to all that the training has room for.
STOPS = {"waterbirds": (31, 70, 100, 150, 300), "celeba": (11, 16, 20, 30, 50)}


def pair(dataset: str, method: str, attack: str) -> Config:
    """The config of a method under an attack. Raises KeyError for a name that DATASETS, METHODS or ATTACKS lacks."""
    config = default()
    for changes in (SHARED, DATASETS[dataset], METHODS[method], ATTACKS[attack]):
        config.update_from_flattened_dict(changes)
    if config.method.name == "george":
        config.identify.update(config.robust)  # [GEORGE]: both stages alike; features of a fully trained ERM
    return config


def identification(dataset: str) -> Grid:
    """Table 1's grid: whom JTT, after several T, and GEORGE identify under each attack."""
    runs = {}
    for attack in ATTACKS:
        for epochs in TABLE_1_EPOCHS[dataset]:
            runs[f"{attack}_jtt_T{epochs}"] = run = pair(dataset, "jtt", attack)
            run.identify.epochs = epochs
        runs[f"{attack}_george"] = pair(dataset, "george", attack)
    for run in runs.values():
        run.rows = ()
    return Grid(runs, SEEDS)


def amplification(dataset: str) -> Grid:
    """Table 2's grid: JTT and GEORGE in every amplification mode under each attack, and without one."""
    runs = {
        f"{attack}_{method}": pair(dataset, method, attack)
        for attack in ATTACKS
        for method in ("jtt", "george")
    }
    for method in ("jtt", "george"):
        runs[f"none_{method}"] = run = pair(dataset, method, "dlbd")
        run.attack.name = "none"
        run.rows = ("erm_clean", "standard")
    return Grid(runs, SEEDS)


def elimination(dataset: str) -> Grid:
    """The grid of Tables 3 and 19: EPIc alone, and with JTT and GEORGE, for each stopping epoch and attack."""
    runs = {}
    for attack in ATTACKS:
        for method in ("jtt", "george"):
            for stop in STOPS[dataset]:
                runs[f"{attack}_{method}_stop{stop}"] = run = pair(dataset, f"epic_{method}", attack)
                run.epic.stop_after = stop
    return Grid(runs, SEEDS)
