"""How many samples of what shape an experiment works on, without its images where they are not here."""

import math
import os
from pathlib import Path
from typing import NamedTuple

from oilwater_jax import data, registry
from oilwater_jax.attacks.sources import poison_count
from oilwater_jax.config import Config
from oilwater_jax.data import prepared
from oilwater_jax.data.cache import folder
from oilwater_jax.errors import UserError


class Sizes(NamedTuple):
    """Samples of each part, images [h, w, c], classes, groups; `source` says where these numbers are from."""

    train: int
    val: int
    judged: int
    auxiliary: int
    pretraining: int
    poisons: int
    shape: tuple[int, ...]
    n_classes: int
    n_groups: int
    source: str

    @property
    def poisoned(self) -> int:
        """Training samples and poisons, as if all of these were added."""
        return self.train + self.poisons


def find(config: Config) -> Sizes:
    """The sizes of a config's data: counted where they are prepared or built, else as published. Raises UserError."""
    module = registry.resolve(registry.DATASETS, config.data.name)
    found = _prepared(config) if hasattr(module, "SIZES") else _built(config)
    if found is None:
        n_groups = len(module.CLASSES) * len(module.ATTRIBUTES)
        most = data.SMOKE_PER_GROUP * n_groups if config.smoke else math.inf
        counts = {split: int(min(n, most)) for split, n in module.SIZES.items()}
        found = (counts, prepared.SHAPE, len(module.CLASSES), n_groups, "the published sizes")
    counts, shape, n_classes, n_groups, source = found
    auxiliary = int(config.data.auxiliary * counts["train"])
    train = counts["train"] - auxiliary
    if config.train.batch > train:
        raise UserError(f"train.batch = {config.train.batch} is more than the {train} training samples")
    pretraining = 0
    if config.pretrain.epochs:
        task = data.load_pretraining(config.data.name, source=config.data.source, smoke=config.smoke)
        pretraining = len(task)
    return Sizes(
        train=train,
        val=counts["val"],
        judged=counts["val" if config.evaluate == "val" else "test"],
        auxiliary=auxiliary,
        pretraining=pretraining,
        poisons=_poisons(config, train, n_groups),
        shape=tuple(shape),
        n_classes=n_classes,
        n_groups=n_groups,
        source=source,
    )


_Found = tuple[dict[str, int], tuple[int, ...], int, int, str]


def _prepared(config: Config) -> _Found | None:
    """Of image files: what was prepared on this machine; None where nothing was, and nothing is unpacked for it."""
    source = os.path.expanduser(config.data.source)
    root = Path(source) if source else folder() / "data"
    if config.smoke or not prepared.holds(root, config.data.name):
        return None
    splits = data.load(config.data.name, source=config.data.source)
    return _count(splits, f"the data set prepared in {root}")


def _built(config: Config) -> _Found:
    splits = data.load(config.data.name, source=config.data.source, smoke=config.smoke)
    return _count(splits, "the data set itself")


def _count(splits: data.Splits, source: str) -> _Found:
    counts = {name: len(getattr(splits, name)) for name in ("train", "val", "test")}
    return counts, splits.train.image.shape[1:], len(splits.class_names), splits.n_groups, source


def _poisons(config: Config, train: int, n_groups: int) -> int:
    """Poisons; of a subpopulation, whose size is not known yet, those of one of average size."""
    if config.attack.name == "none":
        return 0
    if config.attack.name == "sa":
        sa = config.attack.sa
        return math.ceil(sa.alpha * train / (sa.clusters if sa.match == "cluster" else n_groups))
    return poison_count(config.attack.budget, train)
