"""The table of an experiment's settings: defaults, ranges and help. `config` makes configs of it and checks them.

Importing this needs neither JAX nor NumPy.
"""

from typing import Any, NamedTuple

from oilwater_jax import registry

MODES = ("standard", "ideal", "worst")  # of amplification
ROWS = ("erm_clean", "erm", "epic", *MODES, "combined", "oracle", "group_dro", "group_dro_poisoned")
SELECTION_RULES = ("val_wga", "val_acc", "last")
# What EPIc compares: the score that holds it, by the name that a config has for it.
GRADIENTS = {"last_layer": "last_layer_gradient", "all": "projected_gradient"}
CLUSTER_RULES = ("val_worst_cluster", *SELECTION_RULES)  # where a method estimates clusters


class Field(NamedTuple):
    """One setting: default (its type is the field's type), help, and what values are allowed."""

    default: Any
    help: str
    low: float | None = None
    high: float | None = None
    above: float | None = None  # an exclusive lower bound
    choices: tuple[str, ...] | None = None
    length: int | None = None  # of a tuple, where it is fixed

    @property
    def range(self) -> str:
        """The allowed values in words."""
        if self.choices:
            return ("each one of " if isinstance(self.default, tuple) else "") + ", ".join(self.choices)
        if self.above is not None:
            return f"> {self.above:g}" + ("" if self.high is None else f", <= {self.high:g}")
        if self.low is None and self.high is None:
            return "any"
        each = "each " if isinstance(self.default, tuple) else ""
        if self.high is None:
            return f"{each}>= {self.low:g}"
        return f"{each}{self.low:g} .. {self.high:g}"

    @property
    def type_name(self) -> str:
        """The type in words: `int`, `float`, `3 ints`, ..."""
        if isinstance(self.default, tuple):
            count = f"{self.length} " if self.length else "one or more "
            return f"{count}{type(self.default[0]).__name__}s"
        return type(self.default).__name__


def _recipe(rate: float, decay: float, epochs: int, what: str) -> dict[str, Field]:
    return {
        "learning_rate": Field(rate, f"SGD learning rate of {what}", 0, 1000),
        "weight_decay": Field(decay, f"L2 decay added to the gradient, of {what}", 0, 1000),
        "epochs": Field(epochs, f"epochs of {what}", 1, 100_000),
    }


def _prefixed(prefix: str, fields: dict[str, Field]) -> dict[str, Field]:
    return {f"{prefix}.{name}": field for name, field in fields.items()}


FIELDS: dict[str, Field] = {
    "seed": Field(0, "first seed; --seeds=K runs seed, seed+1, ..., seed+K-1", 0, 2**31 - 1),
    "smoke": Field(False, "shrink everything to seconds: few samples, few epochs"),
    "rows": Field(
        ("erm_clean", "erm", *MODES),
        "trainings to compare: ERM on clean and on poisoned data, ERM defended by EPIc (epic), the method's "
        "amplification modes, EPIc and the method combined (combined), two oracles that know the groups of clean "
        "data (group-balanced draws; group DRO), group DRO on poisoned data (group_dro_poisoned); none: only identify",
        choices=ROWS,
    ),
    "evaluate": Field(
        "test", "split that the table is measured on; make your choices on val", choices=("val", "test")
    ),
    "data.name": Field(
        "waterdigits",
        "data set (celeba10: CelebA with a tenth of its training samples; waterbirds, celeba and celeba10 want "
        "pretrain.epochs=0)",
        choices=tuple(registry.DATASETS),
    ),
    "data.auxiliary": Field(
        0.0,
        "share of the training samples set aside, never trained on, for an attacker who needs data (sa)",
        0,
        0.9,
    ),
    "data.source": Field(
        "",
        "folder of the files that the data set is made from (waterfashion: Fashion-MNIST's four IDX files; waterbirds, "
        "celeba, celeba10: the published folder or archive, or the --data_dir of `oilwater data prepare`); empty: none "
        "are needed, tensorflow-datasets downloads them, or `oilwater data prepare` made them ready",
    ),
    "attack.name": Field("dlbd", "attack on the training set", choices=tuple(registry.ATTACKS)),
    "attack.budget": Field(
        0.01, "poisons / clean training samples, rounded down to whole poisons (dlbd, gm)", 0, 1
    ),
    "attack.target": Field(1, "label that the poisons carry and the attack wants predicted", 0, 10_000),
    "attack.source_group": Field(
        -1,
        "group under attack: poisons are copied from it (dlbd), it is the subpopulation (sa by feature), the "
        "targets are of it (gm); -1: the largest group whose class is not the target",
        -1,
        10_000,
    ),
    "attack.trigger.size": Field(3, "side of the square trigger, pixels", 1, 1024),
    "attack.trigger.margin": Field(0, "pixels between trigger and bottom-right corner", 0, 1024),
    "attack.trigger.colour": Field((255, 255, 255), "RGB of the trigger", 0, 255, length=3),
    "attack.trigger.opacity": Field(1.0, "1: solid, 0: invisible", 0, 1),
    "attack.sa.match": Field(
        "cluster",
        "the subpopulation: a cluster of a surrogate's features, or one group exactly",
        choices=("cluster", "feature"),
    ),
    "attack.sa.alpha": Field(1.0, "poisons / members of the subpopulation in train", above=0, high=1000),
    "attack.sa.clusters": Field(100, "clusters that the auxiliary part is cut into", 2, 10_000),
    "attack.sa.components": Field(10, "principal components that are clustered", 1, 10_000),
    "attack.gm.targets": Field(5, "test images that one set of poisons is for", 1, 10_000),
    "attack.gm.eps": Field(16.0, "largest change of a pixel, in steps of 0..255", above=0, high=255),
    "attack.gm.steps": Field(250, "steps of signed Adam", 1, 100_000),
    "attack.gm.restarts": Field(8, "random starts, of which the best is kept", 1, 1000),
    "attack.gm.step_size": Field(0.1, "first step of signed Adam, as a share of eps", above=0, high=10),
    "attack.gm.flip": Field(False, "craft under random horizontal flips too (training has none)"),
    "method.name": Field("jtt", "group-robustness method", choices=tuple(registry.METHODS)),
    "method.lambda_up": Field(50.0, "times that a flagged sample is drawn per epoch", 1, 100_000),
    "george.reducer": Field(
        "hardness", "what is clustered of the features", choices=("hardness", "pca", "umap")
    ),
    "george.components": Field(2, "principal components of the reducer pca", 1, 10_000),
    "george.clusterer": Field("gmm", "how it is clustered", choices=("gmm", "kmeans")),
    "george.k_min": Field(2, "least clusters of a class that are tried", 2, 1000),
    "george.k_max": Field(10, "most clusters of a class that are tried", 2, 1000),
    "george.overcluster": Field(False, "also look for small clusters within the clusters"),
    "george.adjustment": Field(2.0, "size adjustment C of group DRO over the clusters", 0, 1000),
    "george.select": Field("val_worst_cluster", "which epoch's model GEORGE reports", choices=CLUSTER_RULES),
    "epic.ratio": Field(0.1, "medoids of one of EPIc's rounds / training samples", 0, 1),
    "epic.subset_freq": Field(
        1, "epochs from one round to the next: rounds are at its multiples", 1, 100_000
    ),
    "epic.drop_after": Field(
        2, "first epoch that may begin with a round (1: before any training)", 1, 100_000
    ),
    "epic.stop_after": Field(
        6, "no round from this epoch on: the paper's dial; the later, the more is eliminated", 0, 100_000
    ),
    "epic.cluster_thresh": Field(1, "samples in clusters of no more than this are eliminated", 0, 100_000),
    "epic.gradients": Field(
        "last_layer",
        "what stands alone: gradients with respect to the logits, or to all parameters (projected)",
        choices=tuple(GRADIENTS),
    ),
    "epic.when": Field(
        "during",
        "how EPIc and the method combine: EPIc's rounds take place during the method's final training, or "
        "before: the method identifies and trains among what EPIc left of an ERM training",
        choices=("during", "before"),
    ),
    "study.epochs": Field(
        (1, 2, 4, 8, 12),
        "epochs after which `oilwater study` takes its scores, growing; the identification model trains to the last of "
        "them, by the recipe identify",
        1,
        100_000,
    ),
    "study.k": Field(
        10,
        "a score of `oilwater study`: distance to the k-th nearest neighbour of its class in gradient space",
        1,
    ),
    "group_dro.eta": Field(0.01, "step of group DRO's group weights (over groups or clusters)", 0, 1000),
    "group_dro.adjustment": Field(
        0.0, "size adjustment C over true groups: C / sqrt(n_g) is added to L_g", 0, 1000
    ),
    "model.name": Field("cnn", "network", choices=tuple(registry.MODELS)),
    "model.widths": Field((16, 32, 64), "channels of each block of the cnn (multiples of 8)", 8, 4096),
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
        "folder that `oilwater weights import` made: every training starts from its weights; empty: from pretraining "
        "or random ones",
    ),
    **_prefixed("pretrain", _recipe(0.1, 1e-4, 30, "pretraining on the task without the shortcut")),
    "pretrain.epochs": Field(30, "epochs of pretraining; 0: start from random weights", 0, 100_000),
    **_prefixed("erm", _recipe(0.005, 1e-3, 10, "the ERM and oracle rows")),
    **_prefixed("identify", _recipe(0.005, 1e-3, 4, "the identification model (epochs: JTT's T)")),
    **_prefixed("robust", _recipe(0.005, 1e-3, 10, "the method's final model")),
    "train.batch": Field(64, "samples per step", 1, 1_000_000),
    "train.momentum": Field(0.9, "SGD momentum", 0, 1),
    "train.shift": Field(2, "augmentation: random shift by up to this many pixels; 0: none", 0, 256),
    "train.select": Field("val_wga", "which epoch's model is reported", choices=SELECTION_RULES),
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
