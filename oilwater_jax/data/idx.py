"""IDX files, the format of MNIST and its descendants: a magic number, the sizes, then the bytes.

Every fault of a file is a UserError of one line. No more memory is taken than the file can fill, whatever its
header claims.
"""

import gzip
import io
import math
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from oilwater_jax.errors import UserError

GZIP_MAGIC = b"\x1f\x8b"
GZIP_RATIO = 1032  # deflate cannot compress further
TYPES = {8: "uint8", 9: "int8", 11: "int16", 12: "int32", 13: "float32", 14: "float64"}
CHUNK = 1 << 20
AGAIN = "download the file again"


def find(folder: Path, name: str) -> Path:
    """`name` or `name`.gz in the folder. Raises UserError if neither is there."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise UserError(f"{folder} holds neither {name} nor {name}.gz; put the file there or name another folder")


def read_pair(images: Path, labels: Path) -> tuple[UInt8[np.ndarray, "n h w"], UInt8[np.ndarray, " n"]]:
    """Images and their labels. Raises UserError as `read` does, or if they differ in number."""
    image, label = read(images, 3), read(labels, 1)
    if len(image) != len(label):
        raise UserError(
            f"{images} holds {len(image)} images, but {labels} holds {len(label)} labels; "
            "take both from one data set"
        )
    return image, label


def read(path: Path, n_dims: int) -> UInt8[np.ndarray, "..."]:
    """The array of uint8 with `n_dims` dimensions in an IDX file, plain or gzip (told by content, not name).

    Fault                                        UserError says
    missing, a folder, not readable              the system's reason
    damaged or cut-off gzip                      is a damaged gzip file
    other magic number                           is not an IDX file
    another type or number of dimensions         holds int16 / has 1 dimension
    fewer bytes than the header claims           is cut off
    more bytes than the header claims            has extra bytes
    """
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            zipped = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
            file.seek(0)
            if not zipped:
                return _parse(path, file, n_dims, size)
            with gzip.open(file) as unzipped:
                return _parse(path, unzipped, n_dims, size * GZIP_RATIO)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise UserError(f"{path} is a damaged gzip file ({error}); {AGAIN}") from error
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror}; check the path and its permissions"
        ) from error


def _parse(path: Path, file: io.BufferedIOBase, n_dims: int, most: int) -> UInt8[np.ndarray, "..."]:
    """Header and body of an open file that holds at most `most` bytes."""
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES:
        raise UserError(f"{path} is not an IDX file: it begins with {magic.hex(' ') or 'nothing'}; {AGAIN}")
    if magic[2] != 8:
        raise UserError(f"{path} holds {TYPES[magic[2]]}, not uint8; give Fashion-MNIST's own files")
    if magic[3] != n_dims:
        what = {1: "labels have 1", 3: "images have 3"}.get(n_dims, f"expected: {n_dims}")
        raise UserError(f"{path} has {magic[3]} dimension(s), {what}; are the files' names swapped?")
    header = file.read(4 * n_dims)
    if len(header) < 4 * n_dims:
        raise UserError(f"{path} is cut off inside its header; {AGAIN}")
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4"))
    claimed = math.prod(shape)  # of Python's integers, which do not overflow
    cut_off = f"{path} is cut off: its header claims {claimed} bytes ({' x '.join(map(str, shape))})"
    if claimed > most - 4 - len(header):
        raise UserError(f"{cut_off}, more than the file can hold; {AGAIN}")
    body = io.BytesIO()
    while body.tell() <= claimed and (
        chunk := file.read(min(CHUNK, claimed + 1 - body.tell()))
    ):  # one byte more than claimed, to see that none follows
        body.write(chunk)
    if body.tell() < claimed:
        raise UserError(f"{cut_off}, it holds {body.tell()}; {AGAIN}")
    if body.tell() > claimed:
        raise UserError(f"{path} has extra bytes after the {claimed} that its header claims; {AGAIN}")
    try:
        return np.frombuffer(body.getvalue(), np.uint8).reshape(shape)
    except ValueError:  # one size is 0, and the others together are more than NumPy can count
        raise UserError(f"{path}: its header claims {' x '.join(map(str, shape))}; {AGAIN}") from None
