"""Figures that must not move: smoke runs on one core, digit for digit on the machine that they were made on.

`python tests/test_golden.py` writes tests/golden/smoke.json anew; a commit that does so says which figures moved and
why. tests/golden/v0.4.json has what 0.4 made of the same settings, under its own names, and the headline's seed 0.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILE = ROOT / "tests/golden/smoke.json"
DLBD = "configs/waterdigits/dlbd.py"
MODES = "{0},{0}:ideal,{0}:worst"
RUNS = {
    "jtt_dlbd": (DLBD, {}),
    "jtt_clean": ("configs/waterdigits/clean.py", {"rows": "erm@clean,balanced@clean,jtt"}),
    "oracles": (
        "configs/waterdigits/clean.py",
        {"attack.name": "dlbd", "rows": "erm@clean,erm,balanced@clean,group_dro@clean,group_dro"},
    ),
    "george_dlbd": (DLBD, {"rows": "erm@clean,erm," + MODES.format("george")}),
    "epic_jtt_dlbd": (DLBD, {"rows": "erm@clean,erm,epic,jtt,epic+jtt"}),
    "epic_george_dlbd": (DLBD, {"rows": "erm@clean,erm,epic,george,epic/george"}),
    "epic_all_jtt": (DLBD, {"epic.gradients": "all", "rows": "erm,epic,epic/jtt,jtt"}),
    "jtt_sa": ("configs/waterdigits/sa.py", {}),
    "jtt_gm": ("configs/waterdigits/gm.py", {}),
}


def cpu(key: str) -> str:
    """What the kernel says of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith(key))
    except (OSError, StopIteration):
        return platform.processor()


def environment() -> dict[str, str]:
    """What the last digits depend on: the processor with what it can do, and the packages that compute."""
    versions = {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "numpy", "scikit-learn")}
    flags = hashlib.sha256(cpu("flags").encode()).hexdigest()[:12]
    return {"cpu": cpu("model name"), "flags": flags, "machine": platform.machine(), **versions}


def make(folder: Path) -> dict:
    """The runs' summaries, all of one process on one core; what runs share is computed once."""
    from oilwater_jax import pipeline
    from oilwater_jax.settings import config as cfg

    made = {}
    for name, (file, overrides) in RUNS.items():
        config = cfg.load(str(ROOT / file), {"smoke": "true"} | overrides)
        made[name] = pipeline.run(config, folder / name, shared=folder, warn=print)
    return made


def on_one_core(folder: Path) -> dict:
    """`make` in a process of its own, with programs that are optimised as a user's are."""
    out = folder / "made.json"
    code = (
        "import os, sys, json, pathlib\n"
        "if hasattr(os, 'sched_setaffinity'): os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        f"sys.path.insert(0, {str(ROOT / 'tests')!r}); import test_golden\n"
        f"made = test_golden.make(pathlib.Path({str(folder)!r}))\n"
        f"pathlib.Path({str(out)!r}).write_text(json.dumps(made))\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return on_one_core(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("name", RUNS)
def test_figures_do_not_move(name, made):
    golden = json.loads(FILE.read_text())
    want, got = golden["runs"][name], made[name]
    assert list(got["rows"]) == list(want["rows"])
    assert (got["n_train"], got["n_poison_seeds"]) == (want["n_train"], want["n_poison_seeds"])
    if environment() != golden["environment"]:
        pytest.skip(f"the digits are of {golden['environment']}")
    assert kept(got, want) == want


def kept(got, want):
    """Of what was made, the figures that the golden file has: later versions measure more."""
    if isinstance(want, dict) and isinstance(got, dict):
        return {name: kept(one, want[name]) for name, one in got.items() if name in want}
    return got


if __name__ == "__main__":
    os.environ.setdefault("OILWATER_CACHE", tempfile.mkdtemp(prefix="oilwater-golden-"))
    with tempfile.TemporaryDirectory() as folder:
        runs = on_one_core(Path(folder))
    FILE.write_text(json.dumps({"environment": environment(), "runs": runs}, indent=1) + "\n")
