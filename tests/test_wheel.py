"""The wheel, away from the checkout: what it holds, and a first day with it in an empty folder."""

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    here = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        *here,
        f"--wheel-dir={folder}",
        ROOT,
    ]
    subprocess.run(command, check=True)
    (file,) = folder.iterdir()
    return file


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", f"--target={folder}", wheel]
    subprocess.run(command, check=True)
    return folder


def test_it_holds_every_file_of_the_package_and_the_configs(wheel):
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "oilwater_jax", "configs"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    expected = {name if name.startswith("oilwater_jax/") else f"oilwater_jax/{name}" for name in tracked}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        about = archive.read(metadata).decode()
    assert held == expected
    assert "oilwater_jax/py.typed" in held
    for line in (
        "License-Expression: Apache-2.0",
        "Classifier: Typing :: Typed",
        "Project-URL: Paper, https://arxiv.org/abs/2504.02142",
        *(f"Provides-Extra: {extra}" for extra in ("tpu", "cuda", "ray", "torch", "docs", "log")),
    ):
        assert line in about


def test_a_first_day_in_an_empty_folder(installed, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(installed)}

    def call(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert str(installed) in call("-c", "import oilwater_jax; print(oilwater_jax.__file__)")
    oilwater = ("-m", "oilwater_jax")
    assert "waterdigits/dlbd" in call(*oilwater, "configs")
    out = call(*oilwater, "run", "--config=waterdigits/dlbd", "--workdir=runs/first", "--config.smoke=true")
    assert "JTT" in out
    assert (tmp_path / "runs/first/report.html").exists()
    call(*oilwater, "new", "method", "mine")
    assert "all checks passed" in call(*oilwater, "check", "mine.py")
    assert " passed" in call("-m", "pytest", "-q", "test_mine.py")
