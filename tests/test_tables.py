"""Tables: columns fitted on train, rows to numbers and back."""

import numpy as np
import pytest

from oilwater_jax.data import tables
from oilwater_jax.errors import UserError

RAW = {"age": np.array([20.0, 40.0, 60.0, 50.0]), "job": np.array(["b", "a", "b", "c"])}
TRAIN = np.array([True, True, True, False])


def fitted():
    return tables.fit(RAW, TRAIN, "t")


def test_hand_worked():
    # age in train: mean 40, deviation sqrt((400 + 0 + 400) / 3); job: a, b (c is in no training row)
    age, job = fitted()
    assert (age.name, age.start, age.stop, age.low, age.high) == ("age", 0, 1, 20, 60)
    assert age.mean == 40
    assert age.deviation == pytest.approx(np.sqrt(800 / 3))
    assert (job.name, job.start, job.stop, job.categories) == ("job", 1, 3, ("a", "b"))
    z = 20 / np.sqrt(800 / 3)
    want = [[-z, 0, 1], [0, 1, 0], [z, 0, 1], [z / 2, 0, 0]]
    got = tables.encode(fitted(), RAW)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_what_train_does_not_have_is_all_zeros_and_told_of():
    (remark,) = tables.unknown(fitted(), RAW)
    assert "'job'" in remark
    assert "1 rows" in remark
    assert "'c'" in remark
    assert tables.decode(fitted(), tables.encode(fitted(), RAW)[3])["job"] == tables.UNKNOWN


def test_back_to_the_original_values():
    rows = [tables.decode(fitted(), row) for row in tables.encode(fitted(), RAW)]
    assert rows[:3] == [{"age": "20", "job": "b"}, {"age": "40", "job": "a"}, {"age": "60", "job": "b"}]


def test_large_numbers_come_back_whole():
    raw = {"gain": np.array([0.0, 99_999.0, 0.0, 7_298.0])}
    columns = tables.fit(raw, np.ones(4, bool), "t")
    back = [tables.decode(columns, row)["gain"] for row in tables.encode(columns, raw)]
    assert back == ["0", "99999", "0", "7298"]


def test_permuting_rows_permutes_numbers():
    order = np.array([2, 0, 3, 1])
    other = {name: values[order] for name, values in RAW.items()}
    np.testing.assert_array_equal(tables.encode(fitted(), other), tables.encode(fitted(), RAW)[order])


def test_a_column_that_never_changes():
    columns = tables.fit({"one": np.full(4, 3.0)}, TRAIN, "t")
    assert columns[0].deviation == 1
    assert not tables.encode(columns, {"one": np.full(4, 3.0)}).any()


def test_a_cell_that_is_no_number():
    with pytest.raises(UserError, match=r"t: column 'age' has no finite number in row 2 \(2 such cells\)"):
        tables.fit({"age": np.array([1.0, np.nan, np.inf, 4.0])}, TRAIN, "t")


def test_too_many_categories():
    n = tables.MOST_CATEGORIES + 1
    names = np.array([f"name{i}" for i in range(n)])
    with pytest.raises(UserError, match=f"column 'name' has {n} different values"):
        tables.fit({"name": names}, np.ones(n, bool), "t")
    assert len(tables.fit({"name": names[1:]}, np.ones(n - 1, bool), "t")[0].categories) == n - 1


def test_no_columns():
    with pytest.raises(UserError, match="no columns are left"):
        tables.fit({}, TRAIN, "t")


def test_raw_columns_of_a_frame():
    import pandas

    frame = pandas.DataFrame(
        {"n": [1, 2], "x": [0.5, np.nan], "b": [True, False], "w": ["u", None], "zip": [12, 13]}
    )
    raw = tables.raw_columns(frame, ("zip",))
    assert {name: values.dtype.kind for name, values in raw.items()} == dict(zip(raw, "ffUUU", strict=True))
    assert raw["w"].tolist() == ["u", tables.MISSING]
    assert raw["b"].tolist() == ["True", "False"]
    assert raw["zip"].tolist() == ["12", "13"]
    assert np.isnan(raw["x"][1])


@pytest.mark.parametrize(("column", "value", "want"), [(0, "40", [0]), (1, "a", [1, 0]), (1, "b", [0, 1])])
def test_one_value(column, value, want):
    np.testing.assert_array_equal(tables.encoded(fitted()[column], value), want)


@pytest.mark.parametrize(("column", "value"), [(0, "many"), (1, "z")])
def test_a_value_that_cannot_be(column, value):
    with pytest.raises(ValueError, match=r"is not one of a, b|could not convert"):
        tables.encoded(fitted()[column], value)
