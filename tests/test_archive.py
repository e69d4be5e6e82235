import gzip
import io
import stat
import tarfile
import tracemalloc
import zipfile
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oilwater_jax.data import archive
from oilwater_jax.errors import UserError

FILES = {"top.txt": b"top", "deep/er/image.jpg": b"\xff\xd8" * 5000, "deep/empty": b""}


def tar_bytes(members, mode: Any = "w:gz"):
    """A tar of (name or TarInfo, content) pairs."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = info.size or len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def zip_bytes(members):
    """A zip of (name or ZipInfo, content) pairs."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            file.writestr(name, content)
    return out.getvalue()


PACKS = {
    "tar": lambda members: tar_bytes(members, "w"),
    "tar.gz": tar_bytes,
    "tar.xz": lambda members: tar_bytes(members, "w:xz"),
    "tar.bz2": lambda members: tar_bytes(members, "w:bz2"),
    "zip": zip_bytes,
}


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refuse(tmp_path, content, message, **limits):
    """The archive is refused in one line that names it, and nothing is left behind."""
    file = tmp_path / "archive"
    file.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        archive.unpack(file, tmp_path / "below" / "out", **limits)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "below").iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"archive", "below"}


@pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS)
def test_unpacks_what_was_packed(tmp_path, pack):
    (tmp_path / "a").write_bytes(pack(FILES.items()))
    heard = []
    archive.unpack(tmp_path / "a", tmp_path / "x" / "out", lambda *done: heard.append(done))
    assert contents(tmp_path / "x" / "out") == FILES
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["out"]
    assert heard == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("pack", [tar_bytes, zip_bytes], ids=["tar", "zip"])
@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/evil", "a/.."])
def test_a_path_that_leaves_the_folder(tmp_path, pack, name):
    refuse(tmp_path, pack([("good", b"1"), (name, b"2")]), "path leaves the folder")


@pytest.mark.parametrize("name", ["a\\..\\evil", "line\nbreak", "x" * 256])
def test_a_name_that_is_no_portable_path(tmp_path, name):
    refuse(tmp_path, tar_bytes([(name, b"")]), "not a portable path")


def special(kind):
    info = tarfile.TarInfo("member")
    info.type, info.linkname = kind, "../../outside"
    return info


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (tarfile.SYMTYPE, "a link"),
        (tarfile.LNKTYPE, "a link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a device"),
    ],
)
def test_links_and_devices_of_a_tar(tmp_path, kind, what):
    refuse(tmp_path, tar_bytes([("good", b"1"), (special(kind), b"")]), f"'member', which is {what}")


def test_links_and_devices_of_a_zip(tmp_path):
    for mode, what in ((stat.S_IFLNK, "a link"), (stat.S_IFIFO, "a device")):
        info = zipfile.ZipInfo("member")
        info.external_attr = (mode | 0o777) << 16
        folder = tmp_path / what
        folder.mkdir()
        refuse(folder, zip_bytes([(info, b"/etc")]), f"which is {what}")


def test_an_encrypted_member(tmp_path):
    content = bytearray(zip_bytes([("member", b"secret")]))
    content[content.index(b"PK\1\2") + 8] |= 1  # the flag in the central directory
    refuse(tmp_path, bytes(content), "which is encrypted")


@pytest.mark.parametrize("pack", [tar_bytes, zip_bytes], ids=["tar", "zip"])
def test_sizes(tmp_path, pack, monkeypatch):
    content = pack([("a", b"0" * 600), ("b", b"0" * 600)])
    (tmp_path / "one").mkdir()
    refuse(tmp_path / "one", content, "is too large: above 1000 bytes", most_bytes=1000)
    usage = archive.shutil.disk_usage(tmp_path)._replace(free=archive.SPARE + 1199)
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda _: usage)
    (tmp_path / "two").mkdir()
    refuse(tmp_path / "two", content, "needs at least 1200 bytes unpacked, the disk has 1199")
    monkeypatch.setattr(archive, "MOST_MEMBERS", 1)
    (tmp_path / "three").mkdir()
    refuse(tmp_path / "three", content, "is too large")


def test_a_bomb_is_refused_by_what_it_declares(tmp_path):
    info = tarfile.TarInfo("bomb")
    info.size = 1 << 50
    refuse(tmp_path, info.tobuf(), "is too large")


@pytest.mark.parametrize("pack", [tar_bytes, zip_bytes], ids=["tar", "zip"])
def test_a_name_twice_or_a_file_where_a_folder_must_be(tmp_path, pack):
    (tmp_path / "one").mkdir()
    refuse(tmp_path / "one", pack([("a", b"1"), ("./a", b"2")]), "'./a' twice")
    (tmp_path / "two").mkdir()
    refuse(tmp_path / "two", pack([("a", b"1"), ("a/b", b"2")]), "is damaged")


NOISE = bytes(range(256)) * 40


@pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS)
def test_cut_off_anywhere(tmp_path, pack):
    whole = pack([("a", NOISE), ("b", NOISE[::-1])])
    for number, cut in enumerate((1, 40, len(whole) // 3, len(whole) // 2)):
        (tmp_path / str(number)).mkdir()
        refuse(tmp_path / str(number), whole[:cut], "is damaged")


def test_content_that_does_not_fit_its_checksum(tmp_path):
    content = bytearray(zip_bytes([(zipfile.ZipInfo("a"), NOISE)]))
    content[5000] ^= 1
    (tmp_path / "zip").mkdir()
    refuse(tmp_path / "zip", bytes(content), "is damaged .*CRC")
    content = bytearray(gzip.compress(tar_bytes([("a", NOISE)], "w")))
    content[-8] ^= 1
    (tmp_path / "gz").mkdir()
    refuse(tmp_path / "gz", bytes(content), "is damaged .*CRC")


@pytest.mark.parametrize("content", [b"", b"<html>login</html>", b"PK\3\4 and no more", b"\x1f\x8b rubbish"])
def test_no_archive_at_all(tmp_path, content):
    refuse(tmp_path, content, "is damaged or not a zip or tar archive")


def test_missing_and_folder(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*nothing: No such file"):
        archive.unpack(tmp_path / "nothing", tmp_path / "out")
    with pytest.raises(UserError, match=r"cannot read .*: Is a directory"):
        archive.unpack(tmp_path, tmp_path / "out")


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    (tmp_path / "a").write_bytes(zip_bytes([("a", b"1")]))
    monkeypatch.setattr(archive.shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space"):
        archive.unpack(tmp_path / "a", tmp_path / "x" / "out")
    assert not list((tmp_path / "x").iterdir())


PARTS = st.sampled_from(["a", "b", "..", ".", "", "...", "a b", "\\", "~", "C:"])


@given(
    names=st.lists(
        st.lists(PARTS, min_size=1, max_size=4).map("/".join).filter(bool),
        min_size=1,
        max_size=4,
        unique=True,
    ),
    pack=st.sampled_from([tar_bytes, zip_bytes]),
)
def test_whatever_the_names_nothing_is_written_outside(tmp_path_factory, names, pack):
    tmp_path = tmp_path_factory.mktemp("any")
    (tmp_path / "archive").write_bytes(pack([(name, b"x") for name in names]))
    try:
        archive.unpack(tmp_path / "archive", tmp_path / "below" / "out")
    except UserError:
        assert not list((tmp_path / "below").iterdir())
    else:
        assert not any(".." in PurePosixPath(name).parts or name.startswith("/") for name in names)
        assert [path.name for path in (tmp_path / "below").iterdir()] == ["out"]
    assert {path.name for path in tmp_path.iterdir()} == {"archive", "below"}


def tar_header(size, kind=tarfile.REGTYPE, name="x"):
    """512 bytes of a member whose size is what is said, in base 256 where octal cannot say it."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, max(size, 0)
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT)[:512])
    if size < 0:
        header[124:136] = size.to_bytes(12, "big", signed=True)
        header[148:156] = b"%06o\0 " % (256 + sum(header[:148]) + sum(header[156:512]))
    return bytes(header)


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME], ids=str)
def test_a_size_below_0(tmp_path, kind):
    refuse(tmp_path, tar_header(-(1 << 40), kind) + bytes(4096), "of -|is damaged|holds 'x'")
    total = tar_header(5) + b"hello".ljust(512, b"\0") + tar_header(-512, kind, "y") + bytes(4096)
    refuse(tmp_path, gzip.compress(total), "of -|is damaged")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME], ids=str)
@pytest.mark.parametrize("size", [1 << 24, 1 << 30, 1 << 34])
def test_a_header_too_large_is_refused_before_it_is_read(tmp_path, kind, size):
    head = tar_header(size, kind)
    file = tmp_path / "archive"
    file.write_bytes(gzip.compress(head + bytes(1 << 20)))
    tracemalloc.start()
    with pytest.raises(UserError, match=f"a header of {size}"):
        archive.unpack(file, tmp_path / "out")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


def test_a_size_below_0_in_a_pax_header(tmp_path):
    info = tarfile.TarInfo("x")
    info.pax_headers = {"size": "-4096"}
    content = info.tobuf(tarfile.PAX_FORMAT) + bytes(4096)
    refuse(tmp_path, content, "of -4096 bytes|is damaged")


@pytest.mark.parametrize("name", ["", ".", "a/" * 600 + "b"])
def test_a_file_without_a_name_or_with_too_long_a_path(tmp_path, name):
    refuse(
        tmp_path, zip_bytes([("good", b"1"), (zipfile.ZipInfo(name), b"2")]), "not a portable path|is damaged"
    )
    if name:
        refuse(tmp_path, tar_bytes([("good", b"1"), (name, b"2")]), "not a portable path|is damaged")
