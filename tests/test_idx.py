import gzip
import tracemalloc

import numpy as np
import pytest
from garments import idx_bytes

from oilwater_jax.data import idx
from oilwater_jax.errors import UserError

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
GOOD = idx_bytes(IMAGES)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_reads_what_was_written(tmp_path, pack):
    (tmp_path / "file").write_bytes(pack(GOOD))
    got = idx.read(tmp_path / "file", 3)
    np.testing.assert_array_equal(got, IMAGES)
    assert got.dtype == np.uint8


def test_no_images_are_an_empty_array(tmp_path):
    (tmp_path / "file").write_bytes(idx_bytes(IMAGES[:0]))
    assert idx.read(tmp_path / "file", 3).shape == (0, 3, 4)


HUGE = bytes([0, 0, 8, 3]) + b"\xff" * 12
FAULTS = {
    "empty": (b"", "is not an IDX file: it begins with nothing; download the file again"),
    "short": (b"\0\0", "is not an IDX file: it begins with 00 00"),
    "web page": (b"<html>", "is not an IDX file: it begins with 3c 68 74 6d"),
    "unknown type": (b"\0\0\x0a\x03" + GOOD[4:], "is not an IDX file: it begins with 00 00 0a 03"),
    "int16": (idx_bytes(IMAGES.astype(">i2"), 11), "holds int16, not uint8"),
    "labels": (idx_bytes(IMAGES[0, 0]), r"has 1 dimension\(s\), images have 3; are the files' names swapped"),
    "header": (GOOD[:10], "is cut off inside its header"),
    "cut off": (GOOD[:-5], r"is cut off: its header claims 24 bytes \(2 x 3 x 4\)"),
    "trailing": (GOOD + b"x", "has extra bytes after the 24"),
    "huge": (HUGE + b"abc", "more than the file can hold"),
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("fault", FAULTS)
def test_faults(tmp_path, fault, pack):
    content, message = FAULTS[fault]
    path = tmp_path / "file"
    path.write_bytes(pack(content))
    with pytest.raises(UserError, match=message) as caught:
        idx.read(path, 3)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_plain_file_that_is_cut_off_is_not_read(tmp_path):
    (tmp_path / "file").write_bytes(GOOD[:-5])
    with pytest.raises(UserError, match=r"claims 24 bytes .* more than the file can hold"):
        idx.read(tmp_path / "file", 3)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_header_that_lies_costs_no_memory(tmp_path, pack):
    """The header claims 50 MB; the gzip file is large enough that this could be true."""
    content = bytes([0, 0, 8, 1]) + np.array([50_000_000], ">u4").tobytes()
    content += np.random.RandomState(0).bytes(100_000)
    (tmp_path / "file").write_bytes(pack(content))
    tracemalloc.start()
    with pytest.raises(UserError, match=r"cut off"):
        idx.read(tmp_path / "file", 1)
    assert tracemalloc.get_traced_memory()[1] < 8e6
    tracemalloc.stop()


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-12], lambda b: b[:12] + b"\xff" * 8 + b[20:], lambda b: b[:-8] + b"\0" * 8]
)
def test_damaged_gzip(tmp_path, damage):
    (tmp_path / "file.gz").write_bytes(damage(gzip.compress(GOOD)))
    with pytest.raises(UserError, match=r"file\.gz is a damaged gzip file \(.*download the file again"):
        idx.read(tmp_path / "file.gz", 3)


def test_missing_and_folder(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*nothing: No such file"):
        idx.read(tmp_path / "nothing", 1)
    with pytest.raises(UserError, match=r"cannot read .*: Is a directory"):
        idx.read(tmp_path, 1)


def test_images_and_labels_of_different_number(tmp_path):
    (tmp_path / "images").write_bytes(GOOD)
    (tmp_path / "labels").write_bytes(idx_bytes(np.zeros(3, np.uint8)))
    with pytest.raises(UserError, match=r"images holds 2 images, but .*labels holds 3 labels"):
        idx.read_pair(tmp_path / "images", tmp_path / "labels")


def test_find_takes_either_name_and_names_both_if_neither_is_there(tmp_path):
    with pytest.raises(UserError, match=r"holds neither some-name nor some-name.gz"):
        idx.find(tmp_path, "some-name")
    (tmp_path / "some-name.gz").touch()
    assert idx.find(tmp_path, "some-name").name == "some-name.gz"
    (tmp_path / "some-name").touch()
    assert idx.find(tmp_path, "some-name").name == "some-name"
