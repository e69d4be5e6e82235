"""Data of a user's own as they lie on disk: images with a CSV, a CSV or Parquet file alone."""

import numpy as np
import pytest
from PIL import Image

from oilwater_jax import data, pipeline
from oilwater_jax.data import cache, folder
from oilwater_jax.errors import UserError
from oilwater_jax.settings.config import checked, default

N = 48
SPLIT = [*["train"] * 24, *["val"] * 12, *["test"] * 12]
LABEL = ["cat", "dog"] * (N // 2)
PLACE = ["in", "in", "out"] * (N // 3)
ENDINGS = {
    "png": "PNG",
    "jpg": "JPEG",
    "bmp": "BMP",
    "gif": "GIF",
    "webp": "WEBP",
    "tif": "TIFF",
    "ppm": "PPM",
}


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("OILWATER_CACHE", str(tmp_path / "cache"))


def lines(rows, end="\n"):
    return end.join(",".join(map(str, row)) for row in rows) + end


def images(root, n=N, mode="RGB", size=(20, 10), split=SPLIT, **changes):
    """A folder of images, of one colour each, and its CSV."""
    (root / "pictures").mkdir(parents=True)
    names = []
    for i in range(n):
        ending = list(ENDINGS)[i % len(ENDINGS)]
        names.append(f"pictures/{i}.{ending}")
        colour = (5 * i, 255 - 5 * i, 7)
        Image.new("RGB", (size[0] + i % 3, size[1]), colour).convert(mode).save(
            root / names[-1], ENDINGS[ending], quality=95
        )
    columns = {"file": names, "split": split, "label": LABEL, "attribute": PLACE} | changes
    columns = {name: values for name, values in columns.items() if values is not None}
    (root / "labels.csv").write_text(lines([columns, *zip(*columns.values(), strict=True)]))
    return root


def load(source, **own):
    given = {"data.name": "folder", "data.source": str(source), "pretrain.epochs": 0, "folder.size": 16}
    given |= {f"folder.{name}": value for name, value in own.items()}
    return data.of_config(checked(default(), given))


def test_images_of_all_usual_formats_and_sizes(tmp_path):
    splits = load(images(tmp_path / "mine"))
    assert splits.kind == "image"
    assert splits.class_names == ("cat", "dog")
    assert splits.attribute_names == ("in", "out")
    assert [len(part) for part in splits[:3]] == [24, 12, 12]
    assert splits.train.image.shape == (24, 16, 16, 3)
    np.testing.assert_array_equal(splits.val.label, [0, 1] * 6)
    np.testing.assert_array_equal(splits.val.attribute, [0, 0, 1] * 4)
    middle = splits.train.image[:][:, 8, 8].astype(int)
    want = np.array([(5 * i, 255 - 5 * i, 7) for i in range(24)])
    lossy = np.array([list(ENDINGS)[i % 7] in ("jpg", "webp", "gif") for i in range(24)])
    np.testing.assert_array_equal(middle[~lossy], want[~lossy])
    assert np.abs(middle - want).max() < 30


def test_decoded_once_and_found_again(tmp_path, monkeypatch):
    root = images(tmp_path / "mine")
    first = load(root)
    monkeypatch.setattr("oilwater_jax.data.prepared.decode", None)  # decoding again would raise
    again = load(root)
    assert again.identity == first.identity
    np.testing.assert_array_equal(again.test.image[:], first.test.image[:])


def test_the_size_and_the_labels_are_in_the_identity(tmp_path):
    root = images(tmp_path / "mine")
    one = load(root)
    assert load(root, size=24).train.image.shape == (24, 24, 24, 3)
    assert load(root, size=24).identity != one.identity
    assert load(root, attribute="").identity != one.identity


def test_smoke_decodes_a_few(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "SMOKE_LISTED", 4)
    root = images(tmp_path / "mine")
    splits = data.load("folder", source=str(root), smoke=True)
    assert len(splits.train) == 16  # 4 of each group
    made = (cache.folder() / "data" / "images").iterdir()
    assert max(len(np.load(one / "image.npy")) for one in made) == 16


def listed(root):
    """A CSV for N images called 0.png, 1.png, ..."""
    rows = [("file", "label", "split"), *((f"{i}.png", LABEL[i], SPLIT[i]) for i in range(N))]
    (root / "a.csv").write_text(lines(rows))
    return root


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_other_modes(tmp_path, mode):
    root = tmp_path / "mine"
    root.mkdir()
    colours = [255 * (i % 2) if mode == "1" else 5 * i for i in range(N)]
    for i in range(N):
        one = Image.new("RGB", (9, 9), (colours[i],) * 3)
        (one.quantize(4) if mode == "P" else one.convert(mode)).save(root / f"{i}.png")
    grey = load(listed(root)).train.image[:][:, 4, 4]
    np.testing.assert_array_equal(grey, np.repeat(np.array(colours[:24])[:, None], 3, axis=1))


def test_sixteen_bits_and_transparency(tmp_path):
    root = tmp_path / "mine"
    root.mkdir()
    for i in range(N):
        if i % 2:
            Image.fromarray(np.full((9, 9), 256 * 5 * i + 17, np.uint16)).save(root / f"{i}.png")
        else:
            Image.new("RGBA", (9, 9), (5 * i, 5 * i, 5 * i, 100)).save(root / f"{i}.png")
    grey = load(listed(root)).train.image[:][:, 4, 4]
    np.testing.assert_array_equal(grey, np.repeat(5 * np.arange(24)[:, None], 3, axis=1))


def test_without_attribute_and_split(tmp_path):
    splits = load(images(tmp_path / "mine", attribute=None, split=None))
    assert splits.attribute_names == ("all",)
    assert "groups are the classes" in splits.remarks[0]
    assert sum(len(part) for part in splits[:3]) == N
    assert len(splits.train) > len(splits.val) > 0


def test_free_names_of_columns(tmp_path):
    root = images(
        tmp_path / "mine",
        file=None,
        split=None,
        label=None,
        attribute=None,
        **{
            "Path": [f"pictures/{i}.{list(ENDINGS)[i % 7]}" for i in range(N)],
            "fold": np.repeat([0, 1, 2], [24, 12, 12]),
            "y": [0, 1] * (N // 2),
            "place": PLACE,
        },
    )
    splits = load(root, file="Path", split="fold", label="y", attribute="place")
    assert [len(part) for part in splits[:3]] == [24, 12, 12]
    assert splits.class_names == ("0", "1")
    assert splits.attribute_names == ("in", "out")


def table(path, end="\n", bom="", **changes):
    rng = np.random.default_rng(0)
    columns = {
        "age": rng.integers(20, 60, N),
        "job": ["clerk", "nurse"] * (N // 2),
        "label": LABEL,
        "attribute": PLACE,
        "split": SPLIT,
    } | changes
    columns = {name: values for name, values in columns.items() if values is not None}
    path.write_bytes((bom + lines([columns, *zip(*columns.values(), strict=True)], end)).encode())
    return path


def test_a_table_alone(tmp_path):
    splits = load(table(tmp_path / "a.csv"))
    assert splits.kind == "table"
    assert [column.name for column in splits.columns] == ["age", "job"]
    assert splits.attribute_names == ("in", "out")
    seen = load(tmp_path / "a.csv", see_attribute=True)
    assert [column.name for column in seen.columns] == ["age", "job", "attribute"]
    less = load(tmp_path / "a.csv", ignore=("job",), categories=("age",))
    assert [(column.name, bool(column.categories)) for column in less.columns] == [("age", True)]


@pytest.mark.parametrize(("end", "bom"), [("\r\n", ""), ("\n", "\ufeff"), ("\r\n", "\ufeff"), ("\r", "")])
def test_line_ends_and_byte_order_marks_make_no_difference(tmp_path, end, bom):
    plain = load(table(tmp_path / "a.csv"))
    other = load(table(tmp_path / "b.csv", end, bom, age=np.random.default_rng(0).integers(20, 60, N)))
    assert other.identity == plain.identity


def test_parquet(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    csv = table(tmp_path / "a.csv")
    frame = pandas.read_csv(csv)
    frame.to_parquet(tmp_path / "a.parquet")
    assert load(tmp_path / "a.parquet").identity == load(csv).identity


def test_a_category_that_only_test_has_works_and_is_said(tmp_path):
    job = [*["clerk", "nurse"] * (N // 2 - 1), "clerk", "pilot"]
    splits = load(table(tmp_path / "a.csv", job=job))
    assert any("'job': 1 rows" in one and "'pilot'" in one for one in splits.remarks)


def test_an_attribute_of_one_value_works_and_is_said(tmp_path):
    splits = load(table(tmp_path / "a.csv", attribute=["in"] * N))
    assert splits.remarks == ("the attribute is 'in' everywhere: groups are the classes",)


def test_empty_cells(tmp_path):
    job = ["", *["clerk", "nurse"] * (N // 2 - 1), "clerk"]
    splits = load(table(tmp_path / "a.csv", job=job))
    assert "(missing)" in splits.columns[1].categories
    for name, cell in (("age", ""), ("age", "NaN"), ("label", ""), ("attribute", "")):
        column = [cell, *["3"] * (N - 1)] if name == "age" else [*LABEL[:-1], cell]
        with pytest.raises(UserError, match=rf"column '{name}' (is empty|has no finite number) in row \d+"):
            load(table(tmp_path / "b.csv", "\n", "", **{name: column}))


BAD = {
    "no label": (
        {"label": None},
        {},
        r"has no column 'label' \(it has age, job, attribute, split\); see folder.label",
    ),
    "a misspelt name": ({}, {"attribute": "atribute"}, "has no column 'atribute'; did you mean attribute\\?"),
    "a misspelt ignored": ({}, {"ignore": ("jbo",)}, "has no column 'jbo'.*folder.ignore"),
    "a label not in train": ({"label": [*LABEL[:-1], "cow"]}, {}, "label 'cow' never occurs in train"),
    "one label": ({"label": ["cat"] * N}, {}, "all labels are 'cat'"),
    "an odd split": ({"split": ["tarin"] * N}, {}, "split 'tarin' is not one of train, val, test"),
    "no test": ({"split": ["train", "val"] * (N // 2)}, {}, "no row is of the split test"),
    "names of people": ({"job": [f"n{i}" for i in range(N)]}, {}, "48 different values|24 different values"),
}


@pytest.mark.parametrize("which", BAD)
def test_what_cannot_be(tmp_path, which, monkeypatch):
    monkeypatch.setattr("oilwater_jax.data.tables.MOST_CATEGORIES", 20)
    changes, own, message = BAD[which]
    with pytest.raises(UserError, match=message) as caught:
        load(table(tmp_path / "a.csv", **changes), **own)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as a table"),
        (b"age,label\n", "has no rows"),
        (b"age,age,label\n1,2,a\n", "has two columns 'age'"),
        (b"age,label\n1,a\n2,b,c,d\n", "cannot be read as a table"),
        (b"age,label\n\xff\xfe,a\n", "cannot be read as a table"),
    ],
)
def test_a_damaged_table(tmp_path, content, message):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_sources_that_do_not_do(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "two").mkdir()
    table(tmp_path / "two" / "a.csv")
    table(tmp_path / "two" / "b.csv")
    (tmp_path / "a.txt").write_text("x")
    for source, message in (
        ("", "needs --config.data.source"),
        (tmp_path / "none", "neither a folder nor"),
        (tmp_path / "a.txt", "neither a folder nor"),
        (tmp_path / "empty", "no .csv or .parquet"),
        (tmp_path / "two", r"several tables \(a.csv, b.csv\)"),
    ):
        with pytest.raises(UserError, match=message):
            load(source)


def test_images_that_do_not_do(tmp_path):
    root = images(tmp_path / "mine")
    (root / "pictures" / "0.png").unlink()
    with pytest.raises(UserError, match=r"1 of 24 images are missing, the first is 'pictures/0.png'"):
        load(root)
    (root / "pictures" / "0.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"pictures/0.png cannot be decoded"):
        load(root)
    for name in ("/etc/passwd", "../secret.png"):
        other = tmp_path / name.replace("/", "_")
        names = [name, *[f"pictures/{i}.png" for i in range(1, N)]]
        with pytest.raises(UserError, match="lies outside"):
            load(images(other, file=names))


def test_a_run_on_a_table_and_one_on_images(tmp_path):
    common = {
        "data.name": "folder",
        "attack.name": "label_flip",
        "attack.budget": 0.1,
        "pretrain.epochs": 0,
        "train.batch": 8,
        "rows": ("erm@clean", "erm"),
        "smoke": True,
        "folder.size": 16,
        "cnn.widths": (8,),
    }
    one = checked(default(), common | {"data.source": str(images(tmp_path / "mine"))})
    assert pipeline.run(one, tmp_path / "run1")["n_train"] == 24
    two = checked(default(), common | {"data.source": str(table(tmp_path / "a.csv")), "model.name": "mlp"})
    assert pipeline.run(two, tmp_path / "run2")["n_train"] == 24


def test_a_moved_folder_has_the_same_keys(tmp_path):
    from oilwater_jax.keys import Keys

    keys = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        source = table(tmp_path / name / "a.csv", age=np.arange(N))
        config = checked(
            default(),
            {"data.name": "folder", "data.source": str(source), "pretrain.epochs": 0, "model.name": "mlp"},
        )
        keys.append(Keys(config, data.of_config(config).identity).data)
    assert keys[0] == keys[1]


def test_metashift_and_chexpert_layouts(tmp_path):
    """The layouts of docs/own_data.md, made small."""
    # MetaShift: one folder per class and context, a metadata_metashift.csv that subpopulation benchmarks write
    root = tmp_path / "metashift"
    names = []
    for i in range(N):
        name = f"MetaShift-Cat-Dog-indoor-outdoor/{SPLIT[i]}/{LABEL[i]}/{LABEL[i]}({PLACE[i]})/{i}.jpg"
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 9), (5 * i, 0, 0)).save(root / name)
        names.append(name)
    rows = zip(range(N), names, np.repeat([0, 1, 2], [24, 12, 12]), [0, 1] * 24, PLACE, strict=True)
    (root / "metadata_metashift.csv").write_text(lines([("id", "filename", "split", "y", "a"), *rows]))
    splits = load(root, file="filename", label="y", attribute="a")
    assert splits.train.image.shape == (24, 16, 16, 3)
    assert splits.attribute_names == ("in", "out")
    # CheXpert: names begin with the data set's own folder; no split for test: a hash decides
    root = tmp_path / "chexpert"
    names = []
    for i in range(N):
        name = f"CheXpert-v1.0-small/train/patient{i:05}/study1/view1_frontal.jpg"
        (root / name).parent.mkdir(parents=True)
        Image.new("L", (12, 9), 5 * i).save(root / name)
        names.append(name)
    rows = zip(names, ["Female", "Male"] * 24, range(N), ["1.0", "0.0", "1.0", "0.0"] * 12, strict=True)
    (root / "train.csv").write_text(lines([("Path", "Sex", "Age", "No Finding"), *rows]))
    splits = load(root, file="Path", label="No Finding", attribute="Sex")
    assert splits.class_names == ("0.0", "1.0")
    assert splits.attribute_names == ("Female", "Male")


@pytest.mark.slow
def test_a_million_rows(tmp_path):
    """The memory that docs/own_data.md states, in a process of its own."""
    import subprocess
    import sys

    import pandas

    n, rng = 1_000_000, np.random.default_rng(0)
    words = np.array([f"w{i}" for i in range(20)])
    frame = pandas.DataFrame({f"n{i}": rng.normal(size=n).round(3) for i in range(8)})
    for i in range(2):
        frame[f"c{i}"] = words[rng.integers(0, 20, n)]
    frame["label"], frame["attribute"] = rng.integers(0, 2, n), words[rng.integers(0, 2, n)]
    frame.to_csv(tmp_path / "a.csv", index=False)
    code = (
        "import resource, sys; from oilwater_jax import data; "
        "begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; "
        "splits = data.load('folder', source=sys.argv[1]); "
        "print(sum(map(len, splits[:3])), splits.train.image.shape[1], "
        "(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begin) / 1e6)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.csv")], capture_output=True, text=True, check=True
    )
    rows, numbers, gigabytes = done.stdout.split()
    assert (int(rows), int(numbers)) == (n, 48)
    assert float(gigabytes) < 1
