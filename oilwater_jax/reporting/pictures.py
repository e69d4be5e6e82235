"""What the pages of a run and of several runs share: pictures of a folder, and estimates as dots."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from oilwater_jax.files import read_plain
from oilwater_jax.intervals import Estimate
from oilwater_jax.reporting.charts import Value

MOST_FIGURES = 1_400_000  # characters of the pictures of a page together
MOST_FIGURE = 1 << 20  # bytes of one picture
SHRUNK = 0.64  # of a figure's 150 dots per inch to the 96 of a page


class Figure(NamedTuple):
    """A picture of a folder: its name, its bytes as a data URI, its width in a page (0: not known)."""

    name: str
    uri: str
    width: int


def embedded(path: Path, name: str) -> Figure | None:
    """A picture to be put in a page; None for what is not there, no plain file, or too large."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > MOST_FIGURE:
        return None
    data = read_plain(path, MOST_FIGURE)
    width = int.from_bytes(data[16:20]) if data[12:16] == b"IHDR" else 0  # where every PNG has it
    return Figure(name, f"data:image/png;base64,{base64.b64encode(data).decode()}", round(SHRUNK * width))


def figures(folder: Path, without: tuple[str, ...] = ()) -> tuple[list[Figure], list[str]]:
    """The pictures of a run folder, as many as fit, but for those whose names begin so; and the names of the others."""
    found, left, not_shown = [], MOST_FIGURES, []
    for path in sorted((folder / "figures").glob("*.png")):
        if path.is_symlink() or not path.is_file() or (without and path.name.startswith(without)):
            continue
        one = embedded(path, path.stem.replace("_", " "))
        if one is None or len(one.uri) > left:
            not_shown.append(path.name)
            continue
        left -= len(one.uri)
        found.append(one)
    return found, not_shown


def dot(name: str, one: Estimate | None, each: Sequence[float | None] = ()) -> Value:
    """An estimate as a dot with its interval."""
    if one is None:
        return Value(name, "undefined", None)
    return Value(name, str(one), one.mean, one.low, one.high, [value for value in each if value is not None])
