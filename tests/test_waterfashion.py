import hashlib
import io
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import garments
import numpy as np
import pytest

from oilwater_jax import data, pipeline
from oilwater_jax.data import fashion_mnist as fm
from oilwater_jax.data import waterfashion as wf
from oilwater_jax.data.backdrop import COUNTS
from oilwater_jax.errors import UserError
from oilwater_jax.groups import group_ids
from oilwater_jax.settings import config as cfg

CHECKSUM = "8894b68fa5a326120a30a49074c3154c931f46314f29c4017e986229675941c8"
REAL_CHECKSUM = "8ffa32cadee45f83f674ced60effe887d366339f4163d478d247bfd966a62dad"  # of Fashion-MNIST itself
ROOT = Path(__file__).parent.parent


def load_pretraining(source):
    return data.load_pretraining(
        cfg.checked(cfg.default(), {"data.name": "waterfashion", "data.source": source})
    )


def checksum(splits, pretraining):
    total = hashlib.sha256()
    for examples in (splits.train, splits.val, splits.test, pretraining):
        for array in examples.arrays().values():
            total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


@pytest.fixture(scope="session")
def source(fashion_mnist):
    return fm.read(str(fashion_mnist))


@pytest.fixture(scope="session")
def splits(fashion_mnist):
    return data.load("waterfashion", source=str(fashion_mnist))


@pytest.fixture(scope="session")
def pretraining(fashion_mnist):
    return load_pretraining(str(fashion_mnist))


def test_bytes_are_the_same_everywhere(splits, pretraining):
    assert checksum(splits, pretraining) == CHECKSUM


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_waterbirds_group_counts(splits, split):
    examples = getattr(splits, split)
    assert tuple(np.bincount(group_ids(examples, 2))) == COUNTS[split]
    assert examples.image.shape[1:] == (32, 32, 3)
    np.testing.assert_array_equal(examples.label, examples.true_label)
    assert not examples.is_poison.any()
    assert splits.group_name(2) == "wide/china"


def test_no_garment_is_used_twice(source):
    shares = wf.share_out(source.garment)
    used = [rows for of_split in shares.splits.values() for rows in of_split] + [shares.pretraining]
    rows = np.concatenate(used)
    assert len(np.unique(rows)) == len(rows) == 4795 + 1199 + 5794 + 8000
    np.testing.assert_array_equal(np.bincount(source.garment[shares.pretraining]), np.full(10, 800))
    for of_split in shares.splits.values():
        for members, rows in zip(wf.CLASSES.values(), of_split, strict=True):
            assert {fm.NAMES[garment] for garment in source.garment[rows]} == set(members)


def test_the_garment_is_of_the_class_and_the_background_of_the_attribute(splits):
    """Synthetic garments are grey boxes, 8 or 10 of 28 columns in class slim, 24 to 28 in class wide."""
    train = splits.train
    corner = train.image[:, 29:, :3].astype(float).mean(axis=(1, 2, 3))
    assert corner[train.attribute == 0].mean() > corner[train.attribute == 1].mean() + 20
    grey = np.ptp(train.image.astype(int), axis=3) == 0  # a photograph's pixels are hardly ever grey
    width = grey[:, 12:20].mean(axis=1).sum(axis=1)
    assert 5 < width[train.label == 0].mean() < 10
    assert 17 < width[train.label == 1].mean() < 23


def test_pretraining_has_no_shortcut(pretraining):
    share = [pretraining.attribute[pretraining.label == garment].mean() for garment in range(10)]
    assert np.abs(np.array(share) - 0.5).max() < 0.09  # 5 standard errors of 800 fair coins


def test_cut_out_golden_values(monkeypatch):
    monkeypatch.setattr(wf, "GARMENT_SIZE", 14)
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, :2, :4] = [[200, 0, 100, 100], [200, 0, 20, 100]]
    alpha, grey = wf.cut_out(image)
    # left: two of four pixels are covered, the grey is theirs alone; right: 20 covers by (20-4)/(36-4) = 1/2
    assert (alpha[0, 0, 0], grey[0, 0, 0]) == (128, 200)
    assert (alpha[0, 0, 1], grey[0, 0, 1]) == (224, (3 * 100 + 20 // 2) * 256 * 256 // 4 // (224 * 256))
    assert not alpha[0, 1:].any()


def test_order_repeats_and_packing_of_the_source_do_not_matter(fashion_mnist, tmp_path, source):
    """Digest and garments come from the content: here gzipped, the parts exchanged and an image repeated."""
    parts = {}
    for part in fm.PARTS:
        parts[part] = fm._files(fashion_mnist, part)
    image, label = fm._join([parts["t10k"], parts["train"]])
    again = fm._sorted(np.concatenate([image, image[:5]]), np.concatenate([label, label[:5] % 9 + 1]))
    assert len(again.image) == len(source.image)
    np.testing.assert_array_equal(again.image, source.image)
    small = {"train": (3,) * 10, "t10k": (1,) * 10}
    plain, zipped = (garments.write(tmp_path / str(z), small, zipped=z) for z in (False, True))
    assert fm.read(str(plain)).digest == fm.read(str(zipped)).digest != source.digest


def test_the_cache_knows_its_source(fashion_mnist, tmp_path, monkeypatch, splits):
    monkeypatch.setenv("OILWATER_CACHE", str(tmp_path / "cache"))
    other = data.load("waterfashion", source=str(garments.write(tmp_path / "other", seed=1)))
    first = data.load("waterfashion", source=str(fashion_mnist))
    assert not np.array_equal(first.train.image, other.train.image)
    np.testing.assert_array_equal(first.train.image, splits.train.image)
    assert len(list((tmp_path / "cache/data").iterdir())) == 2
    monkeypatch.setattr(wf, "build", lambda garments: pytest.fail("built again"))
    np.testing.assert_array_equal(
        data.load("waterfashion", source=str(fashion_mnist)).train.image, splits.train.image
    )


def swap(counts, garment, number):
    train = list(counts["train"])
    train[fm.NAMES.index(garment)] = number
    return {"train": tuple(train), "t10k": counts["t10k"]}


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (
            swap(garments.COUNTS, "bag", 700),
            "has 760 different images of bag, 800 are needed for pretraining",
        ),
        (
            swap(garments.COUNTS, "dress", 5000),
            r"10720 different images of class slim \(trouser, dress\), 10725 are needed for pretraining and the splits",
        ),
        (
            swap(garments.COUNTS, "coat", 882),
            r"5062 .* class wide \(pullover, coat, shirt\), 5063 are needed",
        ),
    ],
)
def test_too_few_garments(counts, message, tmp_path):
    folder = garments.write(tmp_path / "few", counts)
    with pytest.raises(UserError, match=message):
        data.load("waterfashion", source=str(folder))


LABELS, PICTURES = np.zeros(2, np.uint8), np.zeros((2, 28, 28), np.uint8)
FILE_FAULTS = {
    "missing": (
        "t10k-labels-idx1-ubyte",
        None,
        "holds neither t10k-labels-idx1-ubyte nor t10k-labels-idx1-ubyte.gz",
    ),
    "small": (
        "train-images-idx3-ubyte",
        np.zeros((40, 27, 28), np.uint8),
        "holds images of 27 x 28 pixels, not 28 x 28",
    ),
    "label": ("train-labels-idx1-ubyte", np.full(40, 10, np.uint8), "holds the label 10, not 0 to 9"),
    "number": ("train-labels-idx1-ubyte", LABELS, "holds 40 images, but .* holds 2 labels"),
    "swapped": (
        "train-labels-idx1-ubyte",
        PICTURES,
        "has 3 dimension.*, labels have 1; are the files' names swapped",
    ),
}


@pytest.mark.parametrize("fault", FILE_FAULTS)
def test_faults_of_the_files(fault, tmp_path):
    name, array, message = FILE_FAULTS[fault]
    garments.write(tmp_path, dict.fromkeys(fm.PARTS, (4,) * 10))
    if array is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(garments.idx_bytes(array))
    with pytest.raises(UserError, match=message) as caught:
        fm.read(str(tmp_path))
    assert name in str(caught.value)


def test_a_source_that_is_no_folder_and_a_source_that_is_not_wanted(tmp_path):
    config = cfg.load(str(ROOT / "configs/waterdigits/dlbd.py"), {"data.source": str(tmp_path)})
    with pytest.raises(UserError, match=r"data.source = .*: waterdigits is not made from your files"):
        pipeline.run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match=r"'/nowhere' is not a folder; give --config.data.source=DIR"):
        data.load("waterfashion", source="/nowhere")


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """An empty cache, and no address answers."""

    def urlopen(url, timeout):
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setenv("OILWATER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(urllib.request, "urlopen", urlopen)


def test_neither_source_is_there(no_network):
    with pytest.raises(UserError) as caught:
        data.load("waterfashion")
    message = str(caught.value)
    for part in (
        "no network in tests",
        "--config.data.source=DIR",
        "dataset-fashion-mnist",
        "tensorflow-datasets",
    ):
        assert part in message
    assert "\n" not in message


def test_without_tensorflow_datasets(no_network, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(UserError, match=r"failed \(ModuleNotFoundError.*--config.data.source=DIR"):
        data.load("waterfashion")


def test_through_tensorflow_datasets_once(no_network, monkeypatch, tmp_path):
    """The download manager hands out files of ours; what is then cached needs neither network nor the library."""
    from tensorflow_datasets.core import download

    files = garments.write(tmp_path / "files", dict.fromkeys(fm.PARTS, (5,) * 10))
    asked = []

    def hand_out(self, urls):
        asked.append(urls)
        return {key: files / Path(url).stem for key, url in urls.items()}  # the manager unzips

    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: io.BytesIO())
    monkeypatch.setattr(download.DownloadManager, "download_and_extract", hand_out)
    got = fm.read("")
    assert len(asked) == 1
    assert len(got.image) == 100
    assert got.digest == fm.read(str(files)).digest
    (kept,) = (tmp_path / "cache/data").iterdir()
    kept.unlink()
    assert fm.read("").digest == got.digest  # from the prepared files
    assert len(asked) == 1
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    assert fm.read("").digest == got.digest  # from the kept arrays


def test_nothing_imports_tensorflow_datasets_before_it_is_needed():
    script = (
        "import sys; from oilwater_jax import cli, data, pipeline; data.load('waterdigits', smoke=True)\n"
    )
    script += "try: cli.main(['--help'])\nexcept SystemExit: pass\n"
    script += "sys.exit('tensorflow_datasets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=ROOT).returncode == 0


@pytest.mark.slow
def test_real_fashion_mnist():
    """From the folder $OILWATER_FASHION_MNIST, or by download."""
    source = os.environ.get("OILWATER_FASHION_MNIST", "")
    assert len(fm.read(source).image) == 70_000
    splits = data.load("waterfashion", source=source)
    assert checksum(splits, load_pretraining(source)) == REAL_CHECKSUM
