"""The same run on 1 and on 8 devices, in 1 and in 2 processes; what is refused."""

import importlib.util
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from oilwater_jax import config as cfg
from oilwater_jax import devices, pipeline
from oilwater_jax.errors import UserError

ROOT = Path(__file__).parent.parent
spec = importlib.util.spec_from_file_location("scale_devices", ROOT / "experiments/scale/devices.py")
assert spec is not None
assert spec.loader is not None
experiment = importlib.util.module_from_spec(spec)
spec.loader.exec_module(experiment)

SETTINGS = experiment.SETTINGS | experiment.SMOKE
OTHERS = ("8 devices", "2 processes of 4 devices")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The experiment on its smallest run: the results' folder, which holds each setup's run folder."""
    folder = tmp_path_factory.mktemp("devices")
    experiment.main(folder, smoke=True, keep=folder)
    return folder


@pytest.mark.parametrize("other", OTHERS)
def test_same_losses_parameters_scores_and_kept_set(other, folders):
    found = json.loads((folders / "devices.json").read_text())[other]
    assert found["losses"] < 1e-5
    for row in experiment.ROWS:
        assert found[f"parameters, {row}"] < 1e-4
        assert found[f"test logits, {row}"] < 1e-3
    assert found["group DRO's group weights"] < 1e-5
    assert found["samples eliminated"] > 0
    assert found["samples eliminated by one and not the other"] == 0
    for name in experiment.SCORES:
        assert found[f"score {name}, same parameters"] < 1e-6


@pytest.mark.parametrize("other", OTHERS)
def test_the_run_folder_is_the_same_and_whole(other, folders):
    def files(name):
        folder = folders / name.replace(" ", "_")
        return {
            str(path.relative_to(folder)) for path in folder.rglob("*") if "checkpoints" not in path.parts
        }

    assert files(other) == files("1 device")
    one, two = (
        json.loads((folders / name.replace(" ", "_") / "summary.json").read_text())
        for name in ("1 device", other)
    )
    assert one["seeds"] == two["seeds"]
    for row in experiment.ROWS:
        for figure in ("acc", "wga"):
            assert one["rows"][row][figure] == pytest.approx(two["rows"][row][figure], abs=0.01)
    said = json.loads((folders / other.replace(" ", "_") / "environment.json").read_text())
    assert (len(said["devices"]), said["processes"]) == (8, 2 if "processes" in other else 1)


def test_what_the_first_process_refuses_all_refuse(folders):
    started = experiment.start(
        folders / "1_device", experiment.Setup(2, 1), SETTINGS | {"attack.budget": "0.02"}
    )
    for process in started:
        _, err = process.communicate(timeout=300)
        assert process.returncode != 0
        assert "holds a run of another config (attack.budget: 0.01 -> 0.02)" in err


def test_a_batch_that_cannot_be_split_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    settings = cfg.load(str(experiment.CONFIG), SETTINGS | {"train.batch": "60"})
    monkeypatch.setattr(jax, "device_count", lambda: 8)
    with pytest.raises(UserError, match=r"60 cannot be split evenly over 8 .*--config.train.batch=64\)"):
        pipeline.run(settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    devices.check_batch(64)


@pytest.mark.parametrize(("batch", "count", "mend"), [(1, 8, 8), (13, 8, 16), (100, 3, 99)])
def test_the_batch_that_is_named_can_be_split(batch, count, mend, monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: count)
    with pytest.raises(UserError, match=rf"--config.train.batch={mend}\)"):
        devices.check_batch(batch)
    devices.check_batch(mend)


def test_on_one_device_nothing_is_placed():
    rows = np.arange(6)
    assert devices.shard(rows) is rows
    assert devices.replicated() is None
    on_device = jax.numpy.ones(3)
    assert devices.replicate({"a": on_device})["a"] is on_device
    assert devices.first(lambda: rows) is rows
    assert devices.anywhere(True) is True
