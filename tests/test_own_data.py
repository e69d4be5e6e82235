"""Arrays of a user's as a data set."""

import numpy as np
import pytest

import oilwater_jax as ow
from oilwater_jax.data import own
from oilwater_jax.data.own import from_arrays
from oilwater_jax.errors import UserError
from oilwater_jax.groups import group_counts

N = 60
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3))
LABEL = np.arange(N) % 2
ATTRIBUTE = np.array(["red", "blue", "blue"])[np.arange(N) % 3]
SPLIT = np.repeat(["train", "val", "test"], 20)


def test_a_table():
    splits = from_arrays(X, LABEL, attribute=ATTRIBUTE, split=SPLIT)
    assert splits.kind == "table"
    assert [len(part) for part in splits[:3]] == [20, 20, 20]
    assert splits.class_names == ("0", "1")
    assert splits.attribute_names == ("blue", "red")
    train = splits.train
    numbers = np.asarray(train.image)
    np.testing.assert_allclose(numbers.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(numbers.std(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(train.label, LABEL[:20])
    np.testing.assert_array_equal(train.attribute, (ATTRIBUTE == "red")[:20])
    assert not train.is_poison.any()
    assert splits.remarks == ()


def test_images_stay_as_they_are():
    image = RNG.integers(0, 256, (N, 5, 4, 3), np.uint8)
    splits = from_arrays(image, LABEL, split=SPLIT)
    assert splits.kind == "image"
    assert splits.columns == ()
    np.testing.assert_array_equal(splits.val.image, image[20:40])
    grey = from_arrays(image[..., 0], LABEL, split=SPLIT)
    np.testing.assert_array_equal(grey.val.image, image[20:40, :, :, :1].repeat(3, axis=-1))


def test_without_a_split_a_hash_decides_whatever_the_order():
    splits, order = from_arrays(X, LABEL), RNG.permutation(N)
    again = from_arrays(X[order], LABEL[order])
    for part, other in zip(splits[:3], again[:3], strict=True):
        # standardised over rows in another order, so equal but for the last digit
        np.testing.assert_allclose(np.sort(part.image[:, 0]), np.sort(other.image[:, 0]), atol=1e-6)
    many = own.by_hash([str(i).encode() for i in range(10_000)])
    np.testing.assert_allclose(np.bincount(many) / 10_000, own.SHARES, atol=0.02)


def test_another_row_moves_none():
    words = np.array(["red", "green"])[np.arange(N) % 2]
    table = {"n": X[:, 0], "word": words}
    longer = {"n": np.append(X[:, 0], 5.0), "word": np.append(words, "a much longer word")}
    one, two = from_arrays(table, LABEL), from_arrays(longer, np.append(LABEL, 0))
    sizes = [[len(part) for part in splits[:3]] for splits in (one, two)]
    assert sorted(np.subtract(sizes[1], sizes[0]).tolist()) == [0, 0, 1]


def test_equal_rows_are_in_one_split():
    rows = own.row_bytes(np.repeat(X[:5], 4, axis=0))
    assert len(set(rows)) == 5
    numbers = own.by_hash(rows).reshape(5, 4)
    assert (numbers == numbers[:, :1]).all()


def test_no_attribute_is_said():
    splits = from_arrays(X, LABEL, split=SPLIT)
    assert splits.attribute_names == ("all",)
    assert splits.n_groups == 2
    assert "groups are the classes" in splits.remarks[0]


def test_an_attribute_of_one_value_is_said():
    splits = from_arrays(X, LABEL, split=SPLIT, attribute=["x"] * N)
    assert splits.remarks == ("the attribute is 'x' everywhere: groups are the classes",)


@pytest.mark.parametrize(
    ("values", "names", "want", "found"),
    [
        ([10, 2, 2], (), [1, 0, 0], ("2", "10")),
        (["b", "a", "b"], (), [1, 0, 1], ("a", "b")),
        ([1.0, 0.0], (), [1, 0], ("0", "1")),
        ([True, False], (), [1, 0], ("0", "1")),
        ([1, 0], ("no", "yes"), [1, 0], ("no", "yes")),
        (["yes", "no"], ("no", "yes"), [1, 0], ("no", "yes")),
        (np.array(["u", "v"], object), (), [0, 1], ("u", "v")),
    ],
)
def test_numbers_and_names(values, names, want, found):
    numbers, got = own.numbered(np.array(values), names, "label", "t")
    assert numbers.tolist() == want
    assert got == found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": LABEL[1:]}, "label has the shape"),
        ({"attribute": ATTRIBUTE[:, None]}, "attribute has the shape"),
        ({"split": ["train"] * N}, "no row is of the split val"),
        ({"split": ["trian"] * N}, "the split 'trian' is not one of train, val, test"),
        ({"label": np.zeros(N, int)}, "all labels are '0'"),
        (
            {"label": np.where(SPLIT == "test", 2, LABEL)},
            r"label '2' never occurs in train \(20 times elsewhere\)",
        ),
        ({"label": LABEL + 0.5}, "the label must be whole numbers or names, and one is 0.5"),
        ({"class_names": ("a",)}, "the label '1' is not one of a"),
        ({"column_names": ("a", "b")}, "2 column names"),
        ({"column_names": ("a", "b", "a")}, r"3 column names \(2 different\)"),
        ({"x": X[:, 0]}, r"x has the shape \(60,\)"),
        ({"x": np.where(X > 2, np.nan, X)}, "has no finite number"),
        ({"x": np.zeros((N, 4, 4, 2), np.uint8)}, "images of 2 channels"),
        ({"x": X[:0], "label": LABEL[:0], "split": SPLIT[:0]}, "there are no samples"),
    ],
)
def test_what_cannot_be(changes, message):
    given = {"x": X, "label": LABEL, "split": SPLIT} | changes
    with pytest.raises(UserError, match=message) as caught:
        from_arrays(**given)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("from_arrays: ")


def test_the_identity_is_the_content():
    one = from_arrays(X, LABEL, split=SPLIT).identity
    assert from_arrays(X.copy(), LABEL, split=SPLIT).identity == one
    assert from_arrays(X, 1 - LABEL, split=SPLIT).identity != one
    assert from_arrays(X + (X > 2), LABEL, split=SPLIT).identity != one


def test_from_python_it_is_run_by_a_name(tmp_path, knows):
    splits = from_arrays(X, LABEL, attribute=ATTRIBUTE, split=SPLIT)
    knows(ow.Dataset(name="mine_in_a_test", help="mine", load=lambda config: splits))
    config = ow.checked(
        ow.default(),
        {
            "data.name": "mine_in_a_test",
            "model.name": "mlp",
            "attack.name": "label_flip",
            "attack.budget": 0.1,
            "pretrain.epochs": 0,
            "train.batch": 8,
            "rows": ("erm@clean", "erm"),
            "smoke": True,
        },
    )
    result = ow.run(config, tmp_path / "run")
    assert result["n_train"] == 20
    assert result["groups"] == ["0/blue", "0/red", "1/blue", "1/red"]
    assert sum(group_counts(splits.train, 2, 2)) == 20


def write(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_an_npz(tmp_path):
    path = write(
        tmp_path / "a.npz", x=X, label=LABEL, split=SPLIT, attribute=ATTRIBUTE, class_names=["no", "yes"]
    )
    splits = ow.data.load("arrays", source=str(path))
    assert splits.class_names == ("no", "yes")
    assert (
        splits.identity
        == from_arrays(X, LABEL, split=SPLIT, attribute=ATTRIBUTE, class_names=("no", "yes")).identity
    )


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, "has no array 'label' \\(it has x\\)"),
        ({"x": X, "label": LABEL, "lable": LABEL}, "the array 'lable' is not one of"),
        ({"x": X, "label": np.array(["a", None] * 30, object)}, "an array of objects"),
    ],
)
def test_an_npz_that_does_not_do(tmp_path, arrays, message):
    path = write(tmp_path / "a.npz", **arrays)
    with pytest.raises(UserError, match=message):
        ow.data.load("arrays", source=str(path))


@pytest.mark.parametrize("content", [b"", b"no npz", b"PK\x03\x04cut off"])
def test_a_damaged_npz(tmp_path, content):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"cannot be read as an .npz"):
        ow.data.load("arrays", source=str(path))


def test_no_npz():
    with pytest.raises(UserError, match=r"data\.name = 'arrays' needs"):
        ow.data.load("arrays")
    with pytest.raises(UserError, match=r"cannot be read as an .npz"):
        ow.data.load("arrays", source="/nowhere.npz")


def test_the_example_of_the_docs_runs(monkeypatch):
    import re
    from pathlib import Path

    from oilwater_jax.settings import registry

    monkeypatch.setattr(registry, "_registered", dict(registry._registered))  # what it registers is forgotten
    text = (Path(__file__).parent.parent / "docs" / "own_data.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", text, re.S)
    example = example.replace('name="mine"', 'name="mine_of_the_docs"').replace(
        ': "mine"', ': "mine_of_the_docs"'
    )
    found = {}
    exec(example, found)
    given = {name: found[name] for name in ("attribute", "split")}
    assert (
        ow.data.of_config(found["config"]).identity
        == from_arrays(found["x"], found["label"], **given).identity
    )
    registry._known.cache_clear()


def test_every_file_that_the_docs_name_exists():
    import re
    from pathlib import Path

    root = Path(__file__).parent.parent
    text = (root / "docs" / "own_data.md").read_text()
    for path in re.findall(r"(?:configs|tests)/[a-z0-9_/]+\.py", text):
        assert (root / path).exists(), path
