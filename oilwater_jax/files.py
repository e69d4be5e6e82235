"""Atomic writes (to a temporary file, then renamed) and validated reads. Imports neither JAX nor NumPy.

A sealed file is JSON with a digest of itself: what a crash, a disk or a hand has changed since is noticed.

What is read                                   Result
absent                                         None
a folder, pipe or device; too large; not JSON  Damaged, saying which
JSON of another shape than wanted              Damaged, naming the place in it
sealed, and changed since                      Damaged
"""

import contextlib
import errno
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from oilwater_jax.errors import UserError

if TYPE_CHECKING:
    import numpy as np

MOST_JSON = 256 << 20  # bytes; the largest summary of a study has a few MB
DIGITS = 18  # of a whole number: nothing that is counted here has more
LARGEST = 1e100  # nothing that is measured here comes near, and squares and sums of it are still numbers
SEAL = "sha256"
_unfinished: set[Path] = set()  # beside files that are being written


class Damaged(ValueError):
    """An existing file with invalid content; the message says why, without its path."""


BESIDE = ".*.[0-9]*.tmp"
"""The names under which `write_whole` writes, as a pattern: what a killed process leaves behind."""


def write_whole(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Write `path` through `write(file)`; a crash or an error leaves the old file, or none, in place.

    Raises OSError, naming the file, where the disk is full or the folder cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    _unfinished.add(beside)
    try:
        with named(path):
            with open(beside, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
        _unfinished.discard(beside)


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """An OSError of a write that names no file (a full disk's) names this one."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def drop_unfinished() -> None:
    """Remove half-written files when a process ends at once."""
    for beside in list(_unfinished):
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def write_npz(path: Path, arrays: "Mapping[str, np.ndarray]") -> None:
    """Arrays by name as a compressed npz."""
    import numpy as np

    write_whole(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))


def write_text(path: Path, text: str) -> None:
    """A UTF-8 text file."""

    def write(file: IO[bytes]) -> None:
        file.write(text.encode())

    write_whole(path, write)


def write_json(path: Path, value: Any) -> None:
    """JSON, indented; NaN is not JSON, so it must have been made None before."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def seal(value: Mapping[str, Any]) -> dict[str, Any]:
    """Write JSON with its own digest under `sha256`; keys are text."""
    own = {name: one for name, one in value.items() if name != SEAL}
    canonical = json.dumps(own, sort_keys=True, allow_nan=False)
    return {**own, SEAL: hashlib.sha256(canonical.encode()).hexdigest()}


def open_plain(path: Path) -> IO[bytes]:
    """Open a regular file for reading; never a pipe or a device, which could block.

    Raises OSError, which says so.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "Not a plain file", str(path))
    return os.fdopen(descriptor, "rb")


def read_plain(path: Path, most: int) -> bytes:
    """The content of a plain file. Raises OSError where it is none, and where it has more than `most` bytes."""
    with open_plain(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise OSError(errno.EFBIG, f"More than {most} bytes", str(path))
        return file.read()


def parse_json(data: bytes | str) -> Any:
    """The value of a JSON text. Raises Damaged, also for NaN and for what nests too deep."""

    def refuse(word: str) -> Any:
        raise Damaged(f"{word} is not JSON")

    def number(text: str) -> float:
        value = float(text)
        if abs(value) > LARGEST:
            raise Damaged(f"{text[:20]} is too large")
        return value

    def whole(text: str) -> int:
        if len(text) > DIGITS:
            raise Damaged(f"{text[:20]}... is too large")
        return int(text)

    try:
        return json.loads(data, parse_constant=refuse, parse_float=number, parse_int=whole)
    except Damaged:
        raise
    except RecursionError:
        raise Damaged("it nests too deep") from None
    except ValueError as error:
        raise Damaged(f"it is not JSON: {' '.join(str(error).split())[:80]}") from None


def load_json(path: Path, wanted: Any = None, *, sealed: bool = False) -> Any | None:
    """The file's JSON, of the shape `wanted` (see `shapes`) and unchanged since it was sealed; None if it is absent.

    Raises Damaged for a file that is there and is not that.
    """
    from oilwater_jax.shapes import mismatch

    try:
        value = parse_json(read_plain(path, MOST_JSON))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Damaged(str(error.strerror)) from None
    if wanted is not None and (fault := mismatch(value, wanted)):
        raise Damaged(fault)
    if sealed and (not isinstance(value, dict) or seal(value)[SEAL] != value.get(SEAL)):
        raise Damaged("its checksum differs: it was changed after it was written, or is of another version")
    return value


def read_json(path: Path, wanted: Any = None, *, sealed: bool = False) -> Any | None:
    """As `load_json`, and None where the file is damaged."""
    try:
        return load_json(path, wanted, sealed=sealed)
    except Damaged:
        return None


def open_lock(path: Path) -> IO[bytes]:
    """A lock file, made if need be, never emptied and never through a link.

    Raises OSError, which names it, also where it is a link, folder, pipe or device.
    """
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(error.errno, "it is a symbolic link; remove it", str(path)) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file; remove it", str(path))
    return os.fdopen(descriptor, "r+b")


def private_folder() -> Path:
    """A private folder of this user below the system's temporary folder. Raises UserError if that is impossible."""
    folder = Path(tempfile.gettempdir()) / f"oilwater_jax-{os.getuid()}"
    mend = "remove it, or name another temporary folder by $TMPDIR"
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        state = folder.lstat()
        if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid():
            raise UserError(
                f"{folder} is not your own folder, and locks must not lie in another user's; {mend}"
            )
        if stat.S_IMODE(state.st_mode) & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise UserError(f"{folder} cannot be used ({error.strerror}); {mend}") from error
    return folder
