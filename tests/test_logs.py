"""Logs of epochs for other tools: each epoch once, whatever was cut off; read back by TensorBoard's own reader."""

import importlib
import importlib.util
import json
from pathlib import Path

import pytest

from oilwater_jax import cli, pipeline
from oilwater_jax.errors import UserError
from oilwater_jax.executors import make
from oilwater_jax.frontier import run as frontier
from oilwater_jax.reporting import logs
from oilwater_jax.reporting.progress import Progress
from oilwater_jax.settings import config as cfg
from oilwater_jax.settings.config import Grid
from oilwater_jax.stages import Store, read_metrics
from oilwater_jax.study import run as study
from oilwater_jax.sweep import sweep

READABLE = all(importlib.util.find_spec(name) for name in ("tensorboardX", "tensorboard"))
KINDS = ("jsonl", "tensorboard") if READABLE else ("jsonl",)
TINY = {"smoke": True, "rows": "erm,jtt", "pretrain.epochs": 0, "cnn.widths": "8", "checkpoint.seconds": 0}


def row(epoch, place="seed0/jtt"):
    return {
        "stage": place,
        "seed": 0,
        "epoch": epoch,
        "loss": 1 / epoch,
        "set_draws": {"lrg_1": 4.0, "poison": None},
    }


def lines(folder: Path, place="seed0/jtt"):
    return [json.loads(line) for line in (folder / f"log/jsonl/{place}.jsonl").read_text().splitlines()]


def events(folder: Path, place="seed0/jtt"):
    """Steps and values by tag, as TensorBoard reads them, with every event that is in the files."""
    reader = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    path = folder / "log/tensorboard" / place
    assert len(list(path.iterdir())) == 1
    found = reader.EventAccumulator(str(path), purge_orphaned_data=False).Reload()
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def test_figures_are_the_finite_numbers_of_a_row():
    whole = {
        "stage": "seed0/jtt",
        "seed": 0,
        "epoch": 3,
        "loss": 0.5,
        "val_by_group": [1.0, None, 0.25],
        "set_draws": {"lrg_1": 4, "poison": None},
        "bad": float("nan"),
        "text": "no figure",
    }
    assert logs.figures(whole) == {
        "loss": 0.5,
        "val_by_group/0": 1.0,
        "val_by_group/2": 0.25,
        "set_draws/lrg_1": 4.0,
    }


@pytest.mark.parametrize("shared", [False, True])
def test_a_resumed_training_has_each_epoch_once(shared, tmp_path):
    first = Store(tmp_path, pytest.fail, shared=shared, log=KINDS)
    place = first.place("seed0/jtt", "key")
    first.begin_metrics(place, "seed0/jtt", [])
    for epoch in (1, 2, 3):
        first.add_metrics(place, row(epoch))
    assert [one["epoch"] for one in lines(tmp_path, place)] == [1, 2, 3]  # while it is still open
    # Killed here, its last checkpoint of epoch 1; the same command goes on.
    again = Store(tmp_path, pytest.fail, shared=shared, log=KINDS)
    again.begin_metrics(place, "seed0/jtt", [row(1)])
    again.add_metrics(place, row(2))
    again.logs.close()
    assert [(one["epoch"], one["loss"], one["set_draws/lrg_1"]) for one in lines(tmp_path, place)] == [
        (1, 1.0, 4.0),
        (2, 0.5, 4.0),
    ]
    if READABLE:
        seen = {"loss": [(1, 1.0), (2, 0.5)], "set_draws/lrg_1": [(1, 4.0), (2, 4.0)]}
        assert events(tmp_path, place) == seen


def test_logs_that_are_asked_for_later_have_what_was_before(tmp_path):
    store = Store(tmp_path, pytest.fail)
    for place in ("seed0/erm", "seed0/jtt"):
        store.begin_metrics(place, place, [row(1, place), row(2, place)])
    assert not (tmp_path / "log").exists()
    later = Store(tmp_path, pytest.fail, log=("jsonl",))
    later.fill_logs()
    assert [one["epoch"] for one in lines(tmp_path, "seed0/erm")] == [1, 2]
    file = tmp_path / "log/jsonl/seed0/erm.jsonl"
    file.write_text(file.read_text() + "\n")
    later.fill_logs()  # what is there stays as it is
    assert file.read_text().endswith("\n\n")


def same_as_metrics(folder: Path, kinds):
    rows = read_metrics(folder / "metrics.jsonl")
    for place in {one["stage"] for one in rows}:
        expected = [(one["epoch"], one["loss"]) for one in rows if one["stage"] == place]
        assert [epoch for epoch, _ in expected] == list(range(1, len(expected) + 1))
        if "jsonl" in kinds:
            assert [(one["epoch"], one["loss"]) for one in lines(folder, place)] == expected
        if "tensorboard" in kinds:
            assert events(folder, place)["loss"] == [(epoch, pytest.approx(loss)) for epoch, loss in expected]
    return rows


def test_a_run_that_is_cut_off_and_gone_on_with(tmp_path, monkeypatch):
    config = cfg.checked(cfg.default(), TINY)

    class Cut(Exception):
        pass

    def cut(self, row):
        if (row["stage"], row["epoch"]) == ("seed0/jtt", 1):
            raise Cut

    with monkeypatch.context() as patched:
        patched.setattr(Progress, "epoch", cut)
        with pytest.raises(Cut):
            pipeline.run(config, tmp_path / "cut", log=KINDS)
    assert [one["epoch"] for one in lines(tmp_path / "cut")] == [1]
    pipeline.run(config, tmp_path / "cut", log=KINDS)
    assert len(same_as_metrics(tmp_path / "cut", KINDS)) == 5  # erm 2, reference 1, jtt 2
    # A finished run that is looked at with another kind of log gets that, and nothing else changes.
    before = (tmp_path / "cut/summary.json").stat().st_mtime_ns
    pipeline.run(config, tmp_path / "plain")
    pipeline.run(config, tmp_path / "plain", log=("jsonl",))
    same_as_metrics(tmp_path / "plain", ("jsonl",))
    assert (tmp_path / "cut/summary.json").stat().st_mtime_ns == before
    assert (tmp_path / "cut/summary.json").read_bytes() == (tmp_path / "plain/summary.json").read_bytes()


def same_as_shared_metrics(folder: Path):
    """The trainings of a sweep's folder, each of whose epochs is in its log once."""
    root = folder / "metrics"
    places = sorted(str(path.relative_to(root)).removesuffix(".jsonl") for path in root.rglob("*.jsonl"))
    for place in places:
        expected = [(one["epoch"], one["loss"]) for one in read_metrics(root / f"{place}.jsonl")]
        assert [epoch for epoch, _ in expected] == list(range(1, len(expected) + 1))
        assert [(one["epoch"], one["loss"]) for one in lines(folder, place)] == expected
    return places


def test_a_sweep_has_a_log_for_every_training(tmp_path):
    grid = Grid({"one": cfg.checked(cfg.default(), TINY)}, seeds=1)
    assert sweep(grid, tmp_path, executor=make("processes", workers=1), log=("jsonl",)) == {}
    assert len(same_as_shared_metrics(tmp_path)) == 3


def test_a_frontier_has_a_log_for_every_training(tmp_path):
    """Both splits, and settings that differ in lambda_up alone, share a reference: it is logged once."""
    config = cfg.checked(cfg.default(), {**TINY, "rows": "jtt"})
    dial = ["jtt.lambda_up=2,3", "identify.epochs="]
    frontier.run(config, tmp_path, dial=dial, executor=make("processes", workers=1), log=("jsonl",))
    places = [place.rpartition("-")[0] for place in same_as_shared_metrics(tmp_path)]
    assert sorted(places) == ["seed0/erm", "seed0/jtt", "seed0/jtt", "seed0/reference"]
    # A finished one that is looked at with another kind of log gets that, of every training.
    (tmp_path / "log/jsonl").rename(tmp_path / "before")
    frontier.run(config, tmp_path, dial=dial, finished=True, log=("jsonl",))
    assert len(same_as_shared_metrics(tmp_path)) == 4


def test_a_study_has_a_log_of_its_training(tmp_path):
    config = cfg.checked(cfg.default(), TINY)
    study.run(config, tmp_path, log=("jsonl",))
    rows = same_as_metrics(tmp_path, ("jsonl",))
    assert {one["stage"] for one in rows} == {"seed0/study"}


@pytest.mark.parametrize("command", ["run", "study", "sweep", "frontier"])
def test_every_command_that_trains_takes_logs(command, tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main([command, "--config=waterdigits/dlbd", f"--workdir={tmp_path / 'x'}", "--log=wandb"])
    assert exit_.value.code == 2
    assert capsys.readouterr().err.startswith("oilwater: error: --log=wandb: unknown")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "tensorbord",
            r"--log=tensorbord: unknown; did you mean tensorboard\? \(known: tensorboard, jsonl\)",
        ),
        ("jsonl,wandb", r"--log=wandb: unknown \(known"),
    ],
)
def test_an_unknown_log_is_one_line(text, message):
    with pytest.raises(UserError, match=message):
        logs.parse(text)


def test_a_log_whose_package_is_not_there(monkeypatch):
    monkeypatch.setattr(logs.TensorBoard, "needs", "no_such_module")
    with pytest.raises(UserError, match=r"--log=tensorboard needs no_such_module.*oilwater_jax\[log\]"):
        logs.parse("tensorboard")
    assert logs.parse(" jsonl,,jsonl") == ("jsonl",)
