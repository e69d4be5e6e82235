"""The same run on 1 and on 8 devices, in 1 and in 2 processes; what is refused."""

import functools
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from oilwater_jax import devices, pipeline
from oilwater_jax.errors import UserError
from oilwater_jax.settings import config as cfg

ROOT = Path(__file__).parent.parent
spec = importlib.util.spec_from_file_location("scale_devices", ROOT / "experiments/scale/devices.py")
assert spec is not None
assert spec.loader is not None
experiment = importlib.util.module_from_spec(spec)
spec.loader.exec_module(experiment)

SETTINGS = experiment.SETTINGS | experiment.SMOKE
# Two processes want to find one another within gloo's half minute: not on a machine that has no time.
OTHERS = [pytest.param(name, marks=pytest.mark.slow) for name in list(experiment.SETUPS)[1:]]


@pytest.fixture(scope="module")
def run_of(tmp_path_factory):
    """The run folder of a setup, which is run when it is first asked for."""
    root = tmp_path_factory.mktemp("devices")

    @functools.cache
    def run(name):
        folder = root / name.replace(" ", "_")
        outputs = experiment.finish(experiment.start(folder, experiment.SETUPS[name], SETTINGS))
        assert ["report: " in said for said in outputs] == [True] + [False] * (len(outputs) - 1)
        return folder

    return run


@pytest.mark.parametrize("other", OTHERS)
def test_same_losses_parameters_scores_and_kept_set(other, run_of):
    found = experiment.compare(run_of("1 device"), run_of(other))
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
def test_the_run_folder_is_the_same_and_whole(other, run_of):
    one, two = run_of("1 device"), run_of(other)

    def files(folder):
        return {
            str(path.relative_to(folder)) for path in folder.rglob("*") if "checkpoints" not in path.parts
        }

    assert files(two) == files(one)
    a, b = (json.loads((folder / "summary.json").read_text())["rows"] for folder in (one, two))
    for row in experiment.ROWS:
        for figure in ("acc", "wga"):
            assert a[row][figure] == pytest.approx(b[row][figure], abs=0.01)
    said = json.loads((two / "environment.json").read_text())
    setup = experiment.SETUPS[other]
    assert (len(said["devices"]), said["processes"]) == (setup.processes * setup.devices, setup.processes)


@pytest.mark.slow
def test_what_the_first_process_refuses_all_refuse(run_of):
    changed = SETTINGS | {"attack.budget": "0.02"}
    for process in experiment.start(run_of("1 device"), experiment.Setup(2, 1), changed):
        _, err = process.communicate(timeout=300)
        assert process.returncode != 0
        assert "holds a run of another config (attack.budget: 0.01 -> 0.02)" in err


def test_a_batch_that_cannot_be_split_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    settings = cfg.load(ROOT / "configs/waterdigits/dlbd.py", {"train.batch": "60"})
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


def test_the_memory_of_a_cpu_device_is_the_hosts_or_the_containers(tmp_path, monkeypatch):
    whole = devices.memory()
    assert 2**28 < whole < 2**50
    for text, expected in {"123456789\n": 123456789, "max\n": whole}.items():
        (tmp_path / "memory.max").write_text(text)
        monkeypatch.setattr(devices, "LIMIT", tmp_path / "memory.max")
        assert devices.memory() == expected


ABSENT = """
import sys
from oilwater_jax import devices
devices.join("127.0.0.1:1", 2, int(sys.argv[1]))
"""


def test_an_absent_coordinator_is_one_line(tmp_path):
    """JAX itself would end the process after minutes, by SIGABRT and with a page of C++."""
    done = subprocess.run(
        [sys.executable, "-c", ABSENT, "1"],
        capture_output=True,
        text=True,
        env=os.environ | {"OILWATER_JOINING": "3", "JAX_PLATFORMS": "cpu"},
        cwd=Path(__file__).parent.parent,
    )
    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("oilwater: "))
    assert "the processes cannot be joined through --coordinator=127.0.0.1:1: after 3 seconds" in line
    assert "Traceback" not in done.stderr
