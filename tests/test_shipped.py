"""Configs by name, their list, and copies of them."""

from pathlib import Path

import pytest

from oilwater_jax import cli
from oilwater_jax.errors import UserError
from oilwater_jax.settings import config as cfg
from oilwater_jax.settings import shipped

ROOT = Path(__file__).parent.parent
MAIN = ROOT / "configs/waterdigits/dlbd.py"


def test_every_file_has_a_name_and_a_first_line():
    assert set(shipped.names().values()) == set((ROOT / "configs").rglob("*.py"))
    for name, path in shipped.names().items():
        assert path == ROOT / "configs" / f"{name}.py"
        assert 20 < len(shipped.summary(path)) <= 120


@pytest.mark.parametrize(
    "name",
    ["waterdigits/dlbd", "waterdigits/dlbd.py", "configs/waterdigits/dlbd", "configs/waterdigits/dlbd.py"],
)
def test_a_name_is_found_from_anywhere(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shipped.find(name, "get_config") == MAIN
    assert cfg.load(name, {"attack.budget": "0.002"}).attack.budget == 0.002


def test_a_path_that_exists_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "waterdigits/dlbd.py"
    own.parent.mkdir()
    own.write_text(MAIN.read_text().replace("budget = 0.01", "budget = 0.03"))
    assert cfg.load("waterdigits/dlbd.py").attack.budget == 0.03
    assert cfg.load("waterdigits/dlbd").attack.budget == 0.01  # without .py no such file is there


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("waterdigits/dlb", r"does not exist; .*; near it: waterdigits/dlbd, "),
        (
            "nothing.py",
            r"does not exist; give a Python file with get_config\(\), or a name that `oilwater configs`",
        ),
        ("", "does not exist"),
        ("../configs/waterdigits/dlbd", "does not exist"),
        ("a\0b\x1b", r"config file a\\x00b\\x1b does not exist"),
        (".", "config file . is a folder"),
    ],
)
def test_an_unknown_name_is_one_line(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        cfg.load(name)
    assert "\n" not in str(caught.value)


def call(*arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main(list(arguments))
    return caught.value.code


def test_list_and_copy(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call("configs") == 0
    out = capsys.readouterr().out
    assert (
        "waterdigits/dlbd       The main job: JTT under a dirty-label backdoor of 1% on waterdigits.\n" in out
    )
    assert len(out.splitlines()) == len(shipped.names())
    for arguments, file in (
        (["waterdigits/dlbd"], "dlbd.py"),
        (["waterdigits/dlbd", "mine.py"], "mine.py"),
        (["waterdigits/gm", "."], "gm.py"),
    ):
        assert call("configs", "copy", *arguments) == 0
        assert capsys.readouterr().out == f"{file}\n"
    assert (tmp_path / "mine.py").read_text() == MAIN.read_text()
    assert cfg.load("mine.py") == cfg.load("waterdigits/dlbd")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["waterdigits/dlbd", "there.py"], "there.py already exists"),
        (["waterdigits/dlbd", "none/mine.py"], "none is not a folder"),
        (["waterdigits/dlbbd"], "near it: waterdigits/dlbd"),
    ],
)
def test_a_copy_that_cannot_be_is_one_line_and_nothing_is_written(
    arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.py").write_text("mine")
    assert call("configs", "copy", *arguments) == 2
    assert message in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["there.py"]
    assert (tmp_path / "there.py").read_text() == "mine"
