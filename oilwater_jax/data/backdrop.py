"""Shared parts of waterdigits and waterfashion: scikit-learn's two photographs as the attribute, cut into blocks of
which each belongs to one split, and Waterbirds' group counts.
"""

import numpy as np
from jaxtyping import Int, UInt8

from oilwater_jax.data.compose import blocks, crops, halve
from oilwater_jax.types import Examples

SEED = 2504_02142 % 2**32  # fixed: a data set is one data set, not one per run
SIZE = 32
PHOTOS = ("china.jpg", "flower.jpg")
ATTRIBUTES = ("china", "flower")
COUNTS = {  # class 0/china, class 0/flower, class 1/china, class 1/flower
    "train": (3498, 184, 56, 1057),
    "val": (467, 466, 133, 133),
    "test": (2255, 2255, 642, 642),
}
BLOCK = (42, 40)  # the halved photographs (213x320) are cut into 5 x 8 blocks of this many pixels
BLOCK_PATTERN = ("train", "val", "train", "test")  # interleaved, so that every split sees every part

Photos = tuple[UInt8[np.ndarray, "h w 3"], ...]


def read_photos() -> Photos:
    """The photographs at half their size, out of scikit-learn's wheel."""
    from sklearn.datasets import load_sample_image  # slow import, needed only to build

    return tuple(halve(load_sample_image(name)) for name in PHOTOS)


def split_blocks(photo: UInt8[np.ndarray, "h w 3"], split: str) -> UInt8[np.ndarray, "m block_h block_w 3"]:
    """The blocks of a photograph that belong to a split: the pattern runs along a row, one further on each row."""
    return np.stack(
        [
            block
            for (row, column), block in blocks(photo, *BLOCK).items()
            if BLOCK_PATTERN[(column + row) % len(BLOCK_PATTERN)] == split
        ]
    )


def backgrounds(
    photos: Photos, attribute: Int[np.ndarray, " n"], split: str, rng: np.random.RandomState
) -> UInt8[np.ndarray, "n 32 32 3"]:
    """A random crop of the photograph `attribute` for each sample, from the split's blocks."""
    out = np.zeros((len(attribute), SIZE, SIZE, 3), np.uint8)
    for value, photo in enumerate(photos):
        at = np.flatnonzero(attribute == value)
        out[at] = crops(split_blocks(photo, split), SIZE, len(at), rng)
    return out


def group_columns(split: str) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Label and attribute of every sample of a split, its groups one after the other."""
    label, attribute = np.divmod(np.arange(len(COUNTS[split])), len(PHOTOS))
    return np.repeat(label, COUNTS[split]), np.repeat(attribute, COUNTS[split])


def clean_examples(
    image: UInt8[np.ndarray, "n h w c"],
    label: Int[np.ndarray, " n"],
    attribute: Int[np.ndarray, " n"],
) -> Examples:
    """Clean Examples: given label = true label, no poison, index = row."""
    n = len(label)
    label, attribute = label.astype(np.int32), attribute.astype(np.int32)
    return Examples(image, label, label.copy(), attribute, np.zeros(n, bool), np.arange(n, dtype=np.int32))
