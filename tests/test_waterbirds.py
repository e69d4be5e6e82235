import io
import shutil
import sys
import urllib.error
import urllib.request
from typing import Any

import layouts
import numpy as np
import pytest
from PIL import Image

from oilwater_jax import data
from oilwater_jax.data import catalogue, waterbirds
from oilwater_jax.errors import UserError
from oilwater_jax.groups import group_ids
from oilwater_jax.images import Images
from oilwater_jax.settings.config import checked, default
from oilwater_jax.settings.registry import BUILT_IN, known
from oilwater_jax.types import Examples


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of the test's own."""
    monkeypatch.setenv("OILWATER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return layouts.waterbirds(tmp_path_factory.mktemp("birds"))


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return layouts.waterbirds(tmp_path_factory.mktemp("archive"), archive=True)


@pytest.fixture
def copy(folder, tmp_path):
    """A folder that a test may spoil."""
    return shutil.copytree(folder, tmp_path / "copy")


def check(splits):
    """The splits are those of layouts.BIRDS: counts, the colours that tell label and attribute, on disk."""
    for name, counts in layouts.BIRDS.items():
        examples: Examples = getattr(splits, name)
        assert isinstance(examples.image, Images)
        assert examples.image.shape == (sum(counts), 224, 224, 3)
        assert examples.image.dtype == np.uint8
        np.testing.assert_array_equal(np.bincount(group_ids(examples, 2), minlength=4), counts)
        red, _, blue = np.asarray(examples.image).mean(axis=(1, 2)).T
        np.testing.assert_array_equal(red > 120, examples.label == 1)
        np.testing.assert_array_equal(blue > 120, examples.attribute == 1)
        np.testing.assert_array_equal(examples.true_label, examples.label)
        np.testing.assert_array_equal(examples.index, np.arange(len(examples)))
        assert not examples.is_poison.any()
    assert splits.group_name(2) == "waterbird/land"
    assert not len(splits.auxiliary)


def test_folder_archive_and_the_folder_above_are_one_data_set(cache, folder, archive):
    loaded = [data.load("waterbirds", source=str(source)) for source in (folder, folder.parent, archive)]
    for splits in loaded:
        check(splits)
    assert len({layouts.file_of(splits.train) for splits in loaded}) == 1  # found by content
    assert len(list((cache / "data/images").iterdir())) == 3


def test_pixels_are_those_of_resize_256_crop_224(cache, folder):
    train = data.load("waterbirds", source=str(folder)).train
    lines = (folder / "metadata.csv").read_text().splitlines()[1:]
    first = next(line.split(",") for line in lines if line.split(",")[3] == "0")
    with Image.open(folder / first[1]) as image:
        assert image.size != (256, 256)
        square = np.asarray(image.resize((256, 256), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(train.image[0], square[16:240, 16:240])


def test_smoke_reads_only_a_part_of_every_group(cache, folder, monkeypatch):
    """The groups keep their shares, and a few samples each: here 2, since the folder is so small."""
    monkeypatch.setattr(catalogue, "SMOKE_LEAST", 2)
    monkeypatch.setattr(data, "SMOKE_LISTED", 2)
    asked = []
    read, stamp = waterbirds.in_folder(folder)
    listener = lambda name: asked.append(name) or read(name)  # noqa: E731
    monkeypatch.setattr(waterbirds, "in_folder", lambda _: (listener, stamp))
    small = data.load("waterbirds", source=str(folder), smoke=True)
    np.testing.assert_array_equal(np.bincount(group_ids(small.train, 2)), [2, 2, 2, 2])
    np.testing.assert_array_equal(np.bincount(group_ids(small.val, 2)), [2, 2, 1, 2])
    assert len(asked) == len(set(asked)) == len(small.train) + len(small.val) + len(small.test)
    data.prepare("waterbirds", source=str(folder))
    again = data.load("waterbirds", smoke=True)
    for one, other in zip(small[:3], again[:3], strict=True):
        for name, array in one.arrays().items():
            np.testing.assert_array_equal(array, other.arrays()[name])


def test_a_part_set_aside_is_on_disk_too(cache, folder):
    whole = data.load("waterbirds", source=str(folder)).train
    splits = data.load("waterbirds", source=str(folder), auxiliary=0.5)
    assert len(splits.auxiliary) == 4 + 2 + 1 + 3
    for part in (splits.train, splits.auxiliary):
        assert isinstance(part.image, Images)
        expected = whole.take(part.index)
        for name, array in part.arrays().items():
            np.testing.assert_array_equal(array, expected.arrays()[name])
    assert sorted([*splits.train.index, *splits.auxiliary.index]) == list(range(len(whole)))


def test_prepared_once_used_without_a_source(cache, folder, tmp_path):
    with pytest.raises(
        UserError, match=r"waterbirds is not prepared in .*oilwater data prepare waterbirds"
    ) as caught:
        data.load("waterbirds")
    assert "\n" not in str(caught.value)
    data.prepare("waterbirds", source=str(folder))
    check(data.load("waterbirds"))
    elsewhere = tmp_path / "elsewhere"
    data.prepare("waterbirds", source=str(folder), data_dir=elsewhere)
    shutil.rmtree(cache)
    check(data.load("waterbirds", source=str(elsewhere)))
    assert not cache.exists()


def test_the_identity_is_of_the_content_and_not_of_the_place(cache, folder, copy, tmp_path):
    def identity(source):
        return data.load("waterbirds", source=str(source)).identity

    data.prepare("waterbirds", source=str(folder), data_dir=tmp_path / "elsewhere")
    assert identity(folder) == identity(copy) == identity(tmp_path / "elsewhere")
    assert identity(layouts.waterbirds(tmp_path / "other", seed=1)) != identity(folder)


def test_there_is_no_pretraining_task(folder):
    given = {"data.name": "waterbirds", "data.source": str(folder)}
    config = checked(default(), given | {"pretrain.epochs": 0})
    with pytest.raises(UserError, match=r"waterbirds has no pretraining task; set pretrain.epochs = 0"):
        data.load_pretraining(config)
    with pytest.raises(
        UserError, match=r"pretrain.epochs = 30, but waterbirds has no pretraining task; set it to 0"
    ):
        checked(default(), given)
    for name in BUILT_IN["data"]:
        entry = known().data(name)
        assert (entry.pretraining is None) == (entry.build is None)


def edit(copy, old, new, count=1):
    table = copy / "metadata.csv"
    text = table.read_text()
    assert old in text
    table.write_text(text.replace(old, new, count))


FIRST = "001.Black_footed_Albatross/Black_Footed_Albatross_0003_796003.jpg"
FAULTS = {
    "no table": (lambda c: (c / "metadata.csv").unlink(), r"holds neither metadata.csv nor .*give --source"),
    "column": (
        lambda c: edit(c, "place,", "location,"),
        r"metadata.csv lacks the column\(s\) place; wanted: img_id",
    ),
    "empty": (
        lambda c: (c / "metadata.csv").write_text(""),
        r"lacks the column\(s\) img_id, .*it has: nothing",
    ),
    "short row": (lambda c: edit(c, f"3,{FIRST},", f"3,{FIRST}"), r"metadata.csv, line 4, has 5 fields"),
    "outside": (lambda c: edit(c, FIRST, f"../{FIRST}"), r"'\.\./001.*, which is not below"),
    "twice": (
        lambda c: edit(c, "002.Black_footed_Albatross/Black_Footed_Albatross_0001_796001.jpg", FIRST),
        r"names the image '001.*0003.* twice",
    ),
    "bytes": (lambda c: (c / "metadata.csv").write_bytes(b"\xff\xfe\x00"), r"is not a text file"),
    "missing": (
        lambda c: (c / FIRST).unlink(),
        r"waterbirds: 1 of \d+ images are missing, the first is '001.*0003",
    ),
    "cut off": (
        lambda c: (c / FIRST).write_bytes((c / FIRST).read_bytes()[:-200]),
        r"the image 001.*0003_796003.jpg cannot be decoded \(.*[Tt]runcated",
    ),
    "no image": (lambda c: (c / FIRST).write_text("<html>"), r"0003_796003.jpg cannot be decoded"),
    "no bytes": (lambda c: (c / FIRST).write_bytes(b""), r"0003_796003.jpg cannot be decoded"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_the_source(cache, copy, fault):
    spoil, message = FAULTS[fault]
    spoil(copy)
    with pytest.raises(UserError, match=message) as caught:
        data.load("waterbirds", source=str(copy))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("column", "value"), [("y", 2), ("place", -1), ("split", 3), ("split", "")])
def test_numbers_that_the_table_cannot_have(cache, copy, column, value):
    lines = [line.split(",") for line in (copy / "metadata.csv").read_text().splitlines()]
    lines[2][lines[0].index(column)] = str(value)
    (copy / "metadata.csv").write_text("\n".join(map(",".join, lines)))
    with pytest.raises(UserError, match=rf"metadata.csv, row 2: {column} = '{value}' is not one of 0, 1"):
        data.load("waterbirds", source=str(copy))


def test_a_split_without_samples(cache, tmp_path):
    source = layouts.waterbirds(tmp_path / "few", layouts.BIRDS | {"val": (0, 0, 0, 0)})
    with pytest.raises(UserError, match=r"metadata.csv has no image of the split val \(1\)"):
        data.load("waterbirds", source=str(source))


def test_other_group_sizes_are_a_warning_and_with_strict_an_error(cache, folder, capsys):
    with pytest.raises(
        UserError, match=r"found: train 9/4/2/6, .*published: train 3498/184/56/1057, .*--strict"
    ):
        data.prepare("waterbirds", source=str(folder), strict=True)
    assert not list(cache.glob("data/images/*"))
    data.prepare("waterbirds", source=str(folder))
    assert "warning: waterbirds: the groups' sizes are not the published ones; found: train 9/4/2/6" in (
        capsys.readouterr().err
    )
    data.load("waterbirds", source=str(folder))
    assert "warning" not in capsys.readouterr().err  # said once, when it was decoded


def test_the_published_sizes_are_no_warning(cache, folder, monkeypatch, capsys):
    monkeypatch.setattr(waterbirds, "COUNTS", layouts.BIRDS)
    data.prepare("waterbirds", source=str(folder), strict=True)
    assert "warning" not in capsys.readouterr().err


@pytest.mark.parametrize("source", ["/nowhere/at/all", "~nobody-at-all/x"])
def test_a_source_that_is_not_there(cache, source):
    with pytest.raises(UserError, match=r"neither a folder nor a file"):
        data.load("waterbirds", source=source)


@pytest.fixture
def no_network(monkeypatch):
    def urlopen(url, timeout):
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)


def test_no_network(cache, no_network):
    with pytest.raises(
        UserError, match=r"Waterbirds is not there: .*no network in tests.*give --source"
    ) as caught:
        data.prepare("waterbirds")
    assert "\n" not in str(caught.value)


def test_through_tensorflow_datasets_without_tensorflow(cache, archive, folder, monkeypatch):
    """The download manager hands out an archive of ours; samples and order are those of the archive itself."""
    from tensorflow_datasets.core import download

    asked = []
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: io.BytesIO())
    monkeypatch.setattr(download.DownloadManager, "download", lambda self, url: asked.append(url) or archive)
    with pytest.warns(UserWarning, match="sizes are not the published ones"):
        data.prepare("waterbirds")
    assert asked == [waterbirds.URL]
    check(data.load("waterbirds"))
    direct = data.load("waterbirds", source=str(folder))
    assert layouts.file_of(direct.train) == layouts.file_of(data.load("waterbirds").train)
    data.prepare("waterbirds")
    assert len(asked) == 1
    assert "tensorflow" not in sys.modules


def test_the_builder_takes_a_source_and_is_strict(cache, folder, archive, tmp_path):
    from oilwater_jax.data.waterbirds.waterbirds_dataset_builder import Builder

    with pytest.raises(UserError, match="sizes are not the published ones"):
        Builder(
            data_dir=tmp_path / "tfds", file_format="array_record", source=str(folder), strict=True
        ).download_and_prepare()
    builder = Builder(data_dir=tmp_path / "tfds", file_format="array_record", source=str(archive))
    with pytest.warns(UserWarning, match="sizes"):
        builder.download_and_prepare()
    assert builder.info.splits["train"].num_examples == sum(layouts.BIRDS["train"])
    reader: Any = builder  # a decorator hides the method's signature
    record = reader.as_data_source("validation")[0]
    with Image.open(folder / record["img_filename"].decode()) as image:
        np.testing.assert_array_equal(record["image"], np.asarray(image))
    assert set(record) == {"image", "label", "place", "img_filename", "row"}
