"""Fashion-MNIST's garments: from a folder of its four IDX files, or through tensorflow-datasets."""

import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from oilwater_jax.data import cache, download, idx
from oilwater_jax.errors import UserError

NAMES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "boot",
)
SIDE = 28
PARTS = ("train", "t10k")
BOTH_WAYS = (
    "give --config.data.source=DIR, a folder with train-images-idx3-ubyte[.gz], train-labels-idx1-ubyte[.gz] and "
    "the two t10k files (Debian's package dataset-fashion-mnist installs them, `dpkg -L dataset-fashion-mnist` "
    "says where), or run once where tensorflow-datasets can download fashion_mnist"
)
CACHE_VERSION = 1  # of the arrays kept from tensorflow-datasets


class Garments(NamedTuple):
    """Different garment images in an order of their own, and what each shows (an index into NAMES)."""

    image: UInt8[np.ndarray, "n 28 28"]
    garment: UInt8[np.ndarray, " n"]

    @property
    def digest(self) -> str:
        """SHA-256 of the arrays, in hexadecimal: the same wherever the images came from."""
        total = hashlib.sha256(self.image.tobytes())
        total.update(self.garment.tobytes())
        return total.hexdigest()


def read(source: str) -> Garments:
    """The garments of the folder `source`, or of tensorflow-datasets if `source` is empty.

    Both official parts together, without repeated images, sorted by content: the result does not depend on the
    order in which a source stores them. Raises UserError.
    """
    if not source:
        found = cache.arrays("fashion_mnist-tfds", CACHE_VERSION, _through_tfds)
        return _sorted(found["image"], found["label"])
    folder = Path(os.path.expanduser(source))  # which leaves an unknown ~user alone
    if not folder.is_dir():
        raise UserError(f"data.source = {source!r} is not a folder; {BOTH_WAYS}")
    return _sorted(*_join([_files(folder, part) for part in PARTS]))


def _files(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one part, checked. Raises UserError."""
    images = idx.find(folder, f"{part}-images-idx3-ubyte")
    labels = idx.find(folder, f"{part}-labels-idx1-ubyte")
    image, label = idx.read_pair(images, labels)
    if image.shape[1:] != (SIDE, SIDE):
        size = " x ".join(map(str, image.shape[1:]))
        raise UserError(
            f"{images} holds images of {size} pixels, not 28 x 28; give Fashion-MNIST's own files"
        )
    if len(label) and label.max() >= len(NAMES):
        raise UserError(f"{labels} holds the label {label.max()}, not 0 to 9; give Fashion-MNIST's own files")
    return image, label


def _join(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([image for image, _ in parts]), np.concatenate([label for _, label in parts])


def _sorted(image: UInt8[np.ndarray, "n 28 28"], label: UInt8[np.ndarray, " n"]) -> Garments:
    """Images in the order of their bytes; of equal images only the one with the lowest label."""
    by_label = np.argsort(label, kind="stable")
    image, label = np.ascontiguousarray(image[by_label]), label[by_label]
    # A void of 784 bytes per image compares as its bytes do; unique keeps the first of equals.
    rows = image.reshape(len(image), SIDE * SIDE).view(f"V{SIDE * SIDE}")[:, 0]
    _, first = np.unique(rows, return_index=True)
    return Garments(image[first], label[first])


def _through_tfds() -> dict[str, np.ndarray]:
    """Images and labels from tensorflow-datasets, downloaded and prepared if they are not yet.

    Raises UserError naming both ways if that fails, whatever the reason.
    """

    def parts() -> list[tuple[np.ndarray, np.ndarray]]:
        builder = _prepared()
        return [_records(builder.as_data_source(split)) for split in ("train", "test")]

    image, label = _join(download.attempt("Fashion-MNIST", BOTH_WAYS, parts))
    return {"image": image, "label": label}


def _prepared() -> Any:
    """tensorflow-datasets' builder of fashion_mnist with its files in the cache folder."""
    import tensorflow_datasets as tfds  # slow import, and needed for this source only

    folder = cache.folder() / "tensorflow_datasets"
    builder: Any = tfds.builder("fashion_mnist", data_dir=folder, file_format="array_record")

    def generate(num_examples: int, data_path: Any, label_path: Any) -> Iterator[tuple[int, dict[str, Any]]]:
        """The builder's own reads files and encodes images by TensorFlow, which nothing else here needs."""
        images, labels = idx.read_pair(Path(data_path), Path(label_path))
        for row, (image, label) in enumerate(zip(images, labels, strict=True)):
            png = io.BytesIO()
            Image.fromarray(image).save(png, format="png")
            png.seek(0)
            yield row, {"image": png, "label": int(label)}

    builder._generate_examples = generate
    if not (Path(builder.data_path) / "dataset_info.json").exists():
        download.check_answer(builder.URL)
        builder.download_and_prepare()
    return builder


def _records(source: Any) -> tuple[np.ndarray, np.ndarray]:
    """Images [n, 28, 28] and labels [n] of a data source."""
    records = [source[row] for row in range(len(source))]
    image = np.stack([record["image"][..., 0] for record in records])
    return image, np.array([record["label"] for record in records], np.uint8)
