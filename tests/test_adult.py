"""The embedded data set adult: its file, its groups, its splits."""

import csv
import gzip
import hashlib
import time

import numpy as np
import pytest

from oilwater_jax import data
from oilwater_jax.data import adult, own, tables
from oilwater_jax.data.adult import make
from oilwater_jax.errors import UserError
from oilwater_jax.groups import group_counts, minority_groups
from oilwater_jax.settings.config import checked, default, view

PARTS = ("train", "val", "test")


@pytest.fixture(scope="module")
def splits():
    return data.load("adult")


def by(attribute):
    config = checked(default(), {"data.name": "adult", "adult.attribute": attribute, "pretrain.epochs": 0})
    return adult.load(view(config, adult.DATASET))


def counts(splits):
    shape = len(splits.class_names), len(splits.attribute_names)
    return {part: group_counts(getattr(splits, part), *shape) for part in PARTS}


def test_the_file_is_small_and_travels_with_its_credit():
    assert adult.FILE.stat().st_size < 500_000
    assert hashlib.sha256(adult.FILE.read_bytes()).hexdigest() == adult.SHA256
    credit = (adult.FILE.parent / "CREDIT.txt").read_text()
    assert "10.24432/C5XW20" in credit
    assert "CC BY 4.0" in credit


def test_published_counts():
    """Those of the repository's adult.data: 32,561 people, 7,841 of them above 50K, 1,179 of these women."""
    raw = adult.read()
    high, women = raw["income-per-year"] == ">50K", raw["sex"] == "Female"
    assert len(high) == 32_561
    assert (high.sum(), women.sum(), (high & women).sum()) == (7_841, 10_771, 1_179)
    assert (raw["age"].min(), raw["age"].max(), raw["capital-gain"].max()) == (17, 90, 99_999)
    assert (raw["workclass"] == "?").sum() == 1_836


def test_groups(splits):
    assert splits.class_names == ("<=50K", ">50K")
    assert splits.attribute_names == ("Female", "Male")
    found = counts(splits)
    assert np.sum(list(found.values()), axis=0).tolist() == [9_592, 15_128, 1_179, 6_662]
    assert found["train"].tolist() == [5_783, 9_074, 688, 3_946]
    assert minority_groups(found["train"], 2).tolist() == [False, False, True, False]


@pytest.mark.parametrize(("attribute", "n"), [("race", 5), ("sex_race", 10)])
def test_other_attributes_make_other_groups_of_the_same_splits(splits, attribute, n):
    other = by(attribute)
    assert len(other.attribute_names) == n
    for part in PARTS:
        np.testing.assert_array_equal(getattr(other, part).image, getattr(splits, part).image)
        np.testing.assert_array_equal(getattr(other, part).label, getattr(splits, part).label)
    assert other.identity != splits.identity
    if attribute == "sex_race":
        assert "Female-Black" in other.attribute_names


def test_equal_rows_are_never_in_two_splits(splits):
    seen = [set(own.row_bytes(np.asarray(getattr(splits, part).image))) for part in PARTS]
    # rows that differ only in what is left out (fnlwgt) may be in two; whole rows may not
    raw = adult.read()
    rows = own.row_bytes(*raw.values())
    number = own.by_hash(rows)
    where = {}
    for row, at in zip(rows, number.tolist(), strict=True):
        assert where.setdefault(row, at) == at
    assert len(where) < len(rows)  # the table has equal rows
    assert all(seen)


def test_what_is_left_out(splits):
    names = [column.name for column in splits.columns]
    assert len(names) == 12
    assert not {"fnlwgt", "education", "income-per-year"} & set(names)
    assert splits.train.image.shape[1] == splits.columns[-1].stop == 91
    numbers = [column.start for column in splits.columns if not column.categories]
    np.testing.assert_allclose(splits.train.image[:, numbers].mean(axis=0), 0, atol=1e-4)
    ones = splits.train.image[:, [c for c in range(91) if c not in numbers]]
    assert set(np.unique(ones)) == {0, 1}
    assert tables.decode(splits.columns, splits.train.image[0])["age"] == "38"


def test_it_loads_in_a_second():
    data.load("adult")
    begin = time.process_time()
    data.load("adult")
    assert time.process_time() - begin < 1


def test_the_maker_keeps_every_cell_and_its_bytes(tmp_path, monkeypatch):
    raw = adult.read()
    path = tmp_path / "adult.csv.gz"
    order = list(raw)
    with gzip.open(path, "wt", newline="") as file:
        out = csv.writer(file)
        out.writerow(order)
        columns = [
            raw[name].astype(int).astype(str) if name in adult.NUMBERS else raw[name] for name in order
        ]
        out.writerows(zip(*columns, strict=True))
    arrays = make.compact(path)
    make.write_npz(tmp_path / "adult.npz", arrays)
    with np.load(adult.FILE) as kept:
        assert set(kept.files) == set(arrays)
        for name in kept.files:
            np.testing.assert_array_equal(kept[name], arrays[name])
            assert kept[name].dtype == arrays[name].dtype


def test_a_damaged_file(tmp_path, monkeypatch):
    broken = tmp_path / "adult.npz"
    broken.write_bytes(adult.FILE.read_bytes()[:-1])
    monkeypatch.setattr(adult, "FILE", broken)
    with pytest.raises(UserError, match=r"adult.npz is damaged"):
        adult.read()
