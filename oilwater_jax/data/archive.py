"""Archives (zip, tar, tar.gz, ...) from elsewhere, unpacked whole or not at all.

Every member is judged before the first byte is written. Only plain files and folders are ever made, by this module
itself, with a new file's usual rights: no link, device, owner or permission of an archive reaches the disk.
"""

import bz2
import contextlib
import errno
import gzip
import io
import lzma
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from oilwater_jax.errors import UserError
from oilwater_jax.files import open_plain

MOST_BYTES = 16 << 30  # unpacked; the largest archive wanted here (CelebA's images) has 1.4 GB
MOST_MEMBERS = 2_000_000
ZIP_MAGIC = b"PK"
MOST_PADDING = 64 << 20  # bytes read behind a tar's last member
SPARE = 64 << 20  # bytes left free on the disk
MOST_HEADER = 4 << 20  # bytes that a tar's member may have of names and other words about it
LONGEST_PATH = 1024  # characters of a member's path
LONGEST_NAME = 255  # bytes, of one part of a path: what file systems take
DAMAGES = (  # whatever tarfile and zipfile make of bytes that are no archive
    *(
        tarfile.TarError,
        zipfile.BadZipFile,
        gzip.BadGzipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        ValueError,
    ),
    *(NotImplementedError, RuntimeError, IndexError, KeyError, TypeError, AttributeError, OverflowError),
    struct.error,
    *(FileExistsError, NotADirectoryError, IsADirectoryError),  # a file where a folder must be
)
NO_DISKS = (None, errno.EINVAL)  # errno of what is the archive's fault: it names a place before its begin

Tick = Callable[[int, int], None]
"""Hears how many of how many steps are done."""


class _Member(NamedTuple):
    """What an archive says of one of its members. `kind`: file, folder, or what else it is in words."""

    name: str
    size: int
    kind: str
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, into: Path, tick: Tick | None = None, *, most_bytes: int = MOST_BYTES) -> None:
    """Unpack an archive as the new folder `into`, which must not exist. Raises UserError, and leaves nothing behind.

    One process at a time may unpack into one place; what a killed one left there is thrown away.

    Fault of the archive                              UserError says
    missing, a folder, not readable                   the system's reason
    neither zip nor tar                               is not a zip or tar archive
    a name that is absolute or has a `..`             leaves the folder
    a link, device, pipe, sparse or encrypted file    is a link (a device, ...)
    a name twice                                      is there twice
    declared total above `most_bytes`                 is too large
    declared total above the disk's free bytes        needs ... bytes
    a header above 4 MB or of a size below 0          is damaged, without reading it
    a member of a size below 0                        holds ..., of -1 bytes
    a member shorter than declared, a wrong CRC       is damaged
    """
    into.parent.mkdir(parents=True, exist_ok=True)
    beside = into.with_name(f".{into.name}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        with _opened(archive) as members:
            sound = _judged(archive, members, most_bytes, shutil.disk_usage(into.parent).free - SPARE)
            beside.mkdir()
            for done, member in enumerate(sound):
                _write(archive, member, beside)
                if tick:
                    tick(done + 1, len(sound))
        os.replace(beside, into)
    except (*DAMAGES, OSError) as error:
        if isinstance(error, OSError) and not isinstance(error, DAMAGES) and error.errno not in NO_DISKS:
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(
            f"{archive} is damaged or not a zip or tar archive ({reason}); download it again"
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[Iterable[_Member]]:
    """The members of an archive, read as they are asked for. The kind of archive is told by content, not name."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open_plain(archive))
        except OSError as error:
            raise UserError(
                f"cannot read {archive}: {error.strerror}; check the path and its permissions"
            ) from error
        magic = file.read(len(ZIP_MAGIC))
        file.seek(0)
        if magic == ZIP_MAGIC:
            yield _of_zip(stack.enter_context(zipfile.ZipFile(file)))
        else:
            metered = _Metered(stack.enter_context(_decompressed(file)))
            tar: Any = metered  # has what tarfile asks of a file
            yield _of_tar(stack.enter_context(tarfile.open(fileobj=tar, mode="r:")), metered)


class _Metered:
    """A tar's bytes, of which tarfile may read so many in a row for one header: it reads what a header declares."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.left: int | None = MOST_HEADER

    def read(self, size: int = -1) -> bytes:
        """As a file's. Raises ValueError if a header is too large, or has a size below 0."""
        if self.left is not None:
            if not 0 <= size <= self.left:
                raise ValueError(f"a header of {size} bytes")
            self.left -= size
        return self._file.read(size)

    def seek(self, offset: int) -> int:
        """As a file's."""
        return self._file.seek(offset)

    def tell(self) -> int:
        """As a file's."""
        return self._file.tell()


def _decompressed(file: IO[bytes]) -> Any:
    """The content of a file that may be compressed, told by how it begins."""
    magic = file.read(6)
    file.seek(0)
    for begins, opened in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open)):
        if magic.startswith(begins):
            return opened(file)
    return file


def _of_zip(file: zipfile.ZipFile) -> Iterator[_Member]:
    for info in file.infolist():
        mode = stat.S_IFMT(info.external_attr >> 16)
        kind = "a folder" if info.is_dir() else "a file"
        if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
            kind = "a link" if mode == stat.S_IFLNK else "a device"
        elif info.flag_bits & 1:
            kind = "encrypted"
        yield _Member(info.filename, info.file_size, kind, lambda info=info: file.open(info))


def _of_tar(file: tarfile.TarFile, metered: _Metered) -> Iterator[_Member]:
    for info in file:
        metered.left = MOST_HEADER
        if info.isdir():
            kind = "a folder"
        elif info.issym() or info.islnk():
            kind = "a link"
        elif info.issparse():
            kind = "a sparse file"
        else:
            kind = "a file" if info.isreg() else "a device"
        yield _Member(info.name, info.size, kind, lambda info=info: file.extractfile(info) or io.BytesIO())
    metered.left = None
    for _ in range(MOST_PADDING >> 20):  # to the end, where a compressed file has its checksum
        if not file.fileobj or not file.fileobj.read(1 << 20):
            break


def _judged(archive: Path, members: Iterable[_Member], most: int, free: int) -> list[_Member]:
    """The members, all of them sound by what the archive says of them. Raises UserError at the first that is not."""

    def refuse(what: str) -> UserError:
        return UserError(
            f"{archive} {what}; nothing was unpacked: download the archive again from its publisher"
        )

    sound: dict[PurePosixPath, _Member] = {}
    total = 0
    for member in members:
        name = PurePosixPath(member.name)
        shown = ascii(member.name[:200])
        if name.is_absolute() or ".." in name.parts:
            raise refuse(f"holds {shown}, whose path leaves the folder")
        long = _longest(name) > LONGEST_NAME or len(str(name)) > LONGEST_PATH
        nameless = not name.parts and member.kind == "a file"
        if "\\" in member.name or not member.name.isprintable() or long or nameless:
            raise refuse(f"holds {shown}, which is not a portable path")
        if member.kind not in ("a file", "a folder"):
            raise refuse(f"holds {shown}, which is {member.kind}")
        if name in sound and "a folder" not in (member.kind, sound[name].kind):
            raise refuse(f"holds {shown} twice")
        if member.size < 0:
            raise refuse(f"holds {shown}, of {member.size} bytes")
        sound[name] = member
        total += member.size
        if total > most or len(sound) > MOST_MEMBERS:
            raise refuse(f"is too large: above {most} bytes or {MOST_MEMBERS} files unpacked")
        if total > free:
            raise UserError(
                f"{archive} needs at least {total} bytes unpacked, the disk has {max(free, 0)} free; free some space"
            )
    if not sound:
        raise refuse("holds nothing")
    return list(sound.values())


def _longest(name: PurePosixPath) -> int:
    return max((len(part.encode()) for part in name.parts), default=0)


def _write(archive: Path, member: _Member, folder: Path) -> None:
    """Make one member below the folder. Raises UserError if its content is not what the archive declares."""
    path = folder / member.name
    if member.kind == "a folder":
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with member.open() as source, open(path, "xb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
        written = target.tell()
    if written != member.size:
        raise UserError(
            f"{archive} is damaged: {member.name!a} declares {member.size} bytes and holds {written}; "
            "download it again"
        )
