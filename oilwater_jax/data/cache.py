"""Built data sets kept as npz files in the user's cache folder, so that they are built once."""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from oilwater_jax.errors import one_line, warn
from oilwater_jax.files import open_lock, open_plain, write_npz
from oilwater_jax.types import Examples, Splits

DIGEST = "sha256"  # the name of the array that seals a cached file


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
    """Acquire the lock file `path`, waiting for other processes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_lock(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def arrays(name: str, version: int, build: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What `build()` returns, from the file of this name and version if there is a sound one.

    A file that is damaged or was changed is built anew, and that is said; a cache folder that cannot be written is
    done without.
    """
    path = place(name, version)
    try:
        return read_arrays(path)
    except FileNotFoundError:
        pass
    except Exception as error:  # whatever zipfile and NumPy make of damaged bytes
        warn(f"the cached data set {path} is damaged ({one_line(error)}); it is rebuilt")
    built = build()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_npz(path, {**built, DIGEST: np.array(digest_of(built))})
    return built


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a cached file. Raises whatever comes of a damaged one; ValueError where its digest differs."""
    with open_plain(path) as file, np.load(file, allow_pickle=False) as saved:
        found = {key: saved[key] for key in saved.files}
    if str(found.pop(DIGEST, "")) != digest_of(found):
        raise ValueError("its checksum differs")
    return found


def digest_of(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, types, shapes and bytes of arrays."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array.reshape(-1).data)
    return total.hexdigest()


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
        out |= {f"origins.{key}": array for key, array in built.origins.items()}
        return out | {key: np.array(value) for key, value in names.items()}

    saved = arrays(name, version, flat)

    def below(what: str) -> dict[str, np.ndarray]:
        return {k.partition(".")[2]: a for k, a in saved.items() if k.startswith(f"{what}.")}

    return Splits(
        *(Examples(**below(split)) for split in ("train", "val", "test")),
        class_names=tuple(map(str, saved["class_names"])),
        attribute_names=tuple(map(str, saved["attribute_names"])),
        origins=below("origins"),
    )
