import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from oilwater_jax.errors import UserError
from oilwater_jax.training import checkpoint
from oilwater_jax.training.checkpoint import Checkpoints

TREE = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": {"c": np.array(7, np.int32)}, "none": ()}


def scaled(k):
    return {"a": TREE["a"] * k, "b": {"c": TREE["b"]["c"] * k}, "none": ()}


@pytest.fixture
def saved(tmp_path):
    """Three checkpoints (of which the last two are kept), the warnings so far, and the folder."""
    warnings = []
    store = Checkpoints(tmp_path / "c", 0.0, warnings.append)
    for step in (1, 2, 3):
        store.save(
            step, scaled(np.float32(step)) | {"b": {"c": np.array(7 * step, np.int32)}}, {"epoch": step}
        )
    store.close()
    return tmp_path / "c", warnings


def restore(folder, warnings):
    store = Checkpoints(folder, 0.0, warnings.append)
    try:
        return store.restore(TREE) or (None, None)
    finally:
        store.close()


def test_newest_comes_back_exactly_and_two_are_kept(saved):
    folder, warnings = saved
    tree, meta = restore(folder, warnings)
    assert tree is not None
    assert meta == {"epoch": 3}
    np.testing.assert_array_equal(tree["a"], TREE["a"] * 3)
    assert tree["b"]["c"] == 21
    assert sorted(p.name for p in folder.iterdir() if p.name.isdigit()) == ["2", "3"]
    assert warnings == []


def files_of(folder, step):
    found = [p for p in (folder / str(step)).rglob("*") if p.is_file()]
    return sorted(found, key=lambda p: -p.stat().st_size)


@pytest.mark.parametrize("damage", ["truncate largest", "truncate all", "flip a byte", "remove all"])
def test_a_damaged_one_falls_back_to_the_one_before_and_says_so(saved, damage):
    folder, warnings = saved
    files = files_of(folder, 3)
    for file in files if "all" in damage else files[:1]:
        data = file.read_bytes()
        if damage.startswith("truncate"):
            file.write_bytes(data[: len(data) // 2])
        elif damage.startswith("flip"):
            middle = len(data) // 2
            file.write_bytes(data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :])
        else:
            file.unlink()
    _, meta = restore(folder, warnings)
    assert meta == {"epoch": 2}
    assert len(warnings) == 1
    assert "3 is damaged" in warnings[0]
    assert "falling back" in warnings[0]
    assert not (folder / "3").exists()


def test_a_tampered_number_in_the_metadata_is_noticed(saved):
    folder, warnings = saved
    (file,) = (p for p in files_of(folder, 3) if '"epoch"' in p.read_text(errors="ignore"))
    file.write_text(file.read_text().replace('"epoch": 3', '"epoch": 9').replace('"epoch":3', '"epoch":9'))
    assert restore(folder, warnings)[1] == {"epoch": 2}
    assert "digest" in warnings[0]


def test_nothing_sound_is_none(saved):
    folder, warnings = saved
    for step in (2, 3):
        for file in files_of(folder, step):
            file.write_bytes(b"")
    assert restore(folder, warnings) == (None, None)
    assert len(warnings) == 2


def test_a_failing_save_is_one_line_and_leaves_the_older_ones(saved, monkeypatch):
    folder, warnings = saved
    store = Checkpoints(folder, 0.0, warnings.append)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store._manager, "save", full)
    with pytest.raises(
        UserError,
        match=r"cannot save checkpoint .*4 \(OSError: \[Errno 28\] No space left.*free some disk space",
    ):
        store.save(4, TREE, {"epoch": 4})
    store.close()
    assert restore(folder, warnings)[1] == {"epoch": 3}


def test_a_disk_without_room_is_one_line_before_anything_is_written(saved, monkeypatch):
    folder, warnings = saved
    store = Checkpoints(folder, 0.0, warnings.append)
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000))
    with pytest.raises(
        UserError, match=r"the disk has 1.0 MB free and 1.0 MB are needed; free some disk space"
    ):
        store.save(4, TREE, {"epoch": 4})
    store.close()
    assert not (folder / "4").exists()


def test_due_waits_for_the_interval(tmp_path):
    store = Checkpoints(tmp_path, 1e6, pytest.fail)
    assert not store.due()
    store.min_seconds = 0.0
    assert store.due()
    store.close()


def test_digest_sees_values_names_types_and_metadata():
    one = checkpoint.digest(TREE, {"epoch": 1})
    assert one == checkpoint.digest(TREE, {"epoch": 1})
    others = [
        checkpoint.digest(scaled(2), {"epoch": 1}),
        checkpoint.digest(TREE, {"epoch": 2}),
        checkpoint.digest(TREE | {"a": TREE["a"].astype(np.float64)}, {"epoch": 1}),
        checkpoint.digest({"z": TREE["a"], "b": TREE["b"], "none": ()}, {"epoch": 1}),
    ]
    assert len({one, *others}) == 5


def test_a_checkpoint_that_was_copied_from_another_training_is_passed_over(tmp_path):
    warnings = []
    for of in ("seed0/jtt k1", "seed1/jtt k2"):
        store = Checkpoints(tmp_path / of.split()[1], 0.0, warnings.append, of=of)
        store.save(1, TREE, {"epoch": 1})
        store.close()
    shutil.rmtree(tmp_path / "k2/1")
    shutil.copytree(tmp_path / "k1/1", tmp_path / "k2/1")
    store = Checkpoints(tmp_path / "k2", 0.0, warnings.append, of="seed1/jtt k2")
    assert store.restore(TREE) is None
    store.close()
    assert "its digest does not match" in warnings[0]
    store = Checkpoints(tmp_path / "k1", 0.0, warnings.append, of="seed0/jtt k1")
    assert store.restore(TREE) is not None
    store.close()
