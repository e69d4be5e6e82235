import hashlib
import json
import math
import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import layouts
import numpy as np
import pytest

from oilwater_jax import data, images
from oilwater_jax.data import cache, prepared, waterbirds
from oilwater_jax.data.catalogue import in_folder
from oilwater_jax.errors import UserError
from oilwater_jax.images import Images


@pytest.fixture
def folder(tmp_path):
    return layouts.waterbirds(tmp_path / "birds")


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(prepared, "CHUNK", 4)
    monkeypatch.setattr(prepared, "BLOCK", 2)
    return tmp_path / "root"


def quiet(done, total):
    pass


def whole(folder, tmp_path):
    """The right images of train, made undisturbed elsewhere."""
    elsewhere = tmp_path / "undisturbed"
    return prepared.make(elsewhere, waterbirds.catalogue(str(folder), elsewhere), "train", quiet).examples


@pytest.mark.parametrize("after", [0, 3, 4, 10, 20])
def test_cut_off_anywhere_it_goes_on_and_ends_the_same(folder, root, tmp_path, after):
    catalogue = waterbirds.catalogue(str(folder), root)
    asked = []

    def read(name):
        if len(asked) == after:
            raise KeyboardInterrupt
        asked.append(name)
        return catalogue.read(name)

    with pytest.raises(KeyboardInterrupt):
        prepared.make(root, catalogue._replace(read=read), "train", quiet)
    assert prepared.find(root, catalogue, "train") is None
    assert not list((root / "images").glob("*"))
    again = []
    part = prepared.make(
        root, catalogue._replace(read=lambda name: again.append(name) or catalogue.read(name)), "train", quiet
    )
    n = sum(layouts.BIRDS["train"])
    assert len(again) == n - after // 4 * 4  # whole chunks are not decoded again
    np.testing.assert_array_equal(part.examples.image, whole(folder, tmp_path).image)
    assert not [path for path in (root / "unfinished").iterdir() if path.is_dir()]


def test_what_was_written_behind_the_last_counted_chunk_does_not_matter(folder, root, tmp_path):
    """As after a crash of the machine: the counter is behind the file, whose end is rubbish."""
    catalogue = waterbirds.catalogue(str(folder), root)
    count = []

    def tick(done, total):
        count.append(done)
        if done == 8:
            raise RuntimeError("crash")

    with pytest.raises(RuntimeError):
        prepared.make(root, catalogue, "train", tick)
    (unfinished,) = (path for path in (root / "unfinished").iterdir() if path.is_dir())
    with (unfinished / "image.npy").open("ab") as file:
        file.write(b"\xaa" * math.prod(prepared.SHAPE) * 3)
    part = prepared.make(root, catalogue, "train", quiet)
    np.testing.assert_array_equal(part.examples.image, whole(folder, tmp_path).image)


def test_images_that_changed_meanwhile_are_begun_anew(folder, root, tmp_path):
    catalogue = waterbirds.catalogue(str(folder), root)

    def tick(done, total):
        if done:
            raise RuntimeError("crash")

    with pytest.raises(RuntimeError):
        prepared.make(root, catalogue, "train", tick)
    name = catalogue.splits["train"].name[0]
    (folder / name).write_bytes(layouts.jpeg(80, 80, 5, (200, 0, 0)))
    part = prepared.make(root, catalogue, "train", quiet)
    np.testing.assert_array_equal(part.examples.image, whole(folder, tmp_path).image)
    assert part.examples.image[0][..., 1].mean() < 40


def _prepare_slowly(folder, root, ready):
    prepared.CHUNK, prepared.BLOCK = 4, 2
    read, stamp = in_folder(folder)

    def slow(name):
        time.sleep(0.05)
        return read(name)

    catalogue = waterbirds.catalogue(str(folder), root)._replace(read=slow, stamp=stamp)
    prepared.make(root, catalogue, "train", lambda done, total: ready.set() if done == 8 else None)


def test_killed_half_way(folder, root, tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_prepare_slowly, args=(folder, root, ready))
    process.start()
    assert ready.wait(60)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    catalogue = waterbirds.catalogue(str(folder), root)
    assert prepared.find(root, catalogue, "train") is None
    heard = []
    part = prepared.make(root, catalogue, "train", lambda done, total: heard.append(done))
    assert heard[0] >= 8
    np.testing.assert_array_equal(part.examples.image, whole(folder, tmp_path).image)


@pytest.mark.parametrize("file", ["image.npy", "columns.npz"])
def test_a_damaged_part_is_made_again_or_named(folder, root, file):
    data.prepare("waterbirds", source=str(folder), data_dir=root)
    before = data.load("waterbirds", source=str(root))
    path = layouts.file_of(before.val).with_name(file)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="waterbirds is not prepared in"):
        data.load("waterbirds", source=str(root))
    data.prepare("waterbirds", source=str(folder), data_dir=root)
    np.testing.assert_array_equal(data.load("waterbirds", source=str(root)).val.label, before.val.label)


def test_the_record_of_another_preprocessing_is_not_used(folder, root):
    data.prepare("waterbirds", source=str(folder), data_dir=root)
    record = json.loads((root / "waterbirds.json").read_text())
    record["preprocessing"] = "resize256-crop224-0"
    (root / "waterbirds.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="waterbirds is not prepared in"):
        data.load("waterbirds", source=str(root))


def test_too_little_room_is_said_before_anything_is_decoded(folder, root, monkeypatch):
    catalogue = waterbirds.catalogue(str(folder), root)
    usage = prepared.shutil.disk_usage(folder)._replace(free=prepared.SPARE + 20 * math.prod(prepared.SHAPE))
    monkeypatch.setattr(prepared.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(
        UserError, match=r"needs 0.0 GB for decoded images, the disk has 0.0 GB free; free some space"
    ):
        prepared.make(root, catalogue, "train", quiet)
    assert prepared.make(root, catalogue, "val", quiet)


def test_a_full_disk_is_an_error_of_the_system_and_no_part(folder, root, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    catalogue = waterbirds.catalogue(str(folder), root)
    with monkeypatch.context() as patch:
        patch.setattr(prepared.os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            prepared.make(root, catalogue, "train", quiet)
    assert prepared.find(root, catalogue, "train") is None
    assert prepared.make(root, catalogue, "train", quiet)


def test_loading_does_not_read_the_images(folder, root, monkeypatch):
    """They stay on disk until they are asked for."""
    data.prepare("waterbirds", source=str(folder), data_dir=root)
    monkeypatch.setattr(images, "read_rows", lambda *_: pytest.fail("an image was read"))
    splits = data.load("waterbirds", source=str(root), auxiliary=0.3)
    for examples in (splits.train, splits.val, splits.test, splits.auxiliary):
        assert isinstance(examples.append(examples.take(np.arange(1))).image, Images)


def test_two_at_once_decode_once(folder, root):
    asked = []
    catalogue = waterbirds.catalogue(str(folder), root)

    def read(name):
        time.sleep(0.01)
        asked.append(name)
        return catalogue.read(name)

    with ThreadPoolExecutor(2) as pool:
        both = [
            pool.submit(prepared.make, root, catalogue._replace(read=read), "train", quiet) for _ in range(2)
        ]
        one, other = (future.result() for future in both)
    assert one.folder == other.folder
    assert len(asked) == sum(layouts.BIRDS["train"])


def test_the_digest_is_of_content_label_attribute_and_row(folder, root, tmp_path):
    digest = prepared.make(root, waterbirds.catalogue(str(folder), root), "val", quiet).folder.name
    catalogue = waterbirds.catalogue(str(folder), root)
    rows = catalogue.splits["val"]
    total = hashlib.sha256(b"resize256-crop224-1")
    for column in (rows.label, rows.attribute, rows.row):
        total.update(column.astype("<i4").tobytes())
    for name in rows.name:
        total.update(hashlib.sha256((folder / name).read_bytes()).digest())
    assert digest == total.hexdigest()[:32]
    flipped = catalogue._replace(splits={**catalogue.splits, "val": rows._replace(label=1 - rows.label)})
    assert prepared.make(root, flipped, "val", quiet).folder.name != digest


@pytest.mark.parametrize("damage", ["zeroed", "nan", "label", "label and digest", "no record", "swapped"])
def test_changed_images_and_labels_are_not_used(folder, root, capsys, damage):
    data.prepare("waterbirds", source=str(folder), data_dir=root)
    before = data.load("waterbirds", source=str(root))
    part = layouts.file_of(before.train).parent
    image = np.load(part / "image.npy")
    if damage == "zeroed":
        np.save(part / "image.npy", np.zeros_like(image))
    elif damage == "nan":
        np.save(part / "image.npy", np.full(image.shape, np.nan))
    elif damage == "no record":
        (part / "part.json").unlink()
    elif damage == "swapped":
        other = layouts.file_of(before.test).parent
        (part / "columns.npz").write_bytes((other / "columns.npz").read_bytes())
    else:
        columns = cache.read_arrays(part / "columns.npz")
        columns["label"][:] = 7
        digest = {"sha256": np.array(cache.digest_of(columns))} if "digest" in damage else {}
        np.savez(part / "columns.npz", allow_pickle=False, **columns, **digest)
    with pytest.raises(UserError, match="waterbirds is not prepared in"):
        data.load("waterbirds", source=str(root))
    assert f"the decoded images {part} are damaged" in capsys.readouterr().err
    data.prepare("waterbirds", source=str(folder), data_dir=root)
    again = data.load("waterbirds", source=str(root))
    np.testing.assert_array_equal(again.train.image, before.train.image)


def test_one_changed_image_among_many_is_found_when_all_are_read(folder, root, monkeypatch):
    monkeypatch.setattr(prepared, "SAMPLED", 2)  # the first block and the last
    data.prepare("waterbirds", source=str(folder), data_dir=root)
    found = data.find("waterbirds", data_dir=root)
    data.verify(found)
    file = layouts.file_of(found.splits.train)
    image = np.load(file)
    image[9, 100, 100, 1] ^= 1
    np.save(file, image)
    found = data.find("waterbirds", data_dir=root)  # which looks at a few alone
    with pytest.raises(UserError, match=r"images 8 to 9 were changed.*remove that folder"):
        data.verify(found)
