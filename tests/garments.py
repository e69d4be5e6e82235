"""A synthetic Fashion-MNIST: IDX files with the true layout, small shapes that differ in every image."""

import gzip
from pathlib import Path

import numpy as np

# t-shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, boot
COUNTS = {"train": (820, 5600, 2000, 5300, 1900, 820, 2000, 820, 820, 820), "t10k": (60,) * 10}
HALF_WIDTHS = np.array([6, 4, 12, 5, 13, 7, 14, 8, 9, 10])


def idx_bytes(array: np.ndarray, code: int = 8) -> bytes:
    """An IDX file of an array."""
    sizes = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, code, array.ndim]) + sizes + array.tobytes()


def images(label: np.ndarray, seed: int) -> np.ndarray:
    """For each label a box whose width tells the label, filled with random grey."""
    rng = np.random.RandomState(seed)
    out = rng.randint(100, 256, (len(label), 28, 28), dtype=np.uint8)
    inside = np.abs(2 * np.arange(28) - 27)[None, :] < 2 * HALF_WIDTHS[label][:, None]
    return out * inside[:, None, :]


def write(
    folder: Path, counts: dict[str, tuple[int, ...]] = COUNTS, *, seed: int = 0, zipped: bool = False
) -> Path:
    """Write the four files, plain or gzipped, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for at, (part, numbers) in enumerate(counts.items()):
        label = np.random.RandomState(seed + 7).permutation(np.repeat(np.arange(10, dtype=np.uint8), numbers))
        for what, array in {"images-idx3": images(label, 2 * seed + at), "labels-idx1": label}.items():
            path, content = folder / f"{part}-{what}-ubyte", idx_bytes(array)
            if zipped:
                path, content = path.with_name(path.name + ".gz"), gzip.compress(content, 1)
            path.write_bytes(content)
    return folder
