"""Published settings for Waterbirds and CelebA, used by configs/waterbirds and configs/celeba.

None has been run at full size yet: neither the data nor an accelerator was at hand. On a CPU `smoke` takes minutes with
a ResNet-50; `--config.model.name=resnet18 --config.model.init_from=` is the quicker try, and needs no weights.

A config is the defaults with changes on top, in this order: SHARED, DATASETS, METHODS, ATTACKS, MODELS. Most of what
a method sets is in a section of its own (`jtt.lambda_up`) and is there in every config. A few settings are in sections
that methods share (`train.batch`, `identify`), and there the methods differ. `config` is told which methods a run is
about, and takes theirs; where two of them differ it takes those of the one that METHODS names first, which is JTT.

Sources, as the comments name them: [JTT] Liu et al. 2021 (anniesch/jtt, README and generate_downstream.py); [DRO]
Sagawa et al. 2020 (kohpangwei/group_DRO, README); [GEORGE] Sohoni et al. 2020 (HazyResearch/hidden-stratification,
configs: waterbirds_george_config, celeba_george_config_nobit); [EPIc] Yang et al. 2022 (YuYang0901/EPIC, examples.sh);
[GM] Geiping et al. 2021; [SA] Jagielski et al. 2021; [BadNets] Gu et al. 2017; [ViT] Dosovitskiy et al. 2021, appendix
B.1.1; [paper] "Like Oil and Water".
"(recalled)": not checked against its source. "(ours)": the paper and the literature leave it open.

Where the reference codes do other things than this package at the same settings:

Method     Reference code
JTT        counts epochs from 0 (CelebA's T = 1 is during the second epoch) and collects the errors of epoch T while it
           trains; here a clean pass after T epochs. Adds lambda_up copies to the original: lambda_up + 1 draws
GEORGE     looks at the identification epoch that is best on validation (train.select_reference=val_acc), here at the
           last; on Waterbirds the final epoch is selected by validation accuracy re-weighted by true groups, here by
           the worst estimated cluster
group DRO  reports the loss with the size adjustment in it; the gradients are the same
EPIc       counts epochs from 0: a round at epoch e comes after e trained epochs (epic.counted_from=0), here after e -
           1. No round after the last drop of the learning rate (epic.stop_after). Gradients in the last layer's weights
           (epic.gradients=weights), against backdoors with the bias; here in the logits. Wrong for classes of unequal
           sizes (utils/coreset.py adds class times that class's number of clusters to cluster ids): it eliminated 135
           samples where the method eliminates 44
GM         rounds the number of poisons up, here down; keeps poisons in floating point, here in whole steps of 0..255

Importing this needs neither JAX nor NumPy.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from oilwater_jax.settings.config import Config, Grid, default

Changes = Mapping[str, Any]

SHARED: Changes = {
    # What is worth comparing and costs no more than JTT does; every setting of these rows is as published.
    "rows": ("erm@clean", "erm", "jtt", "jtt:ideal", "jtt:worst", "epic", "epic+jtt"),  # (ours)
    "model.name": "resnet50",  # [JTT], [DRO], [GEORGE]
    # ImageNet's weights, as all three have it; `oilwater weights import FILE --model=resnet50 --out=weights/resnet50`
    "model.init_from": "weights/resnet50",
    "model.normalise": "imagenet",
    "pretrain.epochs": 0,
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
        "robust.learning_rate": 1e-5,  # [JTT], [GEORGE]; [DRO] with strong regularisation (recalled)
        "robust.weight_decay": 1.0,  # [JTT], [GEORGE]; [DRO] with strong regularisation (recalled)
        "robust.epochs": 300,  # [JTT], [DRO], [GEORGE]
    },
    "celeba": {
        "data.name": "celeba10",  # [paper], a random tenth; all of it: --config.data.name=celeba
        "erm.learning_rate": 1e-4,  # [DRO], its standard (weak) regularisation
        "erm.weight_decay": 1e-4,  # [DRO]
        "erm.epochs": 50,  # [DRO]
        "robust.learning_rate": 1e-5,  # [JTT], [GEORGE]; [DRO] with strong regularisation (recalled)
        "robust.weight_decay": 0.1,  # [JTT], [GEORGE]; [DRO] with strong regularisation (recalled)
        "robust.epochs": 50,  # [JTT], [DRO], [GEORGE]
    },
}

BOTH = "both"  # what a method sets on either data set
# In the order in which they count where they differ.
METHODS: Mapping[str, Mapping[str, Changes]] = {
    "jtt": {
        BOTH: {
            "train.batch": 64,  # [JTT]
            "identify.learning_rate": 1e-5,  # [JTT], both stages
        },
        "waterbirds": {
            "identify.weight_decay": 1.0,  # [JTT], both stages
            "identify.epochs": 60,  # [JTT], T
            "jtt.lambda_up": 100.0,  # [JTT]
        },
        # [JTT]'s are for all of CelebA, and so is T = 1: [paper]'s for the tenth are not known.
        "celeba": {
            "identify.weight_decay": 0.1,  # [JTT], both stages
            "identify.epochs": 1,  # [JTT], T
            "jtt.lambda_up": 50.0,  # [JTT]
        },
    },
    "george": {
        BOTH: {
            "train.batch": 128,  # [GEORGE]
            # [GEORGE] has these two on both data sets, on CelebA for features of a network that saw ImageNet alone.
            "george.reducer": "hardness",
            "george.clusterer": "gmm",
            "group_dro.eta": 0.01,  # [DRO], [GEORGE]
            "identify.learning_rate": 1e-5,  # [GEORGE]: both stages alike; features of a fully trained ERM
        },
        "waterbirds": {
            "identify.weight_decay": 1.0,  # [GEORGE], as in its final stage
            "identify.epochs": 300,  # [GEORGE], as in its final stage
            "george.adjustment": 2.0,  # [GEORGE], C
        },
        "celeba": {
            "identify.weight_decay": 0.1,  # [GEORGE], as in its final stage
            "identify.epochs": 50,  # [GEORGE], as in its final stage
            "george.adjustment": 3.0,  # [GEORGE], C
        },
    },
    "group_dro": {
        BOTH: {
            "train.batch": 128,  # [DRO]
            "group_dro.eta": 0.01,  # [DRO]
            "group_dro.adjustment": 0.0,  # [DRO]
        },
        "waterbirds": {},
        "celeba": {},
    },
    # [EPIc] has no settings for these data. Its lines for trainings of 40 epochs (every 2nd from 10) and of 200 (every
    # 10th from 30) are those against poisons of eps = 8; against eps = 16 it has one, of 40 epochs (every 5th from 1),
    # which is not taken: a defender does not know eps.
    "epic": {
        BOTH: {
            "epic.ratio": 0.2,  # [EPIc] has 0.1, 0.2 and 0.3
            "epic.gradients": "last_layer",  # [EPIc]
            "epic.cluster_thresh": 1,  # [EPIc]
        },
        "waterbirds": {  # 300 epochs: 200 are nearest
            "epic.subset_freq": 10,
            "epic.drop_after": 30,
            "epic.stop_after": 100,  # (ours) its dial, turned by `elimination` below
        },
        "celeba": {  # 50 epochs: 40 are nearest
            "epic.subset_freq": 2,
            "epic.drop_after": 10,
            "epic.stop_after": 20,  # (ours) its dial, turned by `elimination` below
        },
    },
}

# [ViT]'s fine-tuning (recalled): SGD, batches of 512, no decay, half a cosine, gradients clipped to norm 1.
VIT_RECIPE: Changes = {
    "learning_rate": 0.01,  # of 0.001, 0.003, 0.01 and 0.03, chosen on validation
    "weight_decay": 0.0,
    "schedule": "cosine",
    "clip": 1.0,
}
MODELS: Mapping[str, Changes] = {
    "resnet50": {},  # what all of the above is for
    # No method's paper has settings for it: T and lambda_up, say, are then those for a ResNet-50, to be chosen anew.
    "vit_s16": {
        "model.name": "vit_s16",
        "model.init_from": "weights/vit_s16",
        "model.normalise": "inception",  # as timm's weights of it want
        "train.batch": 512,  # [ViT]
        **{
            f"{name}.{field}": value
            for name in ("erm", "identify", "robust")
            for field, value in VIT_RECIPE.items()
        },
        # [ViT] warms up over 500 steps, of 2,000 on small data; Waterbirds has 10 steps an epoch.
        "erm.epochs": 200,
        "erm.warmup": 50,
        "robust.epochs": 200,
        "robust.warmup": 50,
        "identify.warmup": 0,  # (ours) it ends early, within the warm-up or soon after
    },
}

ATTACKS: Mapping[str, Changes] = {
    "dlbd": {
        "attack.name": "dlbd",
        "attack.budget": 0.01,  # [paper] has 0.1% to 1%
        # [BadNets] and its followers: white, 3 x 3 pixels in the corner of 32 x 32; of 224 x 224 that is 21 x 21.
        "dlbd.size": 21,
        "dlbd.margin": 0,
        "dlbd.colour": (255, 255, 255),
        "dlbd.opacity": 1.0,
    },
    "sa": {
        "attack.name": "sa",
        "data.auxiliary": 0.2,  # (ours) what the attacker holds is taken from nobody else's training
        "sa.match": "cluster",  # [SA], ClusterMatch
        "sa.alpha": 1.0,  # [SA] has 0.5, 1 and 2
        "sa.clusters": 100,  # [SA]
        "sa.components": 10,  # [SA]
    },
    "gm": {
        "attack.name": "gm",
        "attack.budget": 0.01,  # [GM]
        "gm.targets": 1,  # [GM]
        "gm.eps": 16.0,  # [GM]
        "gm.steps": 250,  # [GM]
        "gm.restarts": 8,  # [GM]
        # [GM] has 0.1 of a normalised pixel, whatever eps is: 5.8 of 255 by ImageNet's deviations. A step of 0.1 of
        # eps was not found to craft other poisons (final 1 - cosine equal to 0.003).
        "gm.step_size": 5.8,
        "gm.step_unit": "pixel",
        "gm.flip": False,  # as the training that is attacked: it has no augmentation
    },
}

SEEDS = 3  # (ours) of the tables; [GM] asks for several trials
TABLE_1_EPOCHS = {
    "waterbirds": (40, 50, 60),
    "celeba": (1, 5, 10),
}  # the values of T that [JTT] chose among (recalled)
# (ours) From one round of EPIc to all that the training has room for.
STOPS = {"waterbirds": (31, 70, 100, 150, 300), "celeba": (11, 16, 20, 30, 50)}

AMPLIFIED = {  # rows by method: Table 2
    "jtt": ("erm@clean", "erm", "jtt", "jtt:ideal", "jtt:worst"),
    "george": ("erm@clean", "erm", "george", "george:ideal", "george:worst"),
}
DEFENDED = {  # rows by method: Tables 3 and 19
    "jtt": ("erm@clean", "erm", "epic", "jtt", "epic+jtt"),  # (ours) in one training
    "george": ("erm@clean", "erm", "epic", "george", "epic/george"),  # (ours) one after the other
}


def config(dataset: str, attack: str, methods: Iterable[str] = (), model: str = "resnet50") -> Config:
    """The published config of an attack on a data set, for a run that is about some methods.

    Case                       Settings in the sections that methods share
    no methods named           JTT's
    one method                 its own; JTT's where it has none
    several                    each one's own; where they differ, those of the one that METHODS names first

    The settings in a method's own section are there in each case; those of `model` come last. Raises KeyError for a
    name that DATASETS, ATTACKS, METHODS or MODELS lacks.
    """
    named = set(methods)
    if unknown := named - set(METHODS):
        raise KeyError(min(unknown))
    ranked = [name for name in METHODS if name in named] + [name for name in METHODS if name not in named]
    of_methods = [METHODS[name][part] for name in reversed(ranked) for part in (BOTH, dataset)]
    found = default()
    for changes in (SHARED, DATASETS[dataset], *of_methods, ATTACKS[attack], MODELS[model]):
        found.update_from_flattened_dict(changes)
    return found


def identification(dataset: str) -> Grid:
    """Table 1's grid: what JTT, for several T, and GEORGE identify under each attack."""
    runs = {}
    for attack in ATTACKS:
        for epochs in TABLE_1_EPOCHS[dataset]:
            runs[f"{attack}_jtt_T{epochs}"] = run = config(dataset, attack, ["jtt"])
            run.identify.epochs = epochs
            run.look = ("jtt",)
        runs[f"{attack}_george"] = run = config(dataset, attack, ["george"])
        run.look = ("george",)
    for run in runs.values():
        run.rows = ()
    return Grid(runs, SEEDS)


def amplification(dataset: str) -> Grid:
    """Table 2's grid: JTT and GEORGE in every amplification mode under each attack, and without one."""
    runs = {}
    for attack in ATTACKS:
        for method, rows in AMPLIFIED.items():
            runs[f"{attack}_{method}"] = run = config(dataset, attack, [method])
            run.rows = rows
    for method in AMPLIFIED:
        runs[f"none_{method}"] = run = config(dataset, "dlbd", [method])
        run.attack.name = "none"
        run.rows = ("erm@clean", method)
    return Grid(runs, SEEDS)


def elimination(dataset: str) -> Grid:
    """The grid of Tables 3 and 19: EPIc alone, and with JTT and GEORGE, for each stopping epoch and attack."""
    runs = {}
    for attack in ATTACKS:
        for method, rows in DEFENDED.items():
            for stop in STOPS[dataset]:
                runs[f"{attack}_{method}_stop{stop}"] = run = config(dataset, attack, ["epic", method])
                run.rows = rows
                run.epic.stop_after = stop
    return Grid(runs, SEEDS)
