"""Built data sets kept as npz files in the user's cache folder, so that they are built once."""

import contextlib
import fcntl
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from oilwater_jax.files import write_npz
from oilwater_jax.types import Examples, Splits


def folder() -> Path:
    """$OILWATER_CACHE, or oilwater_jax below $XDG_CACHE_HOME or ~/.cache."""
    if own := os.environ.get("OILWATER_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "oilwater_jax"


def place(name: str, version: int) -> Path:
    """Where the arrays of this name and version are kept."""
    return folder() / "data" / f"{name}-v{version}.npz"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait until no other process holds the lock file `path`, and hold it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def arrays(name: str, version: int, build: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What `build()` returns, from the file of this name and version if there is a sound one.

    A damaged file is built anew; a cache folder that cannot be written is done without.
    """
    path = place(name, version)
    try:
        with np.load(path, allow_pickle=False) as saved:
            return {key: saved[key] for key in saved.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        built = build()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_npz(path, built)
    except OSError:
        pass
    return built


def examples(name: str, version: int, build: Callable[[], Examples]) -> Examples:
    """`build()` through the cache."""
    return Examples(**arrays(name, version, lambda: build().arrays()))


def splits(name: str, version: int, build: Callable[[], Splits]) -> Splits:
    """`build()` through the cache."""

    def flat() -> dict[str, np.ndarray]:
        built = build()
        out = {
            f"{split}.{key}": array
            for split in ("train", "val", "test")
            for key, array in getattr(built, split).arrays().items()
        }
        names = {"class_names": built.class_names, "attribute_names": built.attribute_names}
        return out | {key: np.array(value) for key, value in names.items()}

    saved = arrays(name, version, flat)

    def split(which: str) -> Examples:
        own = {k.partition(".")[2]: a for k, a in saved.items() if k.startswith(f"{which}.")}
        return Examples(**own)

    return Splits(
        split("train"),
        split("val"),
        split("test"),
        tuple(map(str, saved["class_names"])),
        tuple(map(str, saved["attribute_names"])),
    )
