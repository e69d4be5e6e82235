"""Sweeps: what is shared, what fails alone, what goes on, and the table."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oilwater_jax import cli
from oilwater_jax.accelerators import Share
from oilwater_jax.errors import UserError
from oilwater_jax.executors import Processes
from oilwater_jax.run_folder import RunFolder
from oilwater_jax.settings import config as cfg
from oilwater_jax.sweep import Unit, check_held, sweep, work

ROOT = Path(__file__).parent.parent
GRID = """
from oilwater_jax import Grid, default

def get_grid():
    runs = {}
    for method in ("jtt", "george"):
        for budget in (0.01, 0.05):
            config = default()
            config.smoke = True
            config.pretrain.epochs = 0
            config.cnn.widths = (8, 16)
            config.attack.budget = budget
            config.rows = ("erm@clean", "erm", method)
            runs[f"{method}_{budget:g}"] = config
    return Grid(runs, 2)
"""


@pytest.fixture(scope="module")
def grid_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("grid") / "grid.py"
    path.write_text(GRID)
    return path


def command(grid_file, workdir, *more):
    return [
        sys.executable,
        "-m",
        "oilwater_jax",
        "sweep",
        f"--config={grid_file}",
        f"--workdir={workdir}",
        *more,
    ]


@pytest.fixture(scope="module")
def swept(grid_file, tmp_path_factory):
    """A finished sweep of 4 runs of 2 seeds, and what it printed."""
    folder = tmp_path_factory.mktemp("sweep") / "sweep"
    done = subprocess.run(command(grid_file, folder), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "4 of 4 runs are finished" in done.stdout
    return folder


def summaries(folder):
    return {path.parent.name: path.read_bytes() for path in folder.glob("runs/*/summary.json")}


def counts(folder, pattern):
    return len(list(folder.glob(f"stages/seed0/{pattern}")))


def test_common_stages_are_computed_once(swept):
    trained = len(list(swept.glob("metrics/seed0/erm-on-clean-*.jsonl")))
    assert trained == 1  # one clean ERM for all runs
    assert len(list(swept.glob("metrics/seed0/reference-*.jsonl"))) == 2  # one per budget, for both methods
    assert counts(swept, "attack-*") == 2
    assert counts(swept, "*.found-*") == 4
    assert len(list(swept.glob("metrics/seed0/erm-[0-9a-f]*.jsonl"))) == 2


ALONE = """
import os, sys
from pathlib import Path
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before JAX makes its threads
import oilwater_jax as ow
grid = ow.load_grid(sys.argv[1])
ow.run(grid.runs["george_0.05"], sys.argv[2], seeds=2)
"""


def test_a_sweeps_run_has_the_figures_of_the_run_alone_on_one_core(swept, grid_file, tmp_path):
    folder = tmp_path / "alone"
    subprocess.run([sys.executable, "-c", ALONE, grid_file, folder], check=True, cwd=ROOT)
    assert (folder / "summary.json").read_bytes() == summaries(swept)["george_0.05"]


TWO_EACH = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}


@pytest.mark.slow
def test_with_accelerators_figures_do_not_depend_on_the_number_of_workers(grid_file, tmp_path):
    """Two shares of two devices, which are the CPU's here: one worker on one share is two workers on both."""
    grid = cfg.load_grid(str(grid_file), {})
    grid = grid._replace(runs={"george_0.05": grid.runs["george_0.05"]})
    shares = [Share((f"test-{one}",), TWO_EACH) for one in range(2)]
    for workers in (1, 2):
        pool = Processes(workers, shares)
        assert sweep(grid, tmp_path / str(workers), executor=pool) == {}
        described = json.loads((tmp_path / str(workers) / "runs/george_0.05/environment.json").read_text())
        assert len(described["devices"]) == 2
    assert summaries(tmp_path / "1") == summaries(tmp_path / "2")


def test_the_same_sweep_again_computes_nothing(swept, grid_file):
    before = {path: path.stat().st_mtime_ns for path in swept.rglob("*.npz")}
    began = time.monotonic()
    assert sweep(cfg.load_grid(str(grid_file), {}), swept) == {}
    assert time.monotonic() - began < 5
    assert before == {path: path.stat().st_mtime_ns for path in swept.rglob("*.npz")}


HALF = """
import runpy
from oilwater_jax import Grid
def get_grid():
    runs = runpy.run_path({grid!r})["get_grid"]().runs
    return Grid({{name: runs[name] for name in ("jtt_0.05", "george_0.05")}}, 2)
"""


def test_kill_9_leaves_no_worker_behind_and_the_same_command_ends_in_the_same_bytes(
    swept, grid_file, tmp_path
):
    folder, half = tmp_path / "sweep", tmp_path / "half.py"
    half.write_text(HALF.format(grid=str(grid_file)))
    process = subprocess.Popen(
        command(half, folder), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and counts(folder, "*.found-*") < 1:
        time.sleep(0.01)
    children = _children(process.pid)
    assert children
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "runs/george_0.05/summary.json").exists()
    assert _all_gone(children)
    done = subprocess.run(command(half, folder), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert summaries(folder) == {name: summaries(swept)[name] for name in ("jtt_0.05", "george_0.05")}


# Where the tests themselves run in the background, the shell has made them deaf to Ctrl-C.
HEARING = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from oilwater_jax.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 75, "preempted (SIGTERM)")],
    ids=["ctrl_c", "sigterm"],
)
def test_a_signal_stops_at_once_in_one_line(number, code, said, grid_file, tmp_path):
    folder = tmp_path / "sweep"
    python, _, _, *arguments = command(grid_file, folder)
    process = subprocess.Popen(
        [python, "-c", HEARING, *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not list(folder.glob("metrics/seed0/*")):
        time.sleep(0.01)
    children = _children(process.pid)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert f"oilwater: {said}; run the same command to resume" in err
    assert "Traceback" not in err
    assert _all_gone(children)


def _children(pid):
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def _all_gone(pids):
    """Whether all of them end within 10 seconds."""
    deadline = time.monotonic() + 10
    while any(_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(_alive(pid) for pid in pids)


def _alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


FAILING = """
import runpy
from oilwater_jax import Grid, default
def get_grid():
    grid = runpy.run_path({grid!r})["get_grid"]()
    bad = grid.runs["jtt_0.01"].copy_and_resolve_references()
    with bad.unlocked():
        bad.robust.learning_rate = 1000.0
        bad.robust.weight_decay = 1000.0
    return Grid({{"diverges": bad, "fine": grid.runs["jtt_0.01"]}}, 1)
"""


def test_a_failing_run_does_not_stop_the_rest_and_is_listed(grid_file, tmp_path):
    file = tmp_path / "failing.py"
    file.write_text(FAILING.format(grid=str(grid_file)))
    done = subprocess.run(command(file, tmp_path / "sweep"), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert "oilwater: run diverges failed: seed 0: seed0/jtt, seed 0: the loss is" in done.stderr
    assert "1 of 2 runs are finished" in done.stdout
    assert list(summaries(tmp_path / "sweep")) == ["fine"]
    assert "Traceback" not in done.stderr


DYING = """
import os, sys
from pathlib import Path
from oilwater_jax import pipeline, sweep
from oilwater_jax.settings import config as cfg

def die(config, seeds, workdir, unit, log):
    mark = Path(workdir) / "died"
    if unit == sweep.Unit("jtt_0.01", 1) and (not mark.exists() or sys.argv[3] == "always"):
        mark.touch()
        os._exit(1)
    return work(config, seeds, workdir, unit, log)

work, sweep.work = sweep.work, die
if __name__ == "__main__":
    grid = cfg.load_grid(sys.argv[1], {})
    print(sweep.sweep(grid._replace(runs={"jtt_0.01": grid.runs["jtt_0.01"]}), Path(sys.argv[2])))
"""


@pytest.mark.parametrize(
    ("how", "failed"),
    [
        ("once", {}),
        pytest.param(
            "always", {"jtt_0.01": "its worker process died (out of memory?)"}, marks=pytest.mark.slow
        ),
    ],
)
def test_a_worker_that_dies_is_replaced_but_not_for_ever(how, failed, grid_file, tmp_path):
    script = tmp_path / "dying.py"
    script.write_text(DYING)
    done = subprocess.run(
        [sys.executable, script, grid_file, tmp_path / "sweep", how],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(failed)
    assert (tmp_path / "sweep/runs/jtt_0.01/summary.json").exists() == (how == "once")


def test_a_machine_that_does_not_see_the_sweeps_lock_refuses_its_units(tmp_path):
    config, unit = cfg.default(), Unit("a", 0)
    assert "cannot be used on" in (work(config, 1, tmp_path / "absent", unit, ()).error or "")
    held = RunFolder.open(tmp_path / "sweep", {"sweep": True}, overwrite=False)
    check_held(tmp_path / "sweep")
    held.close()
    assert "does not show that the sweep holds it" in (
        work(config, 1, tmp_path / "sweep", unit, ()).error or ""
    )
    assert sorted(path.name for path in (tmp_path / "sweep").iterdir()) == [".lock", "config.json"]


def test_a_run_of_another_config_under_the_same_name_is_refused(swept, grid_file):
    grid = cfg.load_grid(str(grid_file), {"dlbd.size": "4"})
    with pytest.raises(UserError, match=r"another config \(dlbd.size: 3 -> 4\)"):
        sweep(grid, swept)


def test_a_grid_with_a_run_that_cannot_be_writes_nothing(grid_file, tmp_path):
    grid = cfg.load_grid(str(grid_file), {"attack.target": "5"})
    with pytest.raises(UserError, match=r"run jtt_0.01: attack.target = 5, but the classes are 0 to 1"):
        sweep(grid, tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


def table(capsys, folder, *options):
    with pytest.raises(SystemExit) as caught:
        cli.main(["table", str(folder), *options])
    assert caught.value.code == 0
    return capsys.readouterr().out


def test_the_table_has_the_summaries_means(swept, capsys):
    rows = list(csv.DictReader(io.StringIO(table(capsys, swept, "--format=csv", "--columns=wga,success"))))
    assert len(rows) == 4 * 3
    for row in rows:
        summary = json.loads(summaries(swept)[row["run"]])["rows"][row["training"]]
        assert float(row["wga"]) == pytest.approx(summary["wga"])
        assert float(row["success"]) == pytest.approx(summary["net"])  # of the untriggered rate
        assert float(row["wga_low"]) <= float(row["wga"]) <= float(row["wga_high"])
        assert row["wga_n"] == "2"


def test_rows_and_columns_are_chosen(swept, capsys):
    text = table(capsys, swept, "--rows=*/erm,george_0.05/*", "--columns=acc", "--format=md")
    note, _, *lines = text.splitlines()
    assert note == "per cent; mean [95% interval], n = 2"
    assert lines[0] == "| run | training | ACC |"
    assert len(lines) == 2 + 4 + 2
    idnf = table(capsys, swept, "--columns=idnf", "--format=md").splitlines()[2:]
    assert len(idnf) == 2 + 4 + 12  # what each run found, and its rows
    found = table(capsys, swept, "--rows=*/found:*", "--columns=idnf", "--format=md").splitlines()[2:]
    assert len(found) == 2 + 4
    assert "| found by GEORGE |" in found[2] + found[3] + found[4] + found[5]
    assert "IDNF poisons" in idnf[0]
    assert r"george\_0.05 & GEORGE &" in table(capsys, swept, "--format=latex")
    assert "95% interval" in table(capsys, swept)


def complain(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main([str(argument) for argument in arguments])
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


def test_bad_tables_are_one_line(swept, capsys, tmp_path):
    assert "--columns: unknown figure wag; known: idnf.poison" in complain(
        capsys, "table", swept, "--columns=wag"
    )
    assert "--rows: nothing is called x*" in complain(capsys, "table", swept, "--rows=x*")
    assert "is neither a run's folder nor a sweep's" in complain(capsys, "table", tmp_path)
    assert "holds a sweep; show one of" in complain(capsys, "show", swept)
    assert "none of the requested rows" in complain(
        capsys, "table", swept, "--rows=*/found:*", "--columns=wga"
    )


GRIDS = {
    "get_grid = 3": "has no function get_grid()",
    "def get_grid(): return 3": "get_grid() must return an oilwater_jax.Grid",
    "from oilwater_jax import *\ndef get_grid(): return Grid({}, 1)": "of at least one run",
    "from oilwater_jax import *\ndef get_grid(): return Grid({'a': default()}, 0)": "at least one seed",
    "from oilwater_jax import *\ndef get_grid(): return Grid({'../a': default()}, 1)": "run name '../a'",
}


@pytest.mark.parametrize("text", GRIDS)
def test_bad_grids_are_one_line(text, capsys, tmp_path):
    file = tmp_path / "grid.py"
    file.write_text(text)
    assert GRIDS[text] in complain(capsys, "sweep", f"--config={file}", f"--workdir={tmp_path / 'x'}")
    assert not (tmp_path / "x").exists()


OWN_GRID = """
import oilwater_jax as ow

def get_grid():
    runs = {}
    for share in (0.1, 0.2):
        config = ow.default(plugins=("trim.py", "hard.py", "flip.py", "stripes.py", "line.py"))
        config.smoke = True
        config.pretrain.epochs = 0
        config.data.name, config.attack.name, config.model.name = "stripes", "flip", "line"
        config.rows = ("erm", "hard", "trim+hard", "trim/hard")
        config.trim.share = share
        runs[f"share_{share:g}"] = config
    return ow.Grid(runs, 1)
"""


def test_own_modules_in_a_sweep_of_two_workers(tmp_path):
    """Other processes know them by the config alone; a setting of one's own is in the keys of what depends on it."""
    for file in (ROOT / "tests/own").glob("*.py"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "grid.py").write_text(OWN_GRID)
    folder = tmp_path / "sweep"
    done = subprocess.run(
        command(tmp_path / "grid.py", folder, "--workers=2"), capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert "2 of 2 runs are finished" in done.stdout
    assert counts(folder, "erm-[0-9a-f]*") == 1  # does not depend on the share
    assert counts(folder, "hard-[0-9a-f]*") == 1
    assert counts(folder, "trim-with-hard-*") == 2
    assert counts(folder, "trim-then-hard-*") == 2
    assert counts(folder, "trim-then-hard.found-*") == 2
