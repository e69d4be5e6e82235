"""The record of imported weights: a small JSON file next to them. Reading it needs no JAX."""

from pathlib import Path
from typing import Any, NamedTuple

from oilwater_jax.errors import UserError
from oilwater_jax.files import read_json, write_json
from oilwater_jax.settings.registry import known
from oilwater_jax.shapes import WEIGHTS

FILE = "weights.json"
MOST_CLASSES, MOST_SIDE = 1_000_000, 2048  # of weights that are read


class Record(NamedTuple):
    """Which network the weights in a folder are of, and where they came from."""

    model: str  # a registered name
    n_classes: int  # of its head
    image_side: int | None  # pixels of the square images that it takes; None: any
    source: str  # name of the file that they were imported from
    source_sha256: str
    sha256: str  # of names, shapes and numbers: the identity of the weights, wherever they lie


def write(folder: Path, record: Record) -> None:
    """Save the record of the weights in a folder."""
    write_json(folder / FILE, record._asdict())


def read(folder: Path) -> Record:
    """The record of the weights in a folder. Raises UserError if there is no valid one."""
    saved = read_json(folder / FILE, WEIGHTS)
    if saved is None or not _sound(saved):
        raise UserError(
            f"model.init_from = {str(folder)!r} holds no imported weights (no sound {FILE}); give a folder that "
            "`oilwater weights import` made"
        )
    return Record(**saved)


def _sound(saved: dict[str, Any]) -> bool:
    side = saved["image_side"]
    sized = 1 <= saved["n_classes"] <= MOST_CLASSES and (side is None or 1 <= side <= MOST_SIDE)
    return sized and saved.keys() == set(Record._fields) and saved["model"] in known().names("model")


def check_images(record: Record, image_shape: tuple[int, ...]) -> None:
    """Refuse weights for images of another size. Raises UserError."""
    side = record.image_side
    if side is not None and image_shape[:2] != (side, side):
        height, width = image_shape[:2]
        raise UserError(
            f"model.init_from: the weights of {record.source} have positions for images of {side}x{side} pixels, and "
            f"the data's have {height}x{width}; use weights or data of the same size, or a ResNet"
        )
