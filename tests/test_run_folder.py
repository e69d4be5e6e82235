import json
import os

import pytest

from oilwater_jax.errors import UserError
from oilwater_jax.files import private_folder, write_json, write_text, write_whole
from oilwater_jax.run_folder import RunFolder, check_path, is_run_folder

CONFIG = {"attack": {"budget": 0.01, "name": "dlbd"}}


def open_folder(path, config=None, *, overwrite=False):
    return RunFolder.open(path, config or CONFIG, overwrite=overwrite)


def test_a_second_process_is_refused(tmp_path):
    first = open_folder(tmp_path / "run")
    with pytest.raises(UserError, match="is held by another oilwater process"):
        open_folder(tmp_path / "run")
    first.close()
    open_folder(tmp_path / "run").close()


def test_another_config_is_refused_with_its_keys_and_overwrite_starts_anew(tmp_path):
    folder = open_folder(tmp_path / "run")
    (tmp_path / "run/stages").mkdir()
    folder.close()
    other = {"attack": {"budget": 0.02, "name": "dlbd"}}
    with pytest.raises(UserError, match=r"another config \(attack.budget: 0.01 -> 0.02\).*--overwrite"):
        open_folder(tmp_path / "run", other)
    open_folder(tmp_path / "run", other, overwrite=True)
    assert not (tmp_path / "run/stages").exists()
    assert json.loads((tmp_path / "run/config.json").read_text()) == other


def test_what_a_killed_process_was_writing_goes_and_nothing_else_does(tmp_path):
    open_folder(tmp_path / "run").close()
    for name in (".frontier.json.12.tmp", ".scores.npz.3.tmp", ".mine.tmp", "notes.12.tmp"):
        (tmp_path / "run" / name).touch()
    open_folder(tmp_path / "run").close()
    left = {path.name for path in (tmp_path / "run").glob("*.tmp")}
    assert left == {".mine.tmp", "notes.12.tmp"}


def test_a_damaged_config_is_not_taken_for_an_empty_folder(tmp_path):
    open_folder(tmp_path / "run").close()
    (tmp_path / "run/config.json").write_text('{"attack": {"bud')
    with pytest.raises(
        UserError, match=r"config.json is damaged \(it is not JSON.*\); give another folder, or --overwrite"
    ):
        open_folder(tmp_path / "run")
    (tmp_path / "run/config.json").unlink()
    (tmp_path / "run/stages").mkdir()
    with pytest.raises(UserError, match=r"config.json is missing"):
        open_folder(tmp_path / "run")
    open_folder(tmp_path / "run", overwrite=True).close()


def test_a_file_and_somebody_elses_folder_are_refused_and_untouched(tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(UserError, match="is a file; give a folder"):
        open_folder(file)
    with pytest.raises(UserError, match="cannot be written"):
        open_folder(file / "below")
    (tmp_path / "home").mkdir()
    (tmp_path / "home/precious.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty and not a run folder"):
        open_folder(tmp_path / "home", overwrite=True)
    assert [p.name for p in (tmp_path / "home").iterdir()] == ["precious.txt"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "files",
    [
        {".lock": "somebody's"},
        {".lock": "", "thesis.tex": "mine"},
        {".lock": "oilwater_jax", "thesis.tex": "mine"},
        {"config.json": '{"sweep": "what?"}', "thesis.tex": "mine"},
        {"config.json": '{"rows": ["a"]}'},
    ],
)
def test_a_folder_that_merely_holds_a_lock_or_a_config_is_neither_adopted_nor_emptied(
    tmp_path, files, overwrite
):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match="not empty and not a run folder"):
        open_folder(tmp_path, overwrite=overwrite)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == files


def test_a_folder_is_known_by_its_mark_or_by_the_config_of_a_run(tmp_path):
    open_folder(tmp_path / "run").close()
    (tmp_path / "run/config.json").unlink()
    assert is_run_folder(tmp_path / "run")
    open_folder(tmp_path / "run").close()  # it was killed before it wrote its config
    config = {
        **{"rows": ["erm"], "smoke": False, "evaluate": "val"},
        **{"data": {"name": "waterdigits"}, "attack": {"name": "none"}},
    }
    (tmp_path / "copied").mkdir()
    write_json(tmp_path / "copied/config.json", config)  # without what begins with a dot
    open_folder(tmp_path / "copied", config).close()
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun/.lock").touch()  # it was killed before it wrote its mark
    open_folder(tmp_path / "begun").close()
    assert is_run_folder(tmp_path / "begun")


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_a_lock_that_is_no_plain_file_is_refused_and_what_it_points_to_is_untouched(tmp_path, kind):
    victim, run = tmp_path / "victim", tmp_path / "run"
    victim.write_text("precious")
    open_folder(run).close()
    (run / ".lock").unlink()
    {
        "link": lambda: (run / ".lock").symlink_to(victim),
        "folder": lambda: (run / ".lock").mkdir(),
        "pipe": lambda: os.mkfifo(run / ".lock"),
    }[kind]()
    config = {
        **{"rows": ["erm"], "smoke": False, "evaluate": "val"},
        **{"data": {"name": "waterdigits"}, "attack": {"name": "none"}},
    }
    write_json(run / "config.json", config)
    with pytest.raises(UserError, match=r"cannot be written \("):
        open_folder(run, config)
    assert victim.read_text() == "precious"


def test_the_folder_of_locks_is_the_users_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = private_folder()
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    assert private_folder().stat().st_mode & 0o777 == 0o700
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"is not your own folder.*\$TMPDIR"):
        private_folder()
    folder.unlink()
    folder.write_text("")
    with pytest.raises(UserError, match="is not your own folder"):
        private_folder()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    (tmp_path / "oilwater_jax-12345").mkdir()
    with pytest.raises(UserError, match="is not your own folder"):
        private_folder()


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("", "names no folder"),
        ("gs://bucket/x", "is an address"),
        ("a" * 300, "is too long"),
        ("a/" * 2000, "is too long"),
        ("run\udcff", "is not UTF-8"),
        ("run\0", "null character"),
    ],
)
def test_paths_that_no_system_takes(path, complaint):
    with pytest.raises(UserError, match=complaint) as caught:
        check_path(path)
    assert str(caught.value).isprintable()


def test_a_failing_write_leaves_the_old_file_and_nothing_beside(tmp_path):
    path = tmp_path / "f"
    write_text(path, "old")

    def fail(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space") as caught:
        write_whole(path, fail)
    assert caught.value.filename == str(path)  # the disk itself names no file
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not (tmp_path / "x.json").exists()
