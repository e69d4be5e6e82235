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
            decay, f"L2 decay added to the gradient (adamw: apart from it), of {what}", 0, 1000
        ),
        f"{section}.epochs": Field(epochs, f"epochs of {what}", 1, 100_000),
        f"{section}.optimiser": Field(
            "sgd", "with train.momentum, which is adamw's beta1", choices=("sgd", "adamw")
        ),
        f"{section}.schedule": Field(
            "constant", "of the learning rate, epoch by epoch", choices=("constant", "cosine", "step")
        ),
        f"{section}.warmup": Field(
            0, "first epochs in which the learning rate grows in equal steps", 0, 100_000
        ),
        f"{section}.milestones": Field(
            (), "schedule=step: epochs after which the learning rate falls", 1, 100_000, empty=True, of=int
        ),
        f"{section}.factor": Field(0.1, "schedule=step: what the learning rate is multiplied by", 0, 1),
        f"{section}.clip": Field(0.0, "largest norm of a batch's gradient; 0: any", 0, 1e9),
        f"{section}.accumulate": Field(1, "batches whose gradients are averaged for one update", 1, 100_000),
        f"{section}.flip": Field(False, "augmentation: images mirrored left to right, half of them"),
        f"{section}.crop": Field(
            1.0,
            "augmentation: random crops of at least this share of an image, resized to it; 1: none",
            0.01,
            1,
        ),
    }


def common(named: dict[str, tuple[str, ...]]) -> dict[str, Field]:
    """The common fields by path; `named` has the names that are registered of each kind."""
    return {
        "plugins": Field(
            (),
            "files of yours (mine.py) or modules (lab.defences) whose data sets, attacks, methods, networks and scores "
            "are then known by their names; in a config file: default(plugins=...), elsewhere --plugins=",
            empty=True,
        ),
        "seed": Field(0, "first seed; --seeds=K runs seed, seed+1, ..., seed+K-1", 0, 2**31 - 1),
        "smoke": Field(False, "shrink everything to seconds: few samples, few epochs"),
        "rows": Field(
            ("erm@clean", "erm", "jtt", "jtt:ideal", "jtt:worst"),
            "trainings to compare, as expressions over methods: `a/b`: b looks and trains among what a left; `a+b`: "
            "one training under both; `a:ideal`, `a:worst`: acting on the right or the wrong samples of what it found; "
            "`a@clean`: on the data without the attack. None: look only",
            empty=True,
        ),
        "look": Field(
            (),
            "methods (or `a/b`) that only look: what they find is measured and nothing is trained on it",
            empty=True,
        ),
        "evaluate": Field(
            "test", "split that the table is measured on; make your choices on val", choices=("val", "test")
        ),
        "seeds.attack": Field(
            -1, "the seed of what the attacker draws and trains; -1: the run's own", -1, 2**31 - 1
        ),
        "seeds.pretrain": Field(-1, "the seed of the pretraining; -1: the run's own", -1, 2**31 - 1),
        "data.name": Field(
            "waterdigits",
            "data set (all but waterdigits and waterfashion want pretrain.epochs=0)",
            choices=named["data"],
        ),
        "data.auxiliary": Field(
            0.0,
            "share of the training samples set aside, never trained on, for an attacker who needs data (sa)",
            0,
            0.9,
        ),
        "data.base": Field(
            0,
            "training samples set aside before any attack as a defender's base set: never poisoned, never trained on; "
            "methods may look at them",
            0,
            10_000_000,
        ),
        "data.base_balance": Field(
            "natural",
            "what the base set is of: the training set's groups in proportion, equally many of each class (in a class "
            "its groups in proportion), or of each group",
            choices=("natural", "class", "group"),
        ),
        "data.source": Field(
            "",
            "folder of the files that the data set is made from (waterfashion: Fashion-MNIST's four IDX files; "
            "waterbirds, celeba, celeba10: the published folder or archive, or the --data_dir of `oilwater data "
            "prepare`; folder, arrays: your files, docs/own_data.md); empty: none are needed, tensorflow-datasets "
            "downloads them, or `oilwater data prepare` made them ready",
        ),
        "attack.name": Field("dlbd", "attack on the training set", choices=named["attack"]),
        "attack.budget": Field(
            0.01,
            "poisons / clean training samples, rounded down to whole poisons; covers come on top (sa has sa.alpha)",
            0,
            1,
        ),
        "attack.target": Field(1, "label that the poisons carry and the attack wants predicted", 0, 10_000),
        "attack.source_group": Field(
            -1,
            "group under attack: poisons are made from it (dlbd and the other backdoors that change labels), it is "
            "the subpopulation (label_flip, sa by feature), the targets are of it (gm); -1: the largest group whose "
            "class is not the target",
            -1,
            10_000,
        ),
        "study.epochs": Field(
            (1, 2, 4, 8, 12),
            "epochs after which `oilwater study` takes its scores, growing; the identification model trains to the "
            "last of them, by the recipe identify",
            1,
            100_000,
        ),
        "study.k": Field(
            10,
            "a score of `oilwater study`: distance to the k-th nearest neighbour of its class in gradient space",
            1,
        ),
        "model.name": Field("cnn", "network", choices=named["model"]),
        "model.precision": Field(
            "float32",
            "what the network computes in; its parameters, norm statistics, last layer and losses are float32 always",
            choices=("float32", "bfloat16"),
        ),
        "model.normalise": Field(
            "half",
            "pixels x in 0..1 to the network's input: (x - 0.5) / 0.25; imagenet: by ImageNet's mean and deviation "
            "(torchvision's and DeiT's weights); inception: (x - 0.5) / 0.5 (timm's ViT weights)",
            choices=("half", "imagenet", "inception"),
        ),
        "model.init_from": Field(
            "",
            "folder that `oilwater weights import` made: every training starts from its weights; empty: from "
            "pretraining or random ones",
        ),
        **_recipe("pretrain", 0.1, 1e-4, 30, "pretraining on the task without the shortcut"),
        "pretrain.epochs": Field(30, "epochs of pretraining; 0: start from random weights", 0, 100_000),
        **_recipe("erm", 0.005, 1e-3, 10, "ordinary trainings: ERM, defended or not"),
        **_recipe("identify", 0.005, 1e-3, 4, "the reference model that methods look at (epochs: JTT's T)"),
        **_recipe("robust", 0.005, 1e-3, 10, "the final model of a method that amplifies"),
        "train.batch": Field(64, "samples per step", 1, 1_000_000),
        "train.momentum": Field(0.9, "SGD momentum", 0, 1),
        "train.shift": Field(
            2, "augmentation: random shift of images by up to this many pixels; 0: none", 0, 256
        ),
        "train.select": Field("val_wga", "which epoch's model is reported", choices=SELECTION_RULES),
        "train.select_reference": Field(
            "last", "which epoch of a reference model methods look at", choices=SELECTION_RULES
        ),
        "train.attributes": Field(
            "all",
            "whose attributes may be looked at: of train and validation; of validation alone (no oracles); of none (no "
            "oracles, and train.select must be val_worst_class, val_acc or last). Figures by group are reported always",
            choices=("all", "val", "none"),
        ),
        "train.driver": Field(
            "auto", "how an epoch is driven; auto: what suits the backend", choices=("auto", "loop", "scan")
        ),
        "train.placement": Field(
            "auto",
            "where the training images are: resident on the device, or streamed to it batch by batch; auto: streamed "
            "where they would take more than 30% of a device's memory",
            choices=("auto", "resident", "streamed"),
        ),
        "checkpoint.seconds": Field(
            5.0, "least time between checkpoints of a training; 0: every few steps", 0, 1e9
        ),
    }


# What `smoke` leaves of a common field: at most this.
SMOKE = {
    **{"pretrain.epochs": 1, "erm.epochs": 2, "identify.epochs": 1, "robust.epochs": 2},
    **{f"{section}.warmup": 0 for section in RECIPES},
}
