"""Executors: what a pool of processes promises, and what is refused before anything begins."""

import os
import socket
import sys
from concurrent.futures import wait
from pathlib import Path
from types import SimpleNamespace

import pytest

from oilwater_jax import cli, executors
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
