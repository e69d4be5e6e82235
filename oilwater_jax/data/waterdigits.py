"""waterdigits: scikit-learn's handwritten digits over its two photographs, with Waterbirds' group counts.

The label is a class of digits, the attribute is the photograph. Needs no download. No digit image and no
photograph region is shared by two splits; within a split digits are re-used over other crops.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from oilwater_jax.data.compose import ALPHA_ONE, blocks, compose, crops, enlarge, halve
from oilwater_jax.types import Examples, Splits

VERSION = 1  # of the cached file; raise it when the bytes change
SEED = 2504_02142 % 2**32  # fixed: the data set is one data set, not one per run
SIZE = 32
CLASSES = {"straight": (1, 4, 7), "round": (0, 6, 8)}
PHOTOS = ("china.jpg", "flower.jpg")
COUNTS = {  # straight/china, straight/flower, round/china, round/flower
    "train": (3498, 184, 56, 1057),
    "val": (467, 466, 133, 133),
    "test": (2255, 2255, 642, 642),
}
DIGIT_SHARES = {"train": 50, "val": 20, "test": 30}  # per cent of the digit images
BLOCK = (42, 40)  # the halved photographs (213x320) are cut into 5 x 8 blocks of this many pixels
BLOCK_PATTERN = ("train", "val", "train", "test")  # interleaved, so that every split sees every part
DIGIT_SIZE, JITTER, OPACITY, RIM = 20, 2, 243, 160
SHADES = (170, 256)  # grey levels of the ink, [low, high)


class Sources(NamedTuple):
    """The raw material: coverage of the digit images in 0..256, their digits, the halved photographs."""

    alpha: Int[np.ndarray, "1797 s s"]
    digit: Int[np.ndarray, "1797"]
    photos: tuple[UInt8[np.ndarray, "h w 3"], ...]


def read_sources() -> Sources:
    """Read digits and photographs out of scikit-learn's wheel."""
    from sklearn.datasets import load_digits, load_sample_image  # slow import, needed only to build

    digits: Any = load_digits()  # a Bunch, which the stubs take for a tuple
    alpha = enlarge(digits.images.astype(np.int64) * (ALPHA_ONE // 16), DIGIT_SIZE)
    photos = tuple(halve(load_sample_image(name)) for name in PHOTOS)
    return Sources(alpha, digits.target.astype(np.int64), photos)


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


def split_blocks(photo: UInt8[np.ndarray, "h w 3"], split: str) -> UInt8[np.ndarray, "m block_h block_w 3"]:
    """The blocks of a photograph that belong to a split: the pattern runs along a row, one further on each row."""
    return np.stack(
        [
            block
            for (row, column), block in blocks(photo, *BLOCK).items()
            if BLOCK_PATTERN[(column + row) % len(BLOCK_PATTERN)] == split
        ]
    )


def paint(
    sources: Sources,
    rows: Int[np.ndarray, " n"],
    attribute: Int[np.ndarray, " n"],
    split: str,
    rng: np.random.RandomState,
) -> UInt8[np.ndarray, "n 32 32 3"]:
    """Digit images `rows` over crops of the photographs `attribute`, from the split's blocks."""
    n = len(rows)
    background = np.zeros((n, SIZE, SIZE, 3), np.uint8)
    for value, photo in enumerate(sources.photos):
        at = np.flatnonzero(attribute == value)
        background[at] = crops(split_blocks(photo, split), SIZE, len(at), rng)
    middle = (SIZE - DIGIT_SIZE) // 2
    top, left = (middle + rng.randint(-JITTER, JITTER + 1, n, dtype=np.int64) for _ in range(2))
    shade = rng.randint(*SHADES, n, dtype=np.int64)
    return compose(sources.alpha[rows], background, top=top, left=left, shade=shade, opacity=OPACITY, rim=RIM)


def build_split(sources: Sources, split: str) -> Examples:
    """One split: its groups one after the other, then shuffled."""
    rng = np.random.RandomState((SEED + 1 + list(COUNTS).index(split)) % 2**32)
    own = digit_rows(sources.digit, split)
    labels, attributes, rows = [], [], []
    for group, count in enumerate(COUNTS[split]):
        label, attribute = divmod(group, len(PHOTOS))
        pool = own[np.isin(sources.digit[own], list(CLASSES.values())[label])]
        # Whole rounds through the pool, then a part of one: no image is used twice more than another.
        rounds = [rng.permutation(pool) for _ in range(-(-count // len(pool)))]
        rows.append(np.concatenate(rounds)[:count])
        labels.append(np.full(count, label, np.int32))
        attributes.append(np.full(count, attribute, np.int32))
    order = rng.permutation(sum(COUNTS[split]))
    label, attribute = np.concatenate(labels)[order], np.concatenate(attributes)[order]
    image = paint(sources, np.concatenate(rows)[order], attribute, split, rng)
    return from_arrays(image, label, attribute)


def from_arrays(
    image: UInt8[np.ndarray, "n h w c"],
    label: Int[np.ndarray, " n"],
    attribute: Int[np.ndarray, " n"],
) -> Examples:
    """Clean Examples: given label = true label, no poison, index = row."""
    n = len(label)
    label, attribute = label.astype(np.int32), attribute.astype(np.int32)
    return Examples(image, label, label.copy(), attribute, np.zeros(n, bool), np.arange(n, dtype=np.int32))


def build() -> Splits:
    """The data set: train 4,795, val 1,199, test 5,794 images of 32x32x3 uint8."""
    sources = read_sources()
    train, val, test = (build_split(sources, split) for split in ("train", "val", "test"))
    return Splits(train, val, test, train.take(np.arange(0)), tuple(CLASSES), ("china", "flower"))


def build_pretraining(n: int = 8000) -> Examples:
    """A task without the shortcut: which of the ten digits, over a photograph chosen by a fair coin.

    Uses the train split's digits and blocks only. It plays the part that ImageNet plays for Waterbirds.
    """
    sources = read_sources()
    rng = np.random.RandomState((SEED + 9) % 2**32)
    own = digit_rows(sources.digit, "train")
    rows = own[rng.randint(0, len(own), n, dtype=np.int64)]
    attribute = rng.randint(0, len(PHOTOS), n, dtype=np.int64)
    return from_arrays(paint(sources, rows, attribute, "train", rng), sources.digit[rows], attribute)
