"""The content of a data set of image files, before images are read: image, label, attribute and split."""

import hashlib
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Int32

from oilwater_jax import rng
from oilwater_jax.data import archive
from oilwater_jax.data.cache import locked
from oilwater_jax.data.decode import Preprocessing
from oilwater_jax.entries import Dataset
from oilwater_jax.errors import UserError
from oilwater_jax.files import read_json, read_plain, write_json

SPLITS = ("train", "val", "test")  # as 0, 1, 2 in the published tables

SMOKE_LISTED = 96  # samples that a smoke run has of each split of listed images
MOST_IMAGE = 64 << 20  # bytes of an image file
SMOKE_LEAST = 4  # samples of a group, however small its share


class Rows(NamedTuple):
    """The samples of a split or of a part of it, in order. `row` is a sample's row in the whole split."""

    name: np.ndarray
    label: Int32[np.ndarray, " n"]
    attribute: Int32[np.ndarray, " n"]
    row: Int32[np.ndarray, " n"]

    def take(self, rows: Int[np.ndarray, " m"]) -> "Rows":
        """The samples in `rows`, in that order."""
        return Rows(*(column[rows] for column in self))


class Catalogue(NamedTuple):
    """A data set's samples, and how to come by the image of a name.

    `read(name)` is the image file's content, and may be called by several threads at once. `stamp(name)` changes
    when that content does, as far as this can be told without reading it; raises KeyError where there is none.
    `remark` says what is odd about the source (empty: nothing).
    """

    name: str
    splits: Mapping[str, Rows]
    class_names: tuple[str, ...]
    attribute_names: tuple[str, ...]
    read: Callable[[str], bytes]
    stamp: Callable[[str], str]
    preprocessing: Preprocessing
    remark: str

    def smoke(self, most: int) -> "Catalogue":
        """About `most` samples of every split, its groups in proportion."""
        return self._replace(
            splits={
                split: rows.take(smoke_rows(split, rows.label, rows.attribute, most))
                for split, rows in self.splits.items()
            }
        )


def smoke_rows(
    split: str, label: Int[np.ndarray, " n"], attribute: Int[np.ndarray, " n"], most: int
) -> Int[np.ndarray, " m"]:
    """About `most` rows of a split, in order: always the same ones.

    Every group keeps its share, rounded up, and SMOKE_LEAST samples if it has them: minorities stay minorities.
    """
    share = min(1.0, most / len(label))
    chosen = []
    for y, a in sorted(set(zip(label.tolist(), attribute.tolist(), strict=True))):
        members = np.flatnonzero((label == y) & (attribute == a))
        own = max(math.ceil(share * len(members) - 1e-9), SMOKE_LEAST)
        chosen.append(rng.generator(0, f"smoke {split}", y, a).permutation(members)[:own])
    return np.sort(np.concatenate(chosen))


def share_out(
    place: Path,
    name: np.ndarray,
    label: Int32[np.ndarray, " n"],
    attribute: Int32[np.ndarray, " n"],
    split: Int32[np.ndarray, " n"],
) -> dict[str, Rows]:
    """The rows of a published table by split, in the table's order. Raises UserError if a split has none."""
    out = {}
    for number, which in enumerate(SPLITS):
        own = np.flatnonzero(split == number)
        if not len(own):
            raise UserError(f"{place} has no image of the split {which} ({number}); give the whole data set")
        out[which] = Rows(name[own], label[own], attribute[own], np.arange(len(own), dtype=np.int32))
    return out


def compare_counts(
    name: str, splits: Mapping[str, Rows], published: Mapping[str, tuple[int, ...]], n_attributes: int
) -> str:
    """One line with both tables where the sizes of the groups are not the published ones, else empty."""
    found = {
        split: tuple(
            np.bincount(rows.label * n_attributes + rows.attribute, minlength=len(published[split])).tolist()
        )
        for split, rows in splits.items()
    }
    if found == published:
        return ""

    def table(counts: Mapping[str, tuple[int, ...]]) -> str:
        return ", ".join(f"{split} {'/'.join(map(str, sizes))}" for split, sizes in counts.items())

    return f"{name}: the groups' sizes are not the published ones; found: {table(found)}; published: {table(published)}"


def in_folder(folder: Path) -> tuple[Callable[[str], bytes], Callable[[str], str]]:
    """`read` and `stamp` of image files below a folder."""

    def read(name: str) -> bytes:
        return read_plain(folder / name, MOST_IMAGE)

    def stamp(name: str) -> str:
        try:
            return stamp_of(folder / name)
        except OSError as error:
            raise KeyError(name) from error

    return read, stamp


def stamp_of(path: Path) -> str:
    """Path, size and time of change of a file: what changes when its content does. Raises OSError."""
    state = os.stat(path)
    return f"{path}\n{state.st_size}\n{state.st_mtime_ns}\n"


def open_source(source: str, root: Path, tick: archive.Tick | None = None) -> Path:
    """The folder `source`, or the folder that the archive `source` is unpacked in, below `root`. Raises UserError."""
    path = Path(os.path.abspath(os.path.expanduser(source)))  # expanduser leaves an unknown ~user alone
    if path.is_dir():
        return path
    if not path.is_file():
        raise UserError(
            f"source {source!r} is neither a folder nor a file; give the data set's folder or archive"
        )
    known = root / "known" / f"{hashlib.sha256(stamp_of(path).encode()).hexdigest()[:32]}.json"
    digest = read_json(known, str)
    if digest is None or not re.fullmatch("[0-9a-f]{32}", digest):
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:32]
        known.parent.mkdir(parents=True, exist_ok=True)
        write_json(known, digest)
    folder = root / "unpacked" / digest
    with locked(folder.with_suffix(".lock")):
        if not folder.is_dir():
            archive.unpack(path, folder, tick)
    return folder


def absent(catalogue: Catalogue, rows: Rows) -> UserError:
    """The error for missing images of a split."""
    missing = []
    for name in rows.name.tolist():
        try:
            catalogue.stamp(name)
        except KeyError:
            missing.append(name)
    return UserError(
        f"{catalogue.name}: {len(missing)} of {len(rows.name)} images are missing, the first is {missing[0]!a}; "
        "give the whole data set"
    )


def listed(**own: Any) -> Dataset:
    """A data set of published image files, of which `smoke` leaves a few: small batches, enough poisons."""
    return Dataset(smoke_common={"train.batch": 16}, smoke_budget=0.05, smoke_auxiliary=0.5, **own)
