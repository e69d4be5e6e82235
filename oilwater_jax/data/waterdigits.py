"""waterdigits: scikit-learn's handwritten digits over its two photographs, with Waterbirds' group counts.

The label is a class of digits, the attribute is the photograph. Needs no download. No digit image and no
photograph region is shared by two splits; within a split digits are re-used over other crops (`Splits.origins`).
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

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
from oilwater_jax.data.compose import ALPHA_ONE, compose, enlarge
from oilwater_jax.entries import Dataset
from oilwater_jax.types import Examples, Splits

VERSION = 2  # of the cached file; raise it when the bytes change
CLASSES = {"straight": (1, 4, 7), "round": (0, 6, 8)}
DIGIT_SHARES = {"train": 50, "val": 20, "test": 30}  # per cent of the digit images
DIGIT_SIZE, JITTER, OPACITY, RIM = 20, 2, 243, 160
SHADES = (170, 256)  # grey levels of the ink, [low, high)


class Sources(NamedTuple):
    """The raw material: coverage of the digit images in 0..256, their digits, the halved photographs."""

    alpha: Int[np.ndarray, "1797 s s"]
    digit: Int[np.ndarray, "1797"]
    photos: Photos


def read_sources() -> Sources:
    """Read digits and photographs out of scikit-learn's wheel."""
    from sklearn.datasets import load_digits  # slow import, needed only to build

    digits: Any = load_digits()  # a Bunch, which the stubs take for a tuple
    alpha = enlarge(digits.images.astype(np.int64) * (ALPHA_ONE // 16), DIGIT_SIZE)
    return Sources(alpha, digits.target.astype(np.int64), read_photos())


def digit_rows(digit: Int[np.ndarray, " n"], split: str) -> Int[np.ndarray, " m"]:
    """Rows of the digit images that belong to a split: each digit's images are shared out by DIGIT_SHARES."""
    # RandomState, not Generator: NumPy promises that its streams never change.
    order = np.random.RandomState(SEED).permutation(len(digit))
    rows = []
    for value in range(10):
        own = order[digit[order] == value]
        cuts = np.cumsum([0, *DIGIT_SHARES.values()]) * len(own) // 100
        at = list(DIGIT_SHARES).index(split)
        rows.append(own[cuts[at] : cuts[at + 1]])
    return np.sort(np.concatenate(rows))


def paint(
    sources: Sources,
    rows: Int[np.ndarray, " n"],
    attribute: Int[np.ndarray, " n"],
    split: str,
    rng: np.random.RandomState,
) -> UInt8[np.ndarray, "n 32 32 3"]:
    """Digit images `rows` over crops of the photographs `attribute`, from the split's blocks."""
    n = len(rows)
    background = backgrounds(sources.photos, attribute, split, rng)
    middle = (SIZE - DIGIT_SIZE) // 2
    top, left = (middle + rng.randint(-JITTER, JITTER + 1, n, dtype=np.int64) for _ in range(2))
    shade = rng.randint(*SHADES, n, dtype=np.int64)
    return compose(sources.alpha[rows], background, top=top, left=left, shade=shade, opacity=OPACITY, rim=RIM)


def build_split(sources: Sources, split: str) -> tuple[Examples, Int[np.ndarray, " n"]]:
    """One split, its groups one after the other, then shuffled; and the digit image that each sample is made of."""
    rng = np.random.RandomState((SEED + 1 + list(COUNTS).index(split)) % 2**32)
    own = digit_rows(sources.digit, split)
    label, attribute = group_columns(split)
    rows = []
    for group, count in enumerate(COUNTS[split]):
        pool = own[np.isin(sources.digit[own], list(CLASSES.values())[group // len(ATTRIBUTES)])]
        # Whole rounds through the pool, then a part of one: no image is used twice more than another.
        rounds = [rng.permutation(pool) for _ in range(-(-count // len(pool)))]
        rows.append(np.concatenate(rounds)[:count])
    order = rng.permutation(sum(COUNTS[split]))
    label, attribute = label[order], attribute[order]
    origin = np.concatenate(rows)[order]
    image = paint(sources, origin, attribute, split, rng)
    return clean_examples(image, label, attribute), origin


def build() -> Splits:
    """The data set: train 4,795, val 1,199, test 5,794 images of 32x32x3 uint8."""
    sources = read_sources()
    built = {split: build_split(sources, split) for split in COUNTS}
    return Splits(
        *(examples for examples, _ in built.values()),
        class_names=tuple(CLASSES),
        attribute_names=ATTRIBUTES,
        origins={split: origin for split, (_, origin) in built.items()},
    )


def build_pretraining(n: int = 8000) -> Examples:
    """A task without the shortcut: which of the ten digits, over a photograph chosen by a fair coin.

    Uses the train split's digits and blocks only. It plays the part that ImageNet plays for Waterbirds.
    """
    sources = read_sources()
    rng = np.random.RandomState((SEED + 9) % 2**32)
    own = digit_rows(sources.digit, "train")
    rows = own[rng.randint(0, len(own), n, dtype=np.int64)]
    attribute = rng.randint(0, len(ATTRIBUTES), n, dtype=np.int64)
    return clean_examples(paint(sources, rows, attribute, "train", rng), sources.digit[rows], attribute)


DATASET = Dataset(
    name="waterdigits",
    help="handwritten digits over two photographs, with Waterbirds' groups; needs no files",
    version=VERSION,
    build=build,
    pretraining=build_pretraining,
)
