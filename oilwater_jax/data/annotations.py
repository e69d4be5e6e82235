"""Tables that come with published images: CSV files, columns of small whole numbers, names of image files."""

import csv
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Int32

from oilwater_jax.errors import UserError
from oilwater_jax.files import read_plain

MOST_TABLE = 256 << 20  # bytes; CelebA's attributes have 27 MB
LONGEST_PATH = 1024  # characters


def read_text(path: Path) -> str:
    """A text file, without a byte order mark. Raises UserError."""
    try:
        return read_plain(path, MOST_TABLE).decode("utf-8-sig")
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror}; check the path and its permissions"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file (UTF-8); download it again") from error


def read_csv(path: Path, columns: Sequence[str]) -> dict[str, list[str]]:
    """These columns of a CSV file with a header line; it may have others. Raises UserError."""
    try:
        rows = list(csv.reader(read_text(path).splitlines(), strict=True))
    except csv.Error as error:
        raise UserError(f"{path} is not a valid CSV file ({error}); download it again") from error
    header = [name.strip() for name in rows[0]] if rows else []
    if missing := [name for name in columns if name not in header]:
        raise UserError(
            f"{path} lacks the column(s) {', '.join(missing)}; wanted: {', '.join(columns)}; "
            f"it has: {', '.join(header)[:200] or 'nothing'}"
        )
    for line, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            raise UserError(
                f"{path}, line {line}, has {len(row)} fields, the header {len(header)}; download it again"
            )
    places = {name: header.index(name) for name in columns}
    return {name: [row[place].strip() for row in rows[1:]] for name, place in places.items()}


def numbers(
    path: Path, column: str, values: Sequence[str], allowed: Sequence[int]
) -> Int32[np.ndarray, " n"]:
    """A column's whole numbers. Raises UserError naming the first row (data rows count from 1) that is not allowed."""
    known = {str(number): number for number in allowed}
    try:
        return np.array([known[value] for value in values], np.int32)
    except KeyError:
        row = next(row for row, value in enumerate(values, 1) if value not in known)
        raise UserError(
            f"{path}, row {row}: {column} = {values[row - 1][:50]!r} is not one of {', '.join(known)}; "
            "download the file again"
        ) from None


def image_names(path: Path, values: Sequence[str]) -> np.ndarray:
    """A column of relative paths below the images' folder. Raises UserError if one leaves it or is there twice."""
    seen: set[PurePosixPath] = set()
    for value in values:
        name = PurePosixPath(value)  # for which a/b is a//b and ./a/b
        if not value or not value.isprintable() or name.is_absolute() or ".." in name.parts:
            raise UserError(f"{path} names the image {value[:200]!a}, which is not below the images' folder")
        if len(value) > LONGEST_PATH or not name.parts:
            raise UserError(f"{path} names the image {value[:200]!a}, which is not a file path")
        if name in seen:
            raise UserError(f"{path} names the image {value[:200]!a} twice; download the file again")
        seen.add(name)
    return np.array(values, dtype=str)
