import json

import numpy as np
import pytest

from oilwater_jax.errors import UserError
from oilwater_jax.files import write_json, write_text, write_whole
from oilwater_jax.run_folder import RunFolder, Stage, read_figures, read_metrics

CONFIG = {"attack": {"budget": 0.01, "name": "dlbd"}}
PRODUCT = Stage(
    {"flagged": np.array([True, False]), "loss": np.array([0.5, 0.25], np.float32)}, {"n_flagged": 1}
)


def open_folder(path, config=None, *, overwrite=False, warn=pytest.fail):
    return RunFolder.open(path, config or CONFIG, overwrite=overwrite, warn=warn)


def test_a_finished_stage_comes_back(tmp_path):
    folder = open_folder(tmp_path / "run")
    assert folder.finished("seed0/identify") is None
    folder.finish("seed0/identify", PRODUCT)
    again = folder.finished("seed0/identify")
    assert again is not None
    np.testing.assert_array_equal(again.arrays["flagged"], PRODUCT.arrays["flagged"])
    assert again.figures == {"n_flagged": 1}
    assert read_figures(tmp_path / "run") == {"seed0/identify": {"n_flagged": 1}}


@pytest.mark.parametrize("file", ["arrays.npz", "stage.json"])
@pytest.mark.parametrize("damage", ["truncate", "flip", "remove"])
def test_a_damaged_stage_counts_as_unfinished_and_is_named(tmp_path, file, damage):
    warnings = []
    folder = open_folder(tmp_path / "run", warn=warnings.append)
    folder.finish("s", PRODUCT)
    path = tmp_path / "run/stages/s" / file
    data = path.read_bytes()
    if damage == "remove":
        path.unlink()
    else:
        half = len(data) // 2
        path.write_bytes(
            data[:half] + (bytes([data[half] ^ 1]) + data[half + 1 :] if damage == "flip" else b"")
        )
    if (file, damage) == ("stage.json", "flip"):
        path.write_text(json.dumps({"figures": {}, "sha256": "0" * 64}))
    assert folder.finished("s") is None
    if (file, damage) == ("stage.json", "remove"):
        assert warnings == []  # a stage that never finished looks the same
    else:
        assert "damaged" in warnings[0]
        assert "computed again" in warnings[0]


@pytest.mark.parametrize("record", ['{"figures": {"n_flagged": 2}, "sha256": "%s"}', "[]", '{"figures": {}}'])
def test_tampered_figures_are_noticed(tmp_path, record):
    warnings = []
    folder = open_folder(tmp_path / "run", warn=warnings.append)
    folder.finish("s", PRODUCT)
    path = tmp_path / "run/stages/s/stage.json"
    sha256 = json.loads(path.read_text())["sha256"]
    path.write_text(record.replace("%s", sha256))
    assert folder.finished("s") is None
    assert "computed again" in warnings[0]


def test_an_npz_that_would_unpickle_is_refused(tmp_path):
    folder = open_folder(tmp_path / "run")
    with pytest.raises(ValueError, match=r"[Oo]bject arrays"):
        folder.finish("s", Stage({"evil": np.array([print], dtype=object)}, {}))
    assert folder.finished("s") is None


def test_a_second_process_is_refused(tmp_path):
    first = open_folder(tmp_path / "run")
    with pytest.raises(UserError, match="is held by another oilwater process"):
        open_folder(tmp_path / "run")
    first.close()
    open_folder(tmp_path / "run").close()


def test_another_config_is_refused_with_its_keys_and_overwrite_starts_anew(tmp_path):
    folder = open_folder(tmp_path / "run")
    folder.finish("s", PRODUCT)
    folder.close()
    other = {"attack": {"budget": 0.02, "name": "dlbd"}}
    with pytest.raises(UserError, match=r"another config \(attack.budget: 0.01 -> 0.02\).*--overwrite"):
        open_folder(tmp_path / "run", other)
    folder = open_folder(tmp_path / "run", other, overwrite=True)
    assert folder.finished("s") is None
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


def test_metrics_of_a_stage_are_replaced_and_a_cut_row_is_passed_over(tmp_path):
    folder = open_folder(tmp_path / "run")
    folder.begin_metrics("a", [])
    for epoch in (1, 2):
        folder.add_metrics({"stage": "a", "epoch": epoch})
    folder.add_metrics({"stage": "b", "epoch": 1})
    with (tmp_path / "run/metrics.jsonl").open("a") as file:
        file.write('{"stage": "b", "ep')
    folder.begin_metrics("a", [{"stage": "a", "epoch": 1}])
    assert read_metrics(tmp_path / "run") == [{"stage": "b", "epoch": 1}, {"stage": "a", "epoch": 1}]


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
