"""What has a name in a config, and the module behind it; nothing is imported before it is asked for.

A new data set, attack, method or model is one module and one line here.
"""

import importlib
from types import ModuleType

DATASETS = {
    "waterdigits": "oilwater_jax.data.waterdigits",
    "waterfashion": "oilwater_jax.data.waterfashion",
    "waterbirds": "oilwater_jax.data.waterbirds",
    "celeba": "oilwater_jax.data.celeba",
    "celeba10": "oilwater_jax.data.celeba10",
}
# Of published image files. They have no pretraining task: pretrain.epochs must be 0.
LISTED = ("waterbirds", "celeba", "celeba10")
ATTACKS = {
    "dlbd": "oilwater_jax.attacks.dirty_label_backdoor",
    "sa": "oilwater_jax.attacks.subpopulation",
    "gm": "oilwater_jax.attacks.gradient_matching",
    "none": "oilwater_jax.attacks.none",
}
METHODS = {
    "jtt": "oilwater_jax.robustness.jtt",
    "george": "oilwater_jax.robustness.george",
}
MODELS = {
    "cnn": "oilwater_jax.models.cnn",
    "resnet18": "oilwater_jax.models.resnet",
    "resnet34": "oilwater_jax.models.resnet",
    "resnet50": "oilwater_jax.models.resnet",
    "vit_s16": "oilwater_jax.models.vit",
}
IMPORTABLE = ("resnet18", "resnet34", "resnet50", "vit_s16")  # models whose weights others publish


def resolve(table: dict[str, str], name: str) -> ModuleType:
    """The module registered under `name`; config validation has already refused unknown names."""
    return importlib.import_module(table[name])
