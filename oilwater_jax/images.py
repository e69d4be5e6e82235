"""Network inputs; images may stay on disk until their rows are read.

A data set larger than memory is picked from, joined with poisons and stamped with triggers without being read:
`Images` remembers which row of which array each image is. Arrays in memory need none of this, so the functions here
take both and leave arrays arrays. Imports nothing of the package.
"""

import errno
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int, UInt8

Change = Callable[[Any], Any]  # images [m, h, w, c] or rows of a table [m, d] -> the same, changed
Chosen = Int[np.ndarray, " m"] | Bool[np.ndarray, " n"]


class Part(NamedTuple):
    """An array of images (of a np.memmap: the whole file's), and what is done to those that are read."""

    array: UInt8[np.ndarray, "n h w c"]
    change: Change | None = None


class Images:
    """Rows of several arrays of images, in an order of their own; indexing reads them into an array.

    Stands where a uint8 array [n, h, w, c] does for whoever indexes the first axis only. Reading is safe in threads.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, parts: Sequence[Part], index: Int[np.ndarray, " n"] | None = None) -> None:
        self.parts = tuple(parts)
        self._bounds = np.cumsum([0, *(len(part.array) for part in parts)])
        self._index = np.arange(self._bounds[-1]) if index is None else index

    def __len__(self) -> int:
        """Number of images."""
        return len(self._index)

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""
        return (len(self), *self.parts[0].array.shape[1:])

    @property
    def nbytes(self) -> int:
        """Bytes when fully read."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __getitem__(self, key: Any) -> np.ndarray:
        """What an array would yield for a number, a slice, rows or a mask."""
        index = self._index[key]
        out = self._read(np.atleast_1d(index))
        return out if np.ndim(index) else out[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All of them, in memory."""
        if copy is False:
            raise ValueError("images on disk cannot be had without a copy")
        return self[:].astype(dtype or self.dtype, copy=False)

    def _read(self, index: Int[np.ndarray, " m"]) -> UInt8[np.ndarray, "m h w c"]:
        out = np.empty((len(index), *self.shape[1:]), np.uint8)
        for part, first, end in zip(self.parts, self._bounds, self._bounds[1:], strict=False):
            own = np.flatnonzero((first <= index) & (index < end))
            if not len(own):
                continue
            rows = index[own] - first
            image = read_rows(part.array, rows) if isinstance(part.array, np.memmap) else part.array[rows]
            image = part.change(image) if part.change else image
            if len(own) == len(index):
                return image
            out[own] = image
        return out

    def pick(self, rows: Chosen) -> "Images":
        """The images in `rows`, in that order, unread."""
        return Images(self.parts, self._index[rows])

    def join(self, other: "Images") -> "Images":
        """These followed by the other ones, unread."""
        return Images(
            (*self.parts, *other.parts), np.concatenate([self._index, other._index + self._bounds[-1]])
        )

    def changed(self, change: Change) -> "Images":
        """These with `change`, which maps each image by itself, done to them when they are read."""

        def after(before: Change | None) -> Change:
            return change if before is None else lambda image: change(before(image))

        return Images([Part(part.array, after(part.change)) for part in self.parts], self._index)


Pixels = UInt8[np.ndarray, "n h w c"] | UInt8[Images, "n h w c"]
Inputs = Pixels | Float32[np.ndarray, "n d"]
"""What a network sees of samples: images, or rows of a table."""


def pick(array: Any, rows: Chosen) -> Any:
    """The rows of an array, or of images on disk, in that order."""
    return array.pick(rows) if isinstance(array, Images) else array[rows]


def join(first: Any, second: Any) -> Any:
    """The rows of the first followed by those of the second; on disk where either is."""
    if isinstance(first, Images) or isinstance(second, Images):
        return _lazy(first).join(_lazy(second))
    return np.concatenate([first, second])


def changed(image: Inputs, change: Change) -> Inputs:
    """The inputs with `change`, which maps each one by itself, done to them."""
    return image.changed(change) if isinstance(image, Images) else change(image)


def _lazy(image: Any) -> Images:
    return image if isinstance(image, Images) else Images([Part(image)])


def read_rows(image: np.memmap, rows: Int[np.ndarray, " m"]) -> UInt8[np.ndarray, "m h w c"]:
    """The images of `rows`, in memory: as `image[rows]`, of a whole mapped file.

    Through the file and not the map: rows far apart come several times faster than page by page. Raises OSError.
    """
    out = np.empty((len(rows), *image.shape[1:]), np.uint8)
    size = int(np.prod(image.shape[1:]))
    with open(image.filename or "", "rb", buffering=0) as file:
        for row, into in zip(rows.tolist(), out, strict=True):
            file.seek(image.offset + row * size)
            if file.readinto(into.data) != size:
                raise OSError(errno.EIO, "file is cut off", image.filename)
    return out
