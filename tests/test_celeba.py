import csv
import io
import shutil
import urllib.error
import urllib.request
from pathlib import Path

import layouts
import numpy as np
import pytest
from PIL import Image

from oilwater_jax import data
from oilwater_jax.data import catalogue, celeba, celeba10
from oilwater_jax.errors import UserError
from oilwater_jax.groups import group_ids
from oilwater_jax.images import Images
from oilwater_jax.types import Examples


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of the test's own."""
    monkeypatch.setenv("OILWATER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """The same tiny CelebA in every published layout."""
    folder = tmp_path_factory.mktemp("celeba")
    return {variant: layouts.celeba(folder / variant, variant=variant) for variant in layouts.VARIANTS}


@pytest.fixture
def copy(sources, tmp_path):
    """A folder with text tables and images that a test may spoil."""
    return shutil.copytree(sources["txt"], tmp_path / "copy")


def check(splits):
    """The splits are those of layouts.FACES: counts, the colours that tell label and attribute, on disk."""
    for name, counts in layouts.FACES.items():
        examples: Examples = getattr(splits, name)
        assert isinstance(examples.image, Images)
        assert examples.image.shape == (sum(counts), 224, 224, 3)
        np.testing.assert_array_equal(np.bincount(group_ids(examples, 2), minlength=4), counts)
        red, _, blue = np.asarray(examples.image).mean(axis=(1, 2)).T
        np.testing.assert_array_equal(red > 120, examples.label == 1)
        np.testing.assert_array_equal(blue > 120, examples.attribute == 1)
    assert splits.group_name(3) == "blond/male"


def test_every_layout_is_the_same_data_set(cache, sources):
    files = set()
    for source in sources.values():
        splits = data.load("celeba", source=str(source))
        check(splits)
        files.add(layouts.file_of(splits.train))
    assert len(files) == 1
    assert len(list((cache / "data/images").iterdir())) == 3


def test_pixels_are_those_of_crop_178_resize_224(cache, sources):
    train = data.load("celeba", source=str(sources["txt"])).train
    lines = (sources["txt"] / "list_eval_partition.txt").read_text().splitlines()
    first = next(line.split()[0] for line in lines if line.endswith(" 0"))
    with Image.open(sources["txt"] / "img_align_celeba" / first) as image:
        face = image.crop((0, 20, 178, 198)).resize((224, 224), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(train.image[0], np.asarray(face))


def test_celeba10_trains_on_a_tenth_and_keeps_val_and_test(cache, sources):
    whole = data.load("celeba", source=str(sources["txt"]))
    tenth = data.load("celeba10", source=str(sources["kaggle"]))
    assert len(tenth.train) == 3  # of 36
    assert tenth.train.index.tolist() == [0, 1, 2]
    assert layouts.file_of(tenth.val) == layouts.file_of(whole.val)
    assert layouts.file_of(tenth.test) == layouts.file_of(whole.test)
    for image, label in zip(np.asarray(tenth.train.image), tenth.train.label, strict=True):
        same = [row for row in range(len(whole.train)) if (whole.train.image[row] == image).all()]
        assert whole.train.label[same].tolist() == [label]


def test_the_tenth_of_the_true_size_is_seeded_and_stable():
    """16,277 of 162,770 rows; the golden rows pin the random stream."""
    n = 162_770
    number = np.arange(n, dtype=np.int32)
    rows = catalogue.Rows(np.char.mod("%06d.jpg", number), number % 2, number // 2 % 2, number)
    whole = catalogue.Catalogue("celeba", {"train": rows}, (), (), None, None, celeba.PREPROCESSING, "")  # pyright: ignore[reportArgumentType]
    train = celeba.subset(whole, "celeba10", celeba10.SHARE).splits["train"]
    assert len(train.name) == 16_277
    assert len(set(train.name)) == 16_277
    chosen = [int(name.removesuffix(".jpg")) for name in train.name]
    assert chosen[:6] == [32, 42, 44, 63, 66, 77]
    assert sum(chosen) == 1_328_331_614
    again = celeba.subset(whole, "celeba10", celeba10.SHARE).splits["train"]
    np.testing.assert_array_equal(train.name, again.name)


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


ATTRIBUTES, PARTITION, IMAGES = "list_attr_celeba.txt", "list_eval_partition.txt", "img_align_celeba"
FAULTS = {
    "no attributes": (
        lambda c: (c / ATTRIBUTES).unlink(),
        r"neither list_attr_celeba.txt nor .*csv; give --source",
    ),
    "no partition": (lambda c: (c / PARTITION).unlink(), r"neither list_eval_partition.txt nor .*csv"),
    "no images": (
        lambda c: shutil.rmtree(c / IMAGES),
        r"neither the folder img_align_celeba nor img_align_celeba.zip",
    ),
    "column": (
        lambda c: edit(c / ATTRIBUTES, " Male ", " Man "),
        r"lacks the column\(s\) Male in its second line",
    ),
    "empty": (lambda c: (c / ATTRIBUTES).write_text(""), r"lacks the column\(s\) Blond_Hair, Male"),
    "announced": (
        lambda c: edit(c / ATTRIBUTES, "53\n", "202599\n"),
        r"declares '202599' images and lists 53",
    ),
    "short line": (
        lambda c: edit(c / ATTRIBUTES, "000002.jpg ", ""),
        r"celeba.txt, line 4, has 40 fields, not 41",
    ),
    "short partition": (
        lambda c: edit(c / PARTITION, "000002.jpg ", ""),
        r"partition.txt, line 2, has 1 fields",
    ),
    "no such split": (lambda c: edit(c / PARTITION, "000053.jpg ", "000053.jpg 3 #"), r"has 3 fields"),
    "unknown": (
        lambda c: edit(c / PARTITION, "000002.jpg", "999999.jpg"),
        r"has no split for 1 images, the first is '000002.jpg'",
    ),
    "missing": (
        lambda c: [(c / IMAGES / f"{n:06d}.jpg").unlink() for n in range(1, 54)],
        r"celeba: 36 of 36 images are missing",
    ),
    "corrupt": (
        lambda c: (c / IMAGES / "000007.jpg").write_bytes(b"\xff\xd8\xff\xe0" + b"rubbish" * 20),
        r"celeba: the image 000007.jpg cannot be decoded",
    ),
    "small": (
        lambda c: (c / IMAGES / "000007.jpg").write_bytes(layouts.jpeg(100, 120, 0, (1, 2, 3))),
        r"000007.jpg cannot be decoded \(100 x 120 pixels are less than the 178 x 178 of the crop\)",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_the_source(cache, copy, fault):
    spoil, message = FAULTS[fault]
    spoil(copy)
    with pytest.raises(UserError, match=message) as caught:
        data.load("celeba", source=str(copy))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("table", "column", "value", "message"),
    [
        ("list_attr_celeba", "Male", "0", r"list_attr_celeba.csv, row 1: Male = '0' is not one of -1, 1"),
        (
            "list_attr_celeba",
            None,
            None,
            r"lacks the column\(s\) image_id; wanted: image_id, Blond_Hair, Male",
        ),
        (
            "list_eval_partition",
            "partition",
            "train",
            r"partition.csv, row 1: partition = 'train' is not one of 0, 1, 2",
        ),
    ],
)
def test_faults_of_csv_tables(cache, sources, tmp_path, table, column, value, message):
    copy = shutil.copytree(sources["csv"], tmp_path / "copy")
    path = copy / f"{table}.csv"
    with path.open(newline="") as file:
        header, first, *rest = csv.reader(file)
    if column:
        first[header.index(column)] = value
    else:
        header[0] = "file"
    layouts.write_csv(path, header, [first, *rest])
    with pytest.raises(UserError, match=message):
        data.load("celeba", source=str(copy))


def test_an_evil_zip_of_images_is_refused(cache, copy, tmp_path):
    shutil.rmtree(copy / IMAGES)
    layouts.write_zip(copy / f"{IMAGES}.zip", {"../../../evil.jpg": b"x"})
    with pytest.raises(
        UserError, match=r"img_align_celeba.zip holds '../../../evil.jpg', whose path leaves the folder"
    ):
        data.load("celeba", source=str(copy))
    assert list(tmp_path.rglob("*evil*")) == []


def test_a_web_page_instead_of_the_zip(cache, copy):
    shutil.rmtree(copy / IMAGES)
    (copy / f"{IMAGES}.zip").write_text("<html>Google Drive - Virus scan warning</html>")
    with pytest.raises(UserError, match=r"img_align_celeba.zip is damaged or not a zip or tar archive"):
        data.load("celeba", source=str(copy))


def test_no_network(cache, monkeypatch):
    def urlopen(url, timeout):
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    with pytest.raises(
        UserError, match=r"CelebA is not there: .*no network in tests.*give --source"
    ) as caught:
        data.prepare("celeba10")
    assert "\n" not in str(caught.value)


def test_a_login_page_instead_of_the_files_says_what_to_do(cache, monkeypatch):
    from tensorflow_datasets.core import download
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

    def login_page(self, urls):
        raise NonMatchingChecksumError("Artifact https://..., checksum differs\n\nsee ...")

    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: io.BytesIO())
    monkeypatch.setattr(download.DownloadManager, "download", login_page)
    with pytest.raises(
        UserError, match=r"NonMatchingChecksumError.*give --source .*, a folder with"
    ) as caught:
        data.prepare("celeba")
    assert "\n" not in str(caught.value)


def test_through_tensorflow_datasets(cache, sources, monkeypatch):
    """The download manager hands out files of ours under names of its own."""
    from tensorflow_datasets.core import download

    asked = []

    def hand_out(self, urls):
        asked.extend(urls)
        assert set(urls) <= set(self._url_infos)  # each has a checksum
        folder = cache / "hashed"
        folder.mkdir(parents=True)
        names = (ATTRIBUTES, PARTITION, "img_align_celeba.zip")
        return [
            Path(shutil.copy(sources["zip"] / name, folder / f"ucexport_{n}")) for n, name in enumerate(names)
        ]

    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: io.BytesIO())
    monkeypatch.setattr(download.DownloadManager, "download", hand_out)
    data.prepare("celeba")
    check(data.load("celeba"))
    assert len(asked) == 3
    assert layouts.file_of(data.load("celeba", source=str(sources["txt"])).val) == layouts.file_of(
        data.load("celeba").val
    )
