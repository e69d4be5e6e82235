"""`oilwater new`: what it writes works, and what it must not write it does not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from oilwater_jax import cli, conformance, new
from oilwater_jax.errors import UserError

ROOT = Path(__file__).parent.parent
ENTRIES = ("attack", "data", "method")  # kinds that `oilwater check` takes


def test_kinds():
    assert new.kinds() == ("attack", "config", "data", "method")


@pytest.mark.parametrize("kind", new.kinds())
def test_names_are_put_in_everywhere(kind, tmp_path):
    written = new.write(kind, "mine2", tmp_path)
    assert sorted(path.name for path in written) == ["mine2.py", "test_mine2.py"]
    for path in written:
        text = path.read_text()
        assert "skeleton" not in text.lower()
        assert "mine2" in text
        compile(text, path, "exec")


@pytest.mark.slow
@pytest.mark.parametrize("kind", new.kinds())
def test_its_own_test_passes(kind, tmp_path):
    new.write(kind, "mine", tmp_path)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-q", "test_mine.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", ENTRIES)
def test_it_meets_its_contract(kind, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    new.write(kind, "mine")
    assert conformance.run(["mine.py"])
    assert "all checks passed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a-b", "'a-b' cannot be a name"),
        ("", "'' cannot be a name"),
        ("../x", "cannot be a name"),
        ("_x", "cannot be a name"),
        ("class", "cannot be a name"),
        ("ä", "cannot be a name"),
        ("a\x1b", r"'a\\x1b' cannot be a name"),
        ("a" * 41, "is too long"),
        ("items", "is a method of every config"),
        ("jtt", "is in every config already"),
        ("train", "is in every config already"),
        ("numpy", "would hide Python's module numpy"),
        ("json", "would hide Python's module json"),
    ],
)
def test_a_bad_name_is_one_line_and_nothing_is_written(name, message, tmp_path):
    with pytest.raises(UserError, match=message.replace("\\\\", r"\\+")) as caught:
        new.write("method", name, tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("there", ["mine.py", "test_mine.py"])
def test_nothing_is_overwritten(there, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / there).symlink_to("nowhere")
    with pytest.raises(SystemExit) as caught:
        cli.main(["new", "method", "mine"])
    assert caught.value.code == 2
    assert f"{there} already exists" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [there]


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for kind, code in (("config", 0), ("methods", 2)):
        with pytest.raises(SystemExit) as caught:
            cli.main(["new", kind, "first"])
        assert caught.value.code == code
    assert capsys.readouterr().out.startswith("first.py, test_first.py: ")
