import json
import subprocess
import sys

import numpy as np
import pytest

from oilwater_jax.stages import Origin, Stage, Store, key_of, read_figures, read_metrics

KEY = "k1"
PRODUCT = Stage(
    {"flagged": np.array([True, False]), "loss": np.array([0.5, 0.25], np.float32)}, {"n_flagged": 1}
)


def test_a_finished_stage_comes_back(tmp_path):
    store = Store(tmp_path / "run", pytest.fail)
    assert store.finished("seed0/identify", KEY) is None
    store.finish("seed0/identify", KEY, PRODUCT)
    again = store.finished("seed0/identify", KEY)
    assert again is not None
    np.testing.assert_array_equal(again.arrays["flagged"], PRODUCT.arrays["flagged"])
    assert again.figures == {"n_flagged": 1}
    assert read_figures(tmp_path / "run") == {"seed0/identify": {"n_flagged": 1}}


@pytest.mark.parametrize("file", ["arrays.npz", "stage.json"])
@pytest.mark.parametrize("damage", ["truncate", "flip", "remove"])
def test_a_damaged_stage_counts_as_unfinished_and_is_named(tmp_path, file, damage):
    warnings = []
    store = Store(tmp_path / "run", warnings.append)
    store.finish("s", KEY, PRODUCT)
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
        path.write_text(json.dumps(json.loads(data) | {"figures": {}}))
    assert store.finished("s", KEY) is None
    if (file, damage) == ("stage.json", "remove"):
        assert warnings == []  # a stage that never finished looks the same
    else:
        assert "damaged" in warnings[0]
        assert "computed again" in warnings[0]


@pytest.mark.parametrize(
    "record",
    [
        '{"key": "k1", "figures": {"n_flagged": 2}, "sha256": "%s"}',
        "[]",
        '{"figures": {}}',
        '{"key": "k1", "figures": {"n_flagged": 1}}',
        '{"figures": {"n_flagged": 1}, "sha256": "%s"}',
    ],
)
def test_tampered_figures_are_noticed(tmp_path, record):
    warnings = []
    store = Store(tmp_path / "run", warnings.append)
    store.finish("s", KEY, PRODUCT)
    path = tmp_path / "run/stages/s/stage.json"
    sha256 = json.loads(path.read_text())["sha256"]
    path.write_text(record.replace("%s", sha256))
    assert store.finished("s", KEY) is None
    assert "computed again" in warnings[0]
    assert read_figures(tmp_path / "run").keys() <= {"s"}  # what looks at a folder goes on


def test_a_stage_of_another_key_is_computed_again_and_that_is_said(tmp_path):
    warnings = []
    store = Store(tmp_path / "run", warnings.append)
    store.finish("seed0/jtt", KEY, PRODUCT)
    assert store.finished("seed0/jtt", "k2") is None
    assert warnings == [
        f"{tmp_path / 'run/stages/seed0/jtt'} is of other settings, code or files than this run's; "
        "the stage is computed again"
    ]
    store.finish("seed0/jtt", "k2", PRODUCT._replace(figures={"n_flagged": 5}))
    again = store.finished("seed0/jtt", "k2")
    assert again is not None
    assert again.figures == {"n_flagged": 5}
    assert store.finished("seed0/jtt", KEY) is None  # it was replaced
    assert len(warnings) == 2


def test_a_key_that_was_written_into_another_stages_record_is_noticed(tmp_path):
    warnings = []
    store = Store(tmp_path / "run", warnings.append)
    store.finish("s", "k2", PRODUCT)
    path = tmp_path / "run/stages/s/stage.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"key": KEY}))
    assert store.finished("s", KEY) is None
    assert "its checksum differs" in warnings[0]
    assert "the stage is computed again" in warnings[0]


def test_a_stage_that_was_copied_over_another_is_noticed(tmp_path):
    warnings = []
    store = Store(tmp_path / "run", warnings.append)
    for name in ("seed0/jtt", "seed1/jtt"):  # of one key, which real stages never are
        store.finish(name, KEY, PRODUCT)
    for file in ("stage.json", "arrays.npz"):
        one, other = (tmp_path / f"run/stages/seed{seed}/jtt/{file}" for seed in (0, 1))
        other.write_bytes(one.read_bytes())
    assert store.finished("seed0/jtt", KEY) is not None
    assert store.finished("seed1/jtt", KEY) is None
    assert "holds the stage seed0/jtt; the stage is computed again" in warnings[0]
    assert read_figures(tmp_path / "run").keys() == {"seed0/jtt"}


def test_a_stage_of_another_version_or_other_data_is_said_to_be_one(tmp_path):
    warnings = []

    def store(data, version):
        origin = Origin(data, {"oilwater_jax": version})
        return Store(tmp_path / "run", warnings.append, origin=origin)

    store("d1", "0.4.0").finish("s", KEY, PRODUCT)
    assert store("d1", "0.4.0").finished("s", KEY) is not None
    assert store("d1", "0.5.0").finished("s", "k2") is None
    assert store("d2", "0.4.0").finished("s", "k2") is None
    assert store("d1", "0.4.0").finished("s", "k2") is None
    for warning, why in zip(
        warnings,
        (
            "was made by oilwater_jax 0.4.0, and this is 0.5.0",
            "is of other data",
            "is of other settings, code",
        ),
        strict=True,
    ):
        assert why in warning


@pytest.mark.parametrize("what", ["stage.json", "arrays.npz", "the stage"])
def test_a_folder_where_a_file_belongs_and_the_reverse_are_made_anew(tmp_path, what):
    store = Store(tmp_path / "run", lambda _: None)
    folder = tmp_path / "run/stages/s"
    folder.parent.mkdir(parents=True)
    if what == "the stage":
        folder.write_text("")
    else:
        (folder / what / "inner").mkdir(parents=True)
    assert store.finished("s", KEY) is None
    store.finish("s", KEY, PRODUCT)
    assert store.finished("s", KEY) is not None


def test_checkpoints_of_another_key_are_thrown_away(tmp_path):
    store = Store(tmp_path / "run", pytest.fail)
    folder = store.checkpoints("seed0/erm", KEY)
    (folder / "12").mkdir()
    (folder / "12" / "data").write_text("weights")
    assert store.checkpoints("seed0/erm", KEY) == folder
    assert (folder / "12" / "data").read_text() == "weights"
    other = store.checkpoints("seed0/erm", "k2")
    assert other == folder
    assert [path.name for path in folder.iterdir()] == ["key"]
    assert (folder / "key").read_text() == "k2"
    (folder / "3").mkdir()
    (folder / "key").unlink()  # nobody knows what they are of
    store.checkpoints("seed0/erm", "k2")
    assert [path.name for path in folder.iterdir()] == ["key"]


def test_an_npz_that_would_unpickle_is_refused(tmp_path):
    store = Store(tmp_path / "run", pytest.fail)
    with pytest.raises(ValueError, match=r"[Oo]bject arrays"):
        store.finish("s", KEY, Stage({"evil": np.array([print], dtype=object)}, {}))
    assert store.finished("s", KEY) is None


def test_metrics_of_a_stage_are_replaced_and_a_cut_row_is_passed_over(tmp_path):
    store = Store(tmp_path / "run", pytest.fail)
    store.begin_metrics("a", "a", [])
    for epoch in (1, 2):
        store.add_metrics("a", {"stage": "a", "epoch": epoch})
    store.add_metrics("b", {"stage": "b", "epoch": 1})
    with (tmp_path / "run/metrics.jsonl").open("a") as file:
        file.write('{"stage": "b", "ep')
    store.begin_metrics("a", "a", [{"stage": "a", "epoch": 1}])
    assert read_metrics(tmp_path / "run/metrics.jsonl") == [
        {"stage": "b", "epoch": 1},
        {"stage": "a", "epoch": 1},
    ]


def test_a_shared_store_tells_stages_apart_by_what_they_depend_on(tmp_path):
    store = Store(tmp_path, pytest.fail, shared=True)
    here, there = (store.place("seed0/erm", key_of({"lr": rate})) for rate in (0.1, 0.2))
    key = key_of({"lr": 0.1})
    store.finish(here, key, PRODUCT)
    assert store.finished(there, key_of({"lr": 0.2})) is None
    assert store.finished(store.place("seed0/erm", key), key) is not None
    assert store.metrics(here) != store.metrics(there)
    own = Store(tmp_path, pytest.fail)
    assert own.place("seed0/erm", "whatever") == "seed0/erm"


def test_a_key_depends_on_every_part_and_not_on_the_order_of_names():
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    assert len({key_of(1, 2), key_of(2, 1), key_of([1, 2]), key_of(1)}) == 4


def test_a_stage_is_held_by_one_process_at_a_time(tmp_path):
    store = Store(tmp_path, pytest.fail, shared=True)
    code = f"""
import sys, time
from pathlib import Path
from oilwater_jax.stages import Store
with Store(Path({str(tmp_path)!r}), print, shared=True).held("s"):
    print("held", flush=True)
    time.sleep(0.5)
    Path({str(tmp_path / "released")!r}).touch()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with store.held("s"):
            assert (tmp_path / "released").exists()
