"""waterfashion: Fashion-MNIST's garments over scikit-learn's two photographs, with Waterbirds' group counts.

The label is a class of garments, the attribute is the photograph. A garment is pasted as a cut-out that keeps
its own grey texture, as the birds of Waterbirds are. Every garment image is used at most once, pretraining
included, and no photograph region is shared by two splits.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from oilwater_jax.data import fashion_mnist
from oilwater_jax.data.backdrop import (
    ATTRIBUTES,
    COUNTS,
    SEED,
    SIZE,
    Photos,
    backgrounds,
    clean_examples,
    group_columns,
    read_photos,
)
from oilwater_jax.data.compose import ALPHA_ONE, compose, reduce
from oilwater_jax.data.fashion_mnist import NAMES, Garments
from oilwater_jax.entries import Dataset
from oilwater_jax.errors import UserError
from oilwater_jax.types import Examples, Splits

VERSION = 1  # of the cached file; raise it when the bytes change
CLASSES = {"slim": ("trouser", "dress"), "wide": ("pullover", "coat", "shirt")}
PRETRAINING_PER_GARMENT = 800
GARMENT_SIZE, JITTER, OPACITY, RIM = 22, 2, 256, 0
COVER = (4, 36)  # pixels up to the first are background, from the second on garment, linear between

read_source = fashion_mnist.read


class Shares(NamedTuple):
    """Rows of the garments by what they are used for; no row appears twice.

    `splits[split][class]` are as many rows as the class has samples in the split.
    """

    splits: dict[str, list[Int[np.ndarray, " n"]]]
    pretraining: Int[np.ndarray, " n"]


def share_out(garment: UInt8[np.ndarray, " n"]) -> Shares:
    """Share the garments out by a fixed shuffle: first to pretraining, the rest to the splits by class.

    Raises UserError if there are too few of a garment or of a class.
    """
    order = np.random.RandomState(SEED).permutation(len(garment))
    own = [order[garment[order] == value] for value in range(len(NAMES))]
    for name, rows in zip(NAMES, own, strict=True):
        _check_enough(name, len(rows), PRETRAINING_PER_GARMENT, "for pretraining")
    splits: dict[str, list[Int[np.ndarray, " n"]]] = {split: [] for split in COUNTS}
    for at, (name, members) in enumerate(CLASSES.items()):
        left = [own[NAMES.index(member)][PRETRAINING_PER_GARMENT:] for member in members]
        pool = np.random.RandomState((SEED + 11 + at) % 2**32).permutation(np.concatenate(left))
        needs = [int((group_columns(split)[0] == at).sum()) for split in COUNTS]
        kept = PRETRAINING_PER_GARMENT * len(members)
        what = f"class {name} ({', '.join(members)})"
        _check_enough(what, len(pool) + kept, sum(needs) + kept, "for pretraining and the splits")
        cuts = np.cumsum([0, *needs])
        for split, low, high in zip(COUNTS, cuts, cuts[1:], strict=False):
            splits[split].append(pool[low:high])
    return Shares(splits, np.concatenate([rows[:PRETRAINING_PER_GARMENT] for rows in own]))


def _check_enough(what: str, count: int, need: int, purpose: str) -> None:
    if count < need:
        raise UserError(
            f"waterfashion: the source has {count} different images of {what}, {need} are needed {purpose}; "
            "give the whole Fashion-MNIST"
        )


def cut_out(
    image: UInt8[np.ndarray, "n 28 28"],
) -> tuple[Int[np.ndarray, "n s s"], Int[np.ndarray, "n s s"]]:
    """Coverage (0..256) and grey (0..255) of garments at GARMENT_SIZE: means over covered parts of the area."""
    low, high = COVER
    pixel = image.astype(np.int64)
    alpha = np.clip((pixel - low) * ALPHA_ONE // (high - low), 0, ALPHA_ONE)
    covered = reduce(alpha * ALPHA_ONE, GARMENT_SIZE)  # finer than alpha, for the division
    weighted = reduce(alpha * pixel * ALPHA_ONE, GARMENT_SIZE)
    return (covered + ALPHA_ONE // 2) // ALPHA_ONE, weighted // np.maximum(covered, 1)


def paint(
    photos: Photos,
    image: UInt8[np.ndarray, "n 28 28"],
    attribute: Int[np.ndarray, " n"],
    split: str,
    rng: np.random.RandomState,
) -> UInt8[np.ndarray, "n 32 32 3"]:
    """Garments over crops of the photographs `attribute`, from the split's blocks."""
    background = backgrounds(photos, attribute, split, rng)
    middle, n = (SIZE - GARMENT_SIZE) // 2, len(image)
    top, left = (middle + rng.randint(-JITTER, JITTER + 1, n, dtype=np.int64) for _ in range(2))
    alpha, grey = cut_out(image)
    return compose(alpha, background, top=top, left=left, shade=grey, opacity=OPACITY, rim=RIM)


def build_split(garments: Garments, shares: Shares, photos: Photos, split: str) -> Examples:
    """One split: its groups one after the other, then shuffled."""
    rng = np.random.RandomState((SEED + 21 + list(COUNTS).index(split)) % 2**32)
    label, attribute = group_columns(split)
    order = rng.permutation(len(label))
    rows, label, attribute = np.concatenate(shares.splits[split])[order], label[order], attribute[order]
    return clean_examples(paint(photos, garments.image[rows], attribute, split, rng), label, attribute)


def build(garments: Garments) -> Splits:
    """The data set: train 4,795, val 1,199, test 5,794 images of 32x32x3 uint8. Raises UserError."""
    shares, photos = share_out(garments.garment), read_photos()
    train, val, test = (build_split(garments, shares, photos, split) for split in COUNTS)
    return Splits(train, val, test, tuple(CLASSES), ATTRIBUTES)


def build_pretraining(garments: Garments) -> Examples:
    """A task without the shortcut: which of the ten garments (800 each), over a photograph chosen by a fair coin.

    Uses garments that no split uses, and the train split's blocks. It plays the part that ImageNet plays for
    Waterbirds. Raises UserError.
    """
    rng = np.random.RandomState((SEED + 29) % 2**32)
    rows = rng.permutation(share_out(garments.garment).pretraining)
    attribute = rng.randint(0, len(ATTRIBUTES), len(rows), dtype=np.int64)
    image = paint(read_photos(), garments.image[rows], attribute, "train", rng)
    return clean_examples(image, garments.garment[rows].astype(np.int64), attribute)


DATASET = Dataset(
    name="waterfashion",
    help="Fashion-MNIST's garments over two photographs, with Waterbirds' groups",
    version=VERSION,
    build=build,
    pretraining=build_pretraining,
    read_source=read_source,
)
