"""Sweeps on a Ray cluster of this machine: the pool's figures, also when a worker is killed."""

import collections
import contextlib
import importlib
import importlib.util
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from test_sweep import HEARING, ROOT, _all_gone, _children, command, summaries

from oilwater_jax.stages import read_metrics

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra ray"),
]
GRID = """
from oilwater_jax import Grid, default

def get_grid():
    runs = {}
    for budget in (0.01, 0.05):
        config = default()
        config.smoke = True
        config.pretrain.epochs = 0
        config.cnn.widths = (8, 16)
        config.attack.budget = budget
        config.rows = ("erm@clean", "erm", "jtt")
        runs[f"jtt_{budget:g}"] = config
    return Grid(runs, 2)
"""


@pytest.fixture(scope="module")
def grid_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("grid") / "grid.py"
    path.write_text(GRID)
    return path


def free_ports(n):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@pytest.fixture(scope="module")
def cluster():
    """One node of two CPUs, with ports given: else it waits for all of its agents, and on a busy machine gives up."""
    agents = ("dashboard_agent_listen", "metrics_agent", "metrics_export", "runtime_env_agent")
    node = {"num_cpus": 2, "object_store_memory": 100_000_000, "include_dashboard": False}
    node |= {f"{agent}_port": port for agent, port in zip(agents, free_ports(len(agents)), strict=True)}
    made = importlib.import_module("ray.cluster_utils").Cluster(initialize_head=True, head_node_args=node)
    yield made
    made.shutdown()


def busy(cluster):
    """The processes of the cluster that are at a unit."""
    raylets = [node.all_processes["raylet"][0].process.pid for node in cluster.list_all_nodes()]
    workers = [worker for raylet in raylets for worker in _children(raylet)]
    return [pid for pid in workers if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::oilwater")]


def stages(folder):
    """When every finished stage was written."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.glob("stages/*/*/stage.json")
    }


def epochs(folder):
    """How often each epoch of each training is in the metrics."""
    return collections.Counter(
        (str(path.relative_to(folder)), row["epoch"])
        for path in folder.glob("metrics/*/*.jsonl")
        for row in read_metrics(path)
    )


def test_a_killed_workers_unit_is_done_again_and_ends_in_the_pools_bytes(cluster, grid_file, tmp_path):
    pool, folder = tmp_path / "pool", tmp_path / "ray"
    subprocess.run(command(grid_file, pool), check=True, capture_output=True, cwd=ROOT)

    process = subprocess.Popen(
        command(grid_file, folder, "--executor=ray", f"--address={cluster.address}"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not (
        stages(folder) and list(folder.glob("metrics/seed0/*")) and len(busy(cluster)) == 2
    ):
        time.sleep(0.05)
    os.kill(busy(cluster)[0], signal.SIGKILL)
    before = stages(folder)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert "2 of 2 runs are finished" in out
    assert "failed" not in err
    assert summaries(folder) == summaries(pool)
    after = stages(folder)
    assert after.keys() == stages(pool).keys()
    assert before.items() <= after.items()  # what was finished has not been computed again
    assert epochs(folder) == epochs(pool)
    assert set(epochs(folder).values()) == {1}


def test_ctrl_c_ends_the_clusters_workers(cluster, grid_file, tmp_path):
    folder = tmp_path / "ray"
    python, _, _, *arguments = command(grid_file, folder, "--executor=ray", f"--address={cluster.address}")
    process = subprocess.Popen(
        [python, "-c", HEARING, *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not list(folder.glob("metrics/seed0/*")):
        time.sleep(0.01)
    workers = busy(cluster)
    assert workers
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "oilwater: interrupted; run the same command to resume" in err
    assert "Traceback" not in err
    assert _all_gone(workers)
