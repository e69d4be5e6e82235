"""Decoded images on disk: memory-mapped uint8 arrays, made once from a catalogue and found again by their content.

    known/<stamp>.json        the digest of a part that was made of files of these names, sizes and times
    unfinished/<name>.../     a part in the making: its images so far, how many these are, of which files
    images/<digest>/          a whole part: image.npy [n, s, s, 3], columns.npz, part.json with their digests
    unpacked/<digest>/        an archive's files; once all is decoded they may be deleted
    <name>.json               the parts that a data set without a source stands for

The digest of a part is that of its image files, labels, attributes and preprocessing, wherever the files lie. A
folder in images/ got its name when it was finished; nothing is ever read out of an unfinished one but to go on.
"""

import functools
import hashlib
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from jaxtyping import UInt8

from oilwater_jax.data import cache
from oilwater_jax.data.archive import Tick
from oilwater_jax.data.catalogue import SPLITS, Catalogue, Rows, absent
from oilwater_jax.data.decode import SIDE, decode
from oilwater_jax.errors import UserError, one_line, warn
from oilwater_jax.files import load_json, open_plain, read_json, seal, write_json, write_npz
from oilwater_jax.images import Images
from oilwater_jax.images import Part as Stored
from oilwater_jax.reporting.progress import Progress
from oilwater_jax.shapes import PART, PREPARED, UNFINISHED
from oilwater_jax.types import Examples, Splits

SHAPE = (SIDE, SIDE, 3)  # of a published set
CHUNK = 256  # images decoded between two writes: 39 MB of a published set
BLOCK = 64  # images of one digest: 10 MB; CHUNK holds a whole number of blocks
SAMPLED = 4  # blocks that are looked at when a part is opened: the first, the last, and others by chance
DIGEST_BYTES = 32
SPARE = 64 << 20  # bytes left free on the disk


class Part(NamedTuple):
    """A split's images, whole and on disk."""

    folder: Path
    examples: Examples


def find(root: Path, catalogue: Catalogue, split: str) -> Part | None:
    """The part made of a catalogue's split, or None if it has not been made or is damaged. Raises UserError."""
    digest = read_json(_known(root, _stamp(catalogue, catalogue.splits[split])), str)
    return read(root, digest) if digest and re.fullmatch("[0-9a-f]{32}", digest) else None


def read(root: Path, digest: str) -> Part | None:
    """A complete part, with its images on disk; None if it is absent or damaged."""
    folder = root / "images" / digest
    if not folder.exists():
        return None
    try:
        image, columns = _checked(folder)
    except Exception as error:  # whatever zipfile and NumPy make of damaged bytes
        warn(f"the decoded images {folder} are damaged ({one_line(error)})")
        return None
    label, attribute, index = (columns[name] for name in ("label", "attribute", "index"))
    examples = Examples(
        Images([Stored(image)]), label, label.copy(), attribute, np.zeros(len(label), bool), index
    )
    return Part(folder, examples)


def _checked(folder: Path) -> tuple[np.memmap, dict[str, np.ndarray]]:
    """Images and columns of a whole part, the latter and some blocks of the former by their digests.

    Raises ValueError, and whatever else comes of damaged files.
    """
    record = load_json(folder / "part.json", PART, sealed=True)
    if record is None:
        raise ValueError("it has no part.json")
    columns = cache.read_arrays(folder / "columns.npz")
    if cache.digest_of(columns) != record["columns"] or set(columns) != {"label", "attribute", "index"}:
        raise ValueError("columns.npz is another part's")
    open_plain(folder / "image.npy").close()
    image = np.load(folder / "image.npy", mmap_mode="r", allow_pickle=False)
    if image.dtype != np.uint8 or image.ndim != 4 or len(image) != len(columns["label"]):
        raise ValueError(f"image.npy has shape {image.shape} and type {image.dtype}")
    blocks = record["blocks"]
    if len(blocks) != -(-len(image) // BLOCK):
        raise ValueError("part.json is another part's")
    some = {0, len(blocks) - 1, *(secrets.randbelow(len(blocks)) for _ in range(SAMPLED - 2))}
    _check_blocks(image, blocks, sorted(some))
    return image, columns


def _check_blocks(image: np.ndarray, blocks: list[str], wanted: Iterable[int]) -> None:
    for at in wanted:
        if hashlib.sha256(image[at * BLOCK : (at + 1) * BLOCK].tobytes()).hexdigest() != blocks[at]:
            raise ValueError(f"images {at * BLOCK} to {min((at + 1) * BLOCK, len(image)) - 1} were changed")


def verify(part: Part) -> str:
    """What is wrong with a part, all of whose images are read; empty if nothing is."""
    try:
        image, _ = _checked(part.folder)
        record = load_json(part.folder / "part.json", PART, sealed=True)
        assert record is not None
        _check_blocks(image, record["blocks"], range(len(record["blocks"])))
    except Exception as error:  # whatever zipfile and NumPy make of damaged bytes
        return one_line(error)
    return ""


def make(root: Path, catalogue: Catalogue, split: str, tick: Tick) -> Part:
    """The part of a catalogue's split: read, or decoded, resuming an interrupted call.

    Raises UserError if an image is missing or damaged, or if the disk has too little room.
    """
    rows = catalogue.splits[split]
    stamp = _stamp(catalogue, rows)
    unfinished = root / "unfinished" / f"{catalogue.name}-{split}-{len(rows.name)}"
    with cache.locked(unfinished.with_suffix(".lock")):
        if part := find(root, catalogue, split):
            return part
        unfinished.mkdir(exist_ok=True)
        _decode_all(unfinished, catalogue, rows, stamp, tick)
        digest = _digest(catalogue, rows, unfinished / "sums")
        columns = {"label": rows.label, "attribute": rows.attribute, "index": rows.row}
        sealed = {**columns, cache.DIGEST: np.array(cache.digest_of(columns))}
        write_npz(unfinished / "columns.npz", sealed)
        blocks = (unfinished / "blocks").read_bytes()
        part_record = {
            "blocks": [blocks[at : at + DIGEST_BYTES].hex() for at in range(0, len(blocks), DIGEST_BYTES)],
            "columns": cache.digest_of(columns),
        }
        write_json(unfinished / "part.json", seal(part_record))
        (root / "images").mkdir(exist_ok=True)
        if not read(root, digest):  # else other files have made the same part
            shutil.rmtree(root / "images" / digest, ignore_errors=True)
            os.replace(unfinished, root / "images" / digest)
        shutil.rmtree(unfinished, ignore_errors=True)
        _known(root, stamp).parent.mkdir(exist_ok=True)
        write_json(_known(root, stamp), digest)
    part = read(root, digest)
    if part is None:
        raise UserError(f"{root / 'images' / digest} cannot be read back; check the disk and its permissions")
    return part


def make_all(root: Path, catalogue: Catalogue, progress: Progress) -> dict[str, Part]:
    """The parts of a catalogue, made if missing, with a progress bar. Raises UserError as `make`."""
    found = {split: find(root, catalogue, split) for split in SPLITS}
    missing = [split for split, part in found.items() if part is None]
    if missing and catalogue.remark:
        progress.warn(catalogue.remark)
    progress.begin(len(missing))
    made = {}
    for split in missing:
        what = f"{catalogue.name}: decoding {split}"
        progress.stage(what, 0)
        made[split] = make(root, catalogue, split, ticker(progress, what))
        progress.done(what)
    return {split: part or made[split] for split, part in found.items()}


def ticker(progress: Progress, what: str) -> Tick:
    """Shows how much of something is done."""
    return lambda done, total: progress.count(what, done, total, "")


def splits(catalogue: Catalogue, parts: Mapping[str, Part]) -> Splits:
    """The parts as a data set without an auxiliary part."""
    return _splits(catalogue.class_names, catalogue.attribute_names, parts)


def remember(root: Path, catalogue: Catalogue, parts: Mapping[str, Part]) -> None:
    """Register these parts as the data set to use if no source is given."""
    record = {
        "preprocessing": catalogue.preprocessing.name,
        "classes": catalogue.class_names,
        "attributes": catalogue.attribute_names,
        "parts": {split: part.folder.name for split, part in parts.items()},
    }
    write_json(root / f"{catalogue.name}.json", record)


def holds(root: Path, name: str) -> bool:
    """Whether the folder is one in which a data set of this name was prepared."""
    return (root / f"{name}.json").is_file() and (root / "images").is_dir()


def remembered(root: Path, name: str, preprocessing: str) -> tuple[Splits, dict[str, Part]] | None:
    """The data set last prepared under a name, and its parts; None if there is no valid one."""
    record = read_json(root / f"{name}.json", PREPARED)
    if record is None or record["preprocessing"] != preprocessing or set(record["parts"]) != set(SPLITS):
        return None
    if not all(re.fullmatch("[0-9a-f]{32}", digest) for digest in record["parts"].values()):
        return None
    parts = {split: read(root, digest) for split, digest in record["parts"].items()}
    whole = {split: part for split, part in parts.items() if part}
    if len(whole) < len(parts):
        return None
    return _splits(tuple(record["classes"]), tuple(record["attributes"]), whole), whole


def _splits(
    class_names: tuple[str, ...], attribute_names: tuple[str, ...], parts: Mapping[str, Part]
) -> Splits:
    train, val, test = (parts[split].examples for split in ("train", "val", "test"))
    identity = " ".join(part.folder.name for part in parts.values())  # the parts' digests
    return Splits(train, val, test, class_names, attribute_names, identity)


def _known(root: Path, stamp: str) -> Path:
    return root / "known" / f"{stamp}.json"


def _columns(rows: Rows) -> bytes:
    return b"".join(column.astype("<i4").tobytes() for column in (rows.label, rows.attribute, rows.row))


def _stamp(catalogue: Catalogue, rows: Rows) -> str:
    """A digest of what can be told of the files without reading them. Raises UserError if some are missing."""
    total = hashlib.sha256(catalogue.preprocessing.name.encode() + _columns(rows))
    try:
        for name in rows.name.tolist():
            total.update(catalogue.stamp(name).encode())
    except KeyError:
        raise absent(catalogue, rows) from None
    return total.hexdigest()[:32]


def _digest(catalogue: Catalogue, rows: Rows, sums: Path) -> str:
    """The digest of a part's content; `sums` holds the SHA-256 of each image file."""
    total = hashlib.sha256(catalogue.preprocessing.name.encode() + _columns(rows))
    total.update(sums.read_bytes())
    return total.hexdigest()[:32]


def _decode_all(folder: Path, catalogue: Catalogue, rows: Rows, stamp: str, tick: Tick) -> None:
    """Fill image.npy and sums in the folder, chunk by chunk.

    `done.json` counts the images that are safely there; those of another stamp are of other files, and overwritten.
    """
    n, shape = len(rows.name), (catalogue.preprocessing.side, catalogue.preprocessing.side, 3)
    row_bytes = math.prod(shape)
    state = read_json(folder / "done.json", UNFINISHED)
    done = _done(folder, state["rows"], n, row_bytes) if state is not None and state["stamp"] == stamp else 0
    mode = "r+b" if done else "wb"
    one = functools.partial(decode_one, catalogue)
    _check_room(folder, (n - done) * row_bytes)
    # Threads: Pillow decodes and resizes without Python's lock, and no process must be made for them.
    with (
        open(folder / "image.npy", mode) as image,
        open(folder / "sums", mode) as sums,
        open(folder / "blocks", mode) as blocks,
        ThreadPoolExecutor(cores()) as pool,
    ):
        start = _write_header(image, (n, *shape))
        tick(done, n)
        for first in range(done, n, CHUNK):
            chunk = list(pool.map(one, rows.name[first : first + CHUNK].tolist()))
            image.seek(start + first * row_bytes)
            sums.seek(first * DIGEST_BYTES)
            blocks.seek(first // BLOCK * DIGEST_BYTES)
            for pixels, digest in chunk:
                image.write(pixels.data)
                sums.write(digest)
            for at in range(0, len(chunk), BLOCK):
                whole = b"".join(pixels.tobytes() for pixels, _ in chunk[at : at + BLOCK])
                blocks.write(hashlib.sha256(whole).digest())
            for file in (image, sums, blocks):
                file.flush()
                os.fsync(file.fileno())
            write_json(folder / "done.json", {"stamp": stamp, "rows": first + len(chunk)})
            tick(first + len(chunk), n)


def _done(folder: Path, rows: int, n: int, row_bytes: int) -> int:
    """The images of so many rows that are whole chunks, and there."""
    sizes = {
        "image.npy": rows * row_bytes,
        "sums": rows * DIGEST_BYTES,
        "blocks": rows // BLOCK * DIGEST_BYTES,
    }
    for name, least in sizes.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size < least:
            return 0
    return rows if 0 <= rows <= n and (rows == n or rows % CHUNK == 0) else 0


def decode_one(catalogue: Catalogue, name: str) -> tuple[UInt8[np.ndarray, "s s 3"], bytes]:
    """Pixels of an image, and the SHA-256 of its file. Raises UserError naming it."""
    try:
        data = catalogue.read(name)
        return np.ascontiguousarray(decode(data, catalogue.preprocessing)), hashlib.sha256(data).digest()
    except OSError as error:
        raise UserError(f"{catalogue.name}: cannot read the image {name}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(
            f"{catalogue.name}: the image {name} cannot be decoded ({error}); download the data set again"
        ) from error


def _write_header(file: IO[bytes], shape: tuple[int, ...]) -> int:
    """The header of an npy file of images [n, h, w, c]; where its data begin."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.tell()


def _check_room(folder: Path, need: int) -> None:
    """Raise UserError if the disk has no room for so many bytes (a full disk would say so only after minutes)."""
    free = shutil.disk_usage(folder).free - SPARE
    if need > free:
        raise UserError(
            f"{folder} needs {need / 1e9:.1f} GB for decoded images, the disk has {max(free, 0) / 1e9:.1f} GB free; "
            "free some space, or choose another place with $OILWATER_CACHE or --data_dir"
        )


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
