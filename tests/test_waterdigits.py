import hashlib

import numpy as np
import pytest

from oilwater_jax import data
from oilwater_jax.data import waterdigits as wd
from oilwater_jax.groups import group_ids

CHECKSUM = "e4e7a9c7e95bfdd53701f8485247e576feab6868c48d5ed96a5a3e1c058218ac"


def test_bytes_are_the_same_everywhere(waterdigits):
    total = hashlib.sha256()
    for split in ("train", "val", "test"):
        for array in getattr(waterdigits, split).arrays().values():
            total.update(np.ascontiguousarray(array).tobytes())
    assert total.hexdigest() == CHECKSUM


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_waterbirds_group_counts(waterdigits, split):
    examples = getattr(waterdigits, split)
    assert tuple(np.bincount(group_ids(examples, 2))) == wd.COUNTS[split]
    assert examples.image.shape[1:] == (32, 32, 3)
    np.testing.assert_array_equal(examples.label, examples.true_label)
    assert not examples.is_poison.any()


def test_no_digit_image_is_in_two_splits():
    digit = wd.read_sources().digit
    rows = [set(wd.digit_rows(digit, split)) for split in wd.COUNTS]
    assert sum(map(len, rows)) == len(set.union(*rows)) == len(digit)


def test_label_is_the_class_of_the_digit_and_background_the_attribute(waterdigits):
    """The two photographs tell apart by colour alone: the flower's crops lack blue, or are dark."""
    train = waterdigits.train
    border = train.image[:, :4].astype(float).mean(axis=(1, 2))  # the digit hardly reaches the top rows
    brightness = border.mean(axis=1)
    assert brightness[train.attribute == 0].mean() > brightness[train.attribute == 1].mean() + 20


def test_pretraining_uses_the_train_split_only_and_has_no_shortcut():
    task = wd.build_pretraining(2000)
    assert set(task.label) == set(range(10))
    share = [task.attribute[task.label == digit].mean() for digit in range(10)]
    assert np.abs(np.array(share) - 0.5).max() < 0.15  # 5 standard errors of 200 fair coins


def test_cached_and_rebuilt_when_the_file_is_damaged(tmp_path, monkeypatch, waterdigits):
    monkeypatch.setenv("OILWATER_CACHE", str(tmp_path))
    data.load("waterdigits")
    (file,) = (tmp_path / "data").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    again = data.load("waterdigits")
    np.testing.assert_array_equal(again.train.image, waterdigits.train.image)
    assert file.read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("OILWATER_CACHE", str(blocked))
    assert (
        len(data.load("waterdigits", smoke=True).train) == 374 + 20 + 6 + 113
    )  # 512 / 4795 of each group, rounded up
