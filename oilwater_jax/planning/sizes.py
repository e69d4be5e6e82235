"""Sample counts and shapes of an experiment, without its images if they are absent."""

import os
from pathlib import Path
from typing import NamedTuple

from oilwater_jax import data
from oilwater_jax.data import prepared
from oilwater_jax.data.cache import folder
from oilwater_jax.errors import UserError
from oilwater_jax.settings.config import Config, registry_of, view


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
    registry = registry_of(config)
    entry, attack = registry.data(config.data.name), registry.attack(config.attack.name)
    found = _prepared(config) if entry.catalogue else _built(config)
    if found is None:
        if entry.sizes is None:
            raise UserError(
                f"{entry.name} is not prepared, and its published sizes are not known; prepare it"
            )
        n_groups = len(entry.classes) * len(entry.attributes)
        counts = {split: data.smoke_size(n) if config.smoke else n for split, n in entry.sizes.items()}
        found = (counts, prepared.SHAPE, len(entry.classes), n_groups, "the published sizes")
    counts, shape, n_classes, n_groups, source = found
    auxiliary = int(config.data.auxiliary * counts["train"])
    train = counts["train"] - auxiliary - config.data.base
    if config.train.batch > train:
        raise UserError(f"train.batch = {config.train.batch} is more than the {train} training samples")
    pretraining = 0
    if config.pretrain.epochs:
        pretraining = len(data.load_pretraining(config))
    return Sizes(
        train=train,
        val=counts["val"],
        judged=counts["val" if config.evaluate == "val" else "test"],
        auxiliary=auxiliary,
        pretraining=pretraining,
        poisons=attack.count(view(config, attack), train, n_groups) if attack.count else 0,
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
    return _count(data.whole(config), "the data set itself")


def _count(splits: data.Splits, source: str) -> _Found:
    counts = {name: len(getattr(splits, name)) for name in ("train", "val", "test")}
    return counts, splits.train.image.shape[1:], len(splits.class_names), splits.n_groups, source
