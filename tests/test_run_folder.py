import json

import pytest

from oilwater_jax.errors import UserError
from oilwater_jax.files import write_json, write_text, write_whole
from oilwater_jax.run_folder import RunFolder

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


def test_a_damaged_config_is_not_taken_for_an_empty_folder(tmp_path):
    open_folder(tmp_path / "run").close()
    (tmp_path / "run/config.json").write_text('{"attack": {"bud')
    with pytest.raises(
        UserError, match=r"config.json is damaged or missing; give another folder, or --overwrite"
    ):
        open_folder(tmp_path / "run")
    (tmp_path / "run/config.json").unlink()
    (tmp_path / "run/stages").mkdir()
    with pytest.raises(UserError, match="damaged or missing"):
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


def test_a_failing_write_leaves_the_old_file_and_nothing_beside(tmp_path):
    path = tmp_path / "f"
    write_text(path, "old")

    def fail(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_whole(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not (tmp_path / "x.json").exists()
