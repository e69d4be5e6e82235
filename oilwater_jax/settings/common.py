"""The settings that every experiment has, by section; what is registered brings its own (`entries.Entry.fields`).

Importing this needs neither JAX nor NumPy.
"""

from oilwater_jax.settings.field import Field

SELECTION_RULES = ("val_wga", "val_acc", "val_worst_class", "last")
RECIPES = ("pretrain", "erm", "identify", "robust")  # sections that are recipes of a training
CLUSTER_RULES = ("val_worst_cluster", *SELECTION_RULES)  # where a method estimates clusters


def _recipe(section: str, rate: float, decay: float, epochs: int, what: str) -> dict[str, Field]:
    return {
        f"{section}.learning_rate": Field(rate, f"learning rate of {what}", 0, 1000),
        f"{section}.weight_decay": Field(
            decay, f"weight decay of {what} (sgd: L2, added to the gradient; adamw: decoupled)", 0, 1000
        ),
        f"{section}.epochs": Field(epochs, f"epochs of {what}", 1, 100_000),
        f"{section}.optimiser": Field(
            "sgd", "optimiser; train.momentum is the momentum, or beta1 of adamw", choices=("sgd", "adamw")
        ),
        f"{section}.schedule": Field(
            "constant", "learning rate schedule, per epoch", choices=("constant", "cosine", "step")
        ),
        f"{section}.warmup": Field(0, "epochs of linear learning rate warm-up", 0, 100_000),
        f"{section}.milestones": Field(
            (), "schedule=step: epochs after which the learning rate drops", 1, 100_000, empty=True, of=int
        ),
        f"{section}.factor": Field(0.1, "schedule=step: factor of each drop", 0, 1),
        f"{section}.clip": Field(0.0, "gradient clipping norm; 0: no clipping", 0, 1e9),
        f"{section}.accumulate": Field(1, "gradient accumulation: batches averaged per update", 1, 100_000),
        f"{section}.flip": Field(False, "augmentation: random horizontal flips"),
        f"{section}.crop": Field(
            1.0,
            "augmentation: random resized crops of at least this share of the image; 1: none",
            0.01,
            1,
        ),
    }


def common(named: dict[str, tuple[str, ...]]) -> dict[str, Field]:
    """The common fields by path; `named` has the names that are registered of each kind."""
    return {
        "plugins": Field(
            (),
            "your own files (mine.py) or modules (lab.defences) that define data sets, attacks, methods, networks or "
            "scores; in a config file: default(plugins=...), elsewhere --plugins=",
            empty=True,
        ),
        "seed": Field(0, "first seed; --seeds=K runs seed, seed+1, ..., seed+K-1", 0, 2**31 - 1),
        "smoke": Field(False, "smoke run of a few seconds: few samples, few epochs"),
        "rows": Field(
            ("erm@clean", "erm", "jtt", "jtt:ideal", "jtt:worst"),
            "trainings to compare, as expressions over methods. `a/b`: b looks and trains on what a keeps; `a+b`: one "
            "training under both; `a:ideal`, `a:worst`: a acts only on the right, or the wrong, samples that it found; "
            "`a@clean`: on data without the attack. Empty: look only",
            empty=True,
        ),
        "look": Field(
            (),
            "methods (or `a/b`) that only look: measure what they find, without training on it",
            empty=True,
        ),
        "evaluate": Field(
            "test", "split of the result table; choose settings on val", choices=("val", "test")
        ),
        "seeds.attack": Field(
            -1, "the seed of what the attacker draws and trains; -1: the run's own", -1, 2**31 - 1
        ),
        "seeds.pretrain": Field(-1, "the seed of the pretraining; -1: the run's own", -1, 2**31 - 1),
        "data.name": Field(
            "waterdigits",
            "data set (all but waterdigits and waterfashion need pretrain.epochs=0)",
            choices=named["data"],
        ),
        "data.auxiliary": Field(
            0.0,
            "share of the training samples set aside for an attacker who needs data (sa); never trained on",
            0,
            0.9,
        ),
        "data.base": Field(
            0,
            "size of the defender's base set: training samples set aside before the attack, never poisoned and never "
            "trained on; methods may look at them",
            0,
            10_000_000,
        ),
        "data.base_balance": Field(
            "natural",
            "composition of the base set: groups in proportion to the training set, equally many per class (groups in "
            "proportion within a class), or equally many per group",
            choices=("natural", "class", "group"),
        ),
        "data.source": Field(
            "",
            "source files of the data set (waterfashion: Fashion-MNIST's four IDX files; "
            "waterbirds, celeba, celeba10: the published folder or archive, or the --data_dir of `oilwater data "
            "prepare`; folder, arrays: your files, docs/own_data.md); empty: none needed, downloaded by "
            "tensorflow-datasets, or made by `oilwater data prepare`",
        ),
        "attack.name": Field("dlbd", "attack on the training set", choices=named["attack"]),
        "attack.budget": Field(
            0.01,
            "poisons / clean training samples, rounded down to whole poisons; covers are extra (sa uses sa.alpha)",
            0,
            1,
        ),
        "attack.target": Field(
            1, "target class: the label of the poisons, which the attack wants predicted", 0, 10_000
        ),
        "attack.source_group": Field(
            -1,
            "group under attack: the source of poisons (dlbd and other dirty-label backdoors), the subpopulation "
            "(label_flip, sa by feature), or the group of the targets (gm); -1: the largest group whose class is not "
            "the target",
            -1,
            10_000,
        ),
        "study.epochs": Field(
            (1, 2, 4, 8, 12),
            "epochs after which `oilwater study` takes its scores, in increasing order; the identification model "
            "trains up to the last one, with the recipe identify",
            1,
            100_000,
        ),
        "study.k": Field(
            10,
            "`oilwater study` scores the distance to the k-th nearest neighbour of the class in gradient space",
            1,
        ),
        "model.name": Field("cnn", "network", choices=named["model"]),
        "model.precision": Field(
            "float32",
            "compute precision of the network; parameters, norm statistics, last layer and losses are always float32",
            choices=("float32", "bfloat16"),
        ),
        "model.normalise": Field(
            "half",
            "normalisation of pixels x in 0..1; half: (x - 0.5) / 0.25; imagenet: ImageNet's mean and standard "
            "deviation (torchvision's and DeiT's weights); inception: (x - 0.5) / 0.5 (timm's ViT weights)",
            choices=("half", "imagenet", "inception"),
        ),
        "model.init_from": Field(
            "",
            "folder made by `oilwater weights import`; every training starts from these weights; empty: from "
            "pretraining or random weights",
        ),
        **_recipe("pretrain", 0.1, 1e-4, 30, "pretraining on the task without the shortcut"),
        "pretrain.epochs": Field(30, "epochs of pretraining; 0: start from random weights", 0, 100_000),
        **_recipe("erm", 0.005, 1e-3, 10, "ordinary trainings: ERM, with or without a defence"),
        **_recipe("identify", 0.005, 1e-3, 4, "the reference model that methods look at (epochs: JTT's T)"),
        **_recipe("robust", 0.005, 1e-3, 10, "the final model of a method that amplifies"),
        "train.batch": Field(64, "samples per step", 1, 1_000_000),
        "train.momentum": Field(0.9, "SGD momentum", 0, 1),
        "train.shift": Field(
            2, "augmentation: random shift of images by up to this many pixels; 0: none", 0, 256
        ),
        "train.select": Field("val_wga", "rule that selects the epoch to report", choices=SELECTION_RULES),
        "train.select_reference": Field(
            "last", "rule that selects the epoch of a reference model", choices=SELECTION_RULES
        ),
        "train.attributes": Field(
            "all",
            "which attributes may be used; all: train and validation; val: validation only (no oracles); none: no "
            "oracles, and train.select must be val_worst_class, val_acc or last. Results always include group accuracy",
            choices=("all", "val", "none"),
        ),
        "train.driver": Field(
            "auto",
            "how an epoch runs: a Python loop over steps, or one compiled scan; auto: by backend",
            choices=("auto", "loop", "scan"),
        ),
        "train.placement": Field(
            "auto",
            "where training images are kept: on the device, or streamed by batch; auto: streamed if they would "
            "take more than 30% of the device's memory",
            choices=("auto", "resident", "streamed"),
        ),
        "checkpoint.seconds": Field(
            5.0, "minimum time between checkpoints, seconds; 0: every few steps", 0, 1e9
        ),
    }


# What `smoke` leaves of a common field: at most this.
SMOKE = {
    **{"pretrain.epochs": 1, "erm.epochs": 2, "identify.epochs": 1, "robust.epochs": 2},
    **{f"{section}.warmup": 0 for section in RECIPES},
}
