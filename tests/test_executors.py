"""Executors: what a pool of processes promises, and what is refused before anything begins."""

import os
import socket
import sys
from concurrent.futures import wait
from pathlib import Path
from types import SimpleNamespace

import pytest

from oilwater_jax import accelerators, cli, executors
from oilwater_jax.accelerators import Accelerators, Share
from oilwater_jax.executors import Processes, WorkerDied


def meet(folder):
    """This worker's cores, once another one has come."""
    (Path(folder) / str(os.getpid())).touch()
    while len(os.listdir(folder)) < 2:
        pass
    return os.sched_getaffinity(0)


def test_every_worker_is_on_one_core_of_its_own(tmp_path):
    with Processes(2) as pool:
        cores = [pool.result(future) for future in [pool.submit(meet, tmp_path) for _ in range(2)]]
    assert [len(core) for core in cores] == [1, 1]
    assert len(set.union(*cores)) == min(2, executors.cores())


def test_a_pool_whose_worker_died_is_made_anew():
    with Processes(1) as pool:
        future = pool.submit(os._exit, 1)
        wait([future])
        with pytest.raises(WorkerDied):
            pool.result(future)
        assert pool.result(pool.submit(abs, -1)) == 1


def see(folder, count):
    """The variables and cores of this worker, once `count` of them have come."""
    (Path(folder) / str(os.getpid())).touch()
    while len(os.listdir(folder)) < count:
        pass
    names = ("CUDA_VISIBLE_DEVICES", "TPU_VISIBLE_CHIPS", "TPU_PROCESS_PORT", "JAX_PLATFORMS")
    return {name: os.environ.get(name) for name in names}, os.sched_getaffinity(0)


def seen_by_workers(folder, count, **how):
    folder.mkdir()
    with Processes(**how) as pool:
        assert pool.workers() == count
        return [pool.result(future) for future in [pool.submit(see, folder, count) for _ in range(count)]]


def test_every_worker_sees_accelerators_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")  # of this process, which leaves them alone
    gpus = accelerators.shares(Accelerators("GPU", ("test-1", "test-3", "test-4", "test-6")), 2)
    seen = seen_by_workers(tmp_path / "gpus", 2, shares=gpus)
    assert sorted(one["CUDA_VISIBLE_DEVICES"] for one, _ in seen) == ["test-1,test-3", "test-4,test-6"]
    assert {one["JAX_PLATFORMS"] for one, _ in seen} == {"cuda,cpu"}
    # Each has its part of the cores, whether the other part is in use or not.
    part = max(1, executors.cores() // 2)
    assert {len(cores) for _, cores in seen} == {part}
    ((_, alone),) = seen_by_workers(tmp_path / "alone", 1, shares=gpus, workers=1)
    assert len(alone) == part
    chips = accelerators.shares(Accelerators("TPU", ("90", "91")), 1)
    seen = seen_by_workers(tmp_path / "chips", 2, shares=chips)
    assert sorted((one["TPU_VISIBLE_CHIPS"], one["TPU_PROCESS_PORT"]) for one, _ in seen) == [
        ("90", "8566"),
        ("91", "8567"),
    ]


@pytest.mark.parametrize(("platforms", "has"), [("", None), ("cpu", "cpu")])
def test_without_accelerators_workers_have_the_users_platforms(platforms, has, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    ((seen, _),) = seen_by_workers(tmp_path / "cores", 1, workers=1, platforms=platforms)
    assert seen["JAX_PLATFORMS"] == has


def name():
    return os.environ["CUDA_VISIBLE_DEVICES"]


def test_two_sweeps_do_not_share_an_accelerator():
    """The second waits until a worker of the first is gone, however it goes."""
    shares = accelerators.shares(Accelerators("GPU", ("test-7",)), 1)
    with Processes(shares=shares) as first, Processes(shares=shares) as second:
        assert first.result(first.submit(name)) == "test-7"
        waiting = second.submit(name)
        assert not wait([waiting], timeout=2).done
        with pytest.raises(WorkerDied):
            first.result(first.submit(os._exit, 1))
        assert waiting.result(timeout=60) == "test-7"


def test_a_share_is_taken_whole_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "private_folder", lambda: tmp_path)
    monkeypatch.setattr(executors, "_HELD", [])
    held = executors._lock("b")
    taken = executors.take_share([Share(("a", "b"), {}), Share(("c", "d"), {"x": "1"})])
    assert taken.devices == ("c", "d")
    assert held
    free = executors._lock("a")  # nobody who did not get its neighbour keeps it
    assert free
    assert executors._lock("d") is None


def fail(capsys, tmp_path, *options):
    """The one line of a sweep that is refused before anything is written."""
    grid = tmp_path / "grid.py"
    grid.write_text("from oilwater_jax import *\ndef get_grid(): return Grid({'a': default()}, 1)\n")
    with pytest.raises(SystemExit) as caught:
        cli.main(["sweep", f"--config={grid}", f"--workdir={tmp_path / 'sweep'}", *options])
    assert caught.value.code == 2
    assert not (tmp_path / "sweep").exists()
    err = capsys.readouterr().err
    assert err.startswith("oilwater: error: ")
    assert err.count("\n") == 1
    return err


def test_ray_that_is_not_installed_is_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "pip install 'oilwater_jax[ray]'" in fail(capsys, tmp_path, "--executor=ray")


@pytest.mark.parametrize("how", ["address", "environment"])
def test_a_cluster_that_does_not_answer_is_one_line(how, capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace())  # which has no init to call
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        if how == "environment":
            monkeypatch.setenv("RAY_ADDRESS", address)
        options = [f"--address={address}"] if how == "address" else []
        err = fail(capsys, tmp_path, "--executor=ray", *options)
    assert f"no Ray cluster can be reached at {address} (" in err


def test_an_unknown_executor_is_refused(capsys, tmp_path):
    assert "invalid choice: 'dask'" in fail(capsys, tmp_path, "--executor=dask")


def test_an_address_wants_ray(capsys, tmp_path):
    assert "--address=here:1 is a Ray cluster's; it goes with --executor=ray" in fail(
        capsys, tmp_path, "--address=here:1"
    )


def test_more_workers_than_accelerators_are_refused(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(accelerators, "find", lambda platforms: Accelerators("GPU", ("0", "1")))
    monkeypatch.setenv("JAX_PLATFORMS", "")
    err = fail(capsys, tmp_path, "--workers=3")
    assert "--workers=3, but the accelerators of this machine are enough for 2 at a time" in err
    assert "--devices-per-unit=4 does not share out 2 GPUs evenly" in fail(
        capsys, tmp_path, "--devices-per-unit=4"
    )


def test_devices_per_unit_without_accelerators_is_one_line(capsys, tmp_path):
    assert "--devices-per-unit=2, but no accelerator is found" in fail(
        capsys, tmp_path, "--devices-per-unit=2"
    )


@pytest.mark.parametrize(
    ("resources", "per_unit", "platforms", "asked", "room"),
    [
        ({"CPU": 16.0}, 1, "", {"num_cpus": 1}, 16),
        ({"CPU": 16.0, "GPU": 4.0}, 1, "", {"num_cpus": 4, "num_gpus": 1}, 4),
        ({"CPU": 16.0, "GPU": 4.0}, 2, "cuda,cpu", {"num_cpus": 8, "num_gpus": 2}, 2),
        ({"CPU": 16.0, "GPU": 4.0}, 1, "cpu", {"num_cpus": 1}, 16),
        ({"CPU": 224.0, "TPU": 8.0}, 1, "", {"num_cpus": 28, "resources": {"TPU": 1}}, 8),
        ({"CPU": 2.0, "GPU": 4.0}, 1, "", {"num_cpus": 1, "num_gpus": 1}, 2),  # too few CPUs
        ({}, 1, "", {"num_cpus": 1}, 1),
    ],
)
def test_what_a_unit_asks_a_cluster_for(resources, per_unit, platforms, asked, room):
    assert executors.wanted(resources, per_unit, platforms) == asked
    assert executors.room(resources, asked) == room


def test_what_a_cluster_cannot_share_out():
    with pytest.raises(executors.UserError, match="does not share out 4 GPUs evenly; give 1 or 2 or 4"):
        executors.wanted({"GPU": 4.0}, 3, "")
    with pytest.raises(executors.UserError, match="no accelerator is found"):
        executors.wanted({"GPU": 4.0, "CPU": 2}, 2, "cpu")
