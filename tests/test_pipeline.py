"""The whole run: what is shared, what is compiled, and that no moment of death changes a figure."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from counting import compilations

from oilwater_jax import data, pipeline
from oilwater_jax.errors import UserError
from oilwater_jax.settings import config as cfg

ROOT = Path(__file__).parent.parent
MAIN_JOB = str(ROOT / "configs/waterdigits/dlbd.py")
SMOKE = {"smoke": "true", "checkpoint.seconds": "0"}
COMMAND = ["run", f"--config={MAIN_JOB}", *(f"--config.{key}={value}" for key, value in SMOKE.items())]


def smoke(**changed):
    return cfg.load(MAIN_JOB, SMOKE | changed)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run folder that nothing happened to."""
    folder = tmp_path_factory.mktemp("pipeline") / "run"
    pipeline.run(smoke(), folder)
    return folder


def stages_of(folder):
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row["stage"] for row in rows]


def test_the_rows_of_a_seed_share_one_identification(undisturbed):
    names = stages_of(undisturbed)
    assert names.count("seed0/reference") == 1
    assert names.count("seed0/pretrain") == 1
    assert {path.name for path in (undisturbed / "stages/seed0").iterdir()} == {
        "attack",
        "jtt.found",
        "erm-on-clean",
        "erm",
        "jtt",
        "jtt.ideal",
        "jtt.worst",
    }


def test_a_second_seed_compiles_nothing_and_computes_only_itself(undisturbed, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    first = (folder / "stages/seed0/erm/arrays.npz").stat().st_mtime_ns
    alone = json.loads((folder / "summary.json").read_text())
    with compilations() as compiled:
        both = pipeline.run(smoke(), folder, seeds=2)
        back = pipeline.run(smoke(), folder, seeds=1)
    assert compiled == []
    assert (folder / "stages/seed0/erm/arrays.npz").stat().st_mtime_ns == first
    for name, row in both["rows"].items():
        assert row["asr_seeds"][0] == alone["rows"][name]["asr"]
    assert back == alone


def test_a_summary_of_other_seeds_does_not_pass_for_this_run(undisturbed, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline.Rooms, "walk", die)
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(smoke(), folder, seeds=2)
    assert not (folder / "summary.json").exists()


@pytest.mark.slow
def test_same_seed_same_figures_in_another_folder(undisturbed, tmp_path):
    pipeline.run(smoke(), tmp_path / "again")
    assert (tmp_path / "again/summary.json").read_bytes() == (undisturbed / "summary.json").read_bytes()


def test_lambda_up_1_is_erm(tmp_path):
    rows = pipeline.run(smoke(**{"jtt.lambda_up": "1"}), tmp_path / "run")["rows"]
    own = ("label", "aims", "alone", "oracle")  # what a row is, beside its figures
    figures = [{name: one for name, one in row.items() if name not in own} for row in rows.values()]
    assert figures[1] == figures[2] == figures[3] == figures[4]


def test_without_attack_poison_figures_are_undefined_not_wrong(tmp_path):
    config = smoke(**{"attack.name": "none", "rows": "erm,balanced,group_dro,jtt"})
    result = pipeline.run(config, tmp_path / "run")
    assert list(result["rows"]) == ["erm", "balanced", "group_dro", "jtt"]
    assert result["n_poison"] == 0
    assert result["found"]["jtt"]["idnf"]["poison"] is None
    assert result["rows"]["erm"]["asr"] is None


def test_the_bar_of_epochs_counts_each_stages_own(tmp_path, monkeypatch):
    """Pretraining happens inside the first stage that needs it; what follows must not keep its total."""
    seen = []
    stage, epoch = pipeline.Progress.stage, pipeline.Progress.epoch

    def noted_stage(self, name, epochs):
        seen.append(("total", name, epochs))
        stage(self, name, epochs)

    def noted_epoch(self, row):
        seen.append(("row", row["stage"], row["epoch"]))
        epoch(self, row)

    monkeypatch.setattr(pipeline.Progress, "stage", noted_stage)
    monkeypatch.setattr(pipeline.Progress, "epoch", noted_epoch)
    pipeline.run(smoke(rows="erm"), tmp_path / "run")
    totals, current = {}, None
    for kind, name, number in seen:
        if kind == "total":
            current, totals[name] = name, number
        else:
            assert name == current
    assert totals == {
        "seed0/attack": 0,
        "seed0/pretrain": 1,
        "seed0/erm": 2,
        "report": 0,
    }


DEFENDED = {"epic.ratio": "0.3", "pretrain.epochs": "0", "cnn.widths": "8,16"}


@pytest.mark.parametrize("row", ["epic+jtt", pytest.param("epic/george", marks=pytest.mark.slow)])
def test_epic_alone_and_combined(row, tmp_path):
    """What is eliminated is told of at the round and in the summary; a second seed compiles nothing."""
    method = row[5:]
    config = smoke(**DEFENDED | {"rows": f"erm,epic,{method},{row}"})
    pipeline.run(config, tmp_path / "run")
    with compilations() as compiled:
        result = pipeline.run(config, tmp_path / "run", seeds=2)
    assert compiled == []
    assert list(result["rows"]) == ["erm", "epic", method, row]
    metrics = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    slugs = {"epic": "epic", "epic+jtt": "epic-with-jtt"}
    for name, one in result["rows"].items():
        stage = slugs.get(name, name)
        told = [row["elmf"] for row in metrics if row["stage"] == f"seed1/{stage}" and "elmf" in row]
        rounds = [one["elmf"] for one in one["rounds_seeds"][1]]
        defended = "epic" in name
        if name in slugs:
            assert rounds == told
        assert len(rounds) == defended  # smoke's second epoch
        assert (one["elmf"]["hrg_1"] > 0) == defended
        if defended:
            assert one["elmf"]["hrg_1_seeds"][1] == rounds[-1]["hrg_1"]
            assert one["selected_epoch_seeds"] == [2, 2] or name == "epic/george"
    names = stages_of(tmp_path / "run")
    assert names.count("seed0/reference") == 1
    assert names.count("seed0/epic-then-reference") == (row == "epic/george")
    assert set(result["found"]) == {method} | ({row} if "/" in row else set())


@pytest.mark.slow
def test_epic_by_all_parameters_gradients(tmp_path):
    rows = {
        kind: pipeline.run(smoke(**DEFENDED | {"rows": "epic", "epic.gradients": kind}), tmp_path / kind)[
            "rows"
        ]["epic"]
        for kind in ("all", "last_layer")
    }
    assert 0 < rows["all"]["elmf"]["hrg_1"] < 1
    assert rows["all"]["elmf"] != rows["last_layer"]["elmf"]


@pytest.mark.parametrize("row", ["epic+jtt", "epic/jtt", "epic+george"])
def test_epic_without_a_round_is_no_defence(row, tmp_path):
    method = row[5:]
    config = smoke(**DEFENDED | {"rows": f"erm,epic,{method},{row}", "epic.stop_after": "0"})
    rows = pipeline.run(config, tmp_path / "run")["rows"]
    own = ("label", "aims", "alone")
    figures = {key: {name: one for name, one in row.items() if name not in own} for key, row in rows.items()}
    assert figures["epic"] == figures["erm"]
    assert figures[row] == figures[method]
    assert rows["epic"]["elmf"]["hrg_1"] == 0
    # Without a round, what EPIc leaves is known without training it.
    assert "seed0/epic" in stages_of(tmp_path / "run")


def test_what_comes_first_is_trained_only_where_rounds_look_at_a_model(tmp_path):
    """JTT's draws are known once it has looked: `jtt/epic` needs no training of `jtt`; `epic/jtt` one of `epic`."""
    result = pipeline.run(smoke(**DEFENDED | {"rows": "jtt/epic,epic/jtt"}), tmp_path / "run")
    names = set(stages_of(tmp_path / "run"))
    assert "seed0/jtt" not in names
    assert {"seed0/epic", "seed0/jtt-then-epic", "seed0/epic-then-jtt"} <= names
    draws = result["rows"]["jtt/epic"]["draws"]
    assert draws["poison"] > draws["hrg_1"]  # drawn more often by what came first


@pytest.mark.parametrize(
    ("attack", "method"),
    [
        ("gm", "george"),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in (("sa", "george"), ("gm", "jtt"))),
    ],
)
def test_every_attack_and_method_end_to_end(attack, method, tmp_path):
    """Two seeds, of which the second compiles nothing; the same bytes from a run cut after the first."""
    changed = {"attack.name": attack, "data.auxiliary": "0.3", "pretrain.epochs": "0", "cnn.widths": "8,16"}
    changed |= {"rows": f"erm,{method},{method}:ideal,{method}:worst"}
    changed |= {
        "sa.alpha": "0.3"
    }  # few enough that no seed's training set crosses a multiple of feed.CAPACITY_STEP
    pipeline.run(smoke(**changed), tmp_path / "cut")
    with compilations() as compiled:
        result = pipeline.run(smoke(**changed), tmp_path / "cut", seeds=2)
    assert compiled == []
    assert list(result["rows"]) == ["erm", method, f"{method}:ideal", f"{method}:worst"]
    success = next(iter(result["measures"]))
    assert success == {"sa": "target_damage", "gm": "asr"}[attack]
    for row in result["rows"].values():
        assert -1 <= row[success] <= 1
        assert len(row[f"{success}_seeds"]) == 2
    assert (tmp_path / "cut/figures/poisons.png").exists()
    pipeline.run(smoke(**changed), tmp_path / "whole", seeds=2)
    assert (tmp_path / "whole/summary.json").read_bytes() == (tmp_path / "cut/summary.json").read_bytes()


def test_gm_targets_are_out_of_the_accuracies(tmp_path):
    config = smoke(**{"attack.name": "gm", "pretrain.epochs": "0", "rows": "erm", "cnn.widths": "8,16"})
    result = pipeline.run(config, tmp_path / "run")
    stage = tmp_path / "run/stages/seed0"
    targets = np.load(stage / "attack/arrays.npz")["evidence.targets"]
    logits = np.load(stage / "erm/arrays.npz")["logits"]
    test = data.load("waterdigits", smoke=True).test
    right = np.delete(logits.argmax(-1) == test.true_label, targets)
    assert len(targets) == 2
    assert result["rows"]["erm"]["acc"] == pytest.approx(right.mean(), abs=1e-12)


def test_methods_may_only_look(tmp_path):
    result = pipeline.run(smoke(rows="", look="jtt,george"), tmp_path / "run")
    assert result["rows"] == {}
    assert 0 <= result["found"]["jtt"]["idnf"]["poison"] <= 1
    assert set(result["found"]) == {"jtt", "george"}
    assert (tmp_path / "run/figures/flagged_george.png").exists()
    assert (tmp_path / "run/figures/looked_at_george.png").exists()
    assert (tmp_path / "run/report.html").exists()


def test_table_on_the_validation_split(tmp_path):
    result = pipeline.run(smoke(evaluate="val", rows="erm"), tmp_path / "run")
    assert result["split"] == "val"
    (row,) = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()][-1:]
    logits = np.load(tmp_path / "run/stages/seed0/erm/arrays.npz")["logits"]
    assert len(logits) == len(data.load("waterdigits", smoke=True).val)
    assert result["rows"]["erm"]["wga"] >= row["val_wga"] or result["rows"]["erm"][
        "selected_epoch_seeds"
    ] == [1]


def test_a_damaged_stage_and_checkpoint_are_mended_with_the_same_figures(undisturbed, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    arrays = folder / "stages/seed0/jtt.found/arrays.npz"
    arrays.write_bytes(arrays.read_bytes()[:100])
    newest = max((folder / "checkpoints/seed0/reference").glob("[0-9]*"))
    for file in newest.rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    (folder / "summary.json").unlink()
    pipeline.run(smoke(), folder)
    assert (folder / "summary.json").read_bytes() == (undisturbed / "summary.json").read_bytes()
    warned = capsys.readouterr().err
    assert "arrays.npz is damaged" in warned
    assert "is damaged" in warned.replace("arrays.npz is damaged", "")


def test_nan_loss_names_the_step_and_keeps_the_checkpoint(tmp_path):
    config = smoke(**{"robust.learning_rate": "1000", "robust.weight_decay": "1000"})
    with pytest.raises(UserError, match=r"seed0/jtt.*: the loss is (nan|inf) at step \d+ of epoch \d"):
        pipeline.run(config, tmp_path / "run")
    assert (tmp_path / "run/stages/seed0/erm/stage.json").exists()
    assert not (tmp_path / "run/summary.json").exists()


def start(folder, script=None):
    head = [sys.executable, "-c", script] if script else [sys.executable, "-m", "oilwater_jax"]
    return subprocess.Popen(
        [*head, *COMMAND, f"--workdir={folder}"], cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )


def kill_after_rows(folder, rows, delay):
    """Start the run and kill it once metrics.jsonl has that many rows, and `delay` seconds more have passed."""
    process = start(folder)
    path = folder / "metrics.jsonl"
    while process.poll() is None and not (path.exists() and path.read_bytes().count(b"\n") >= rows):
        time.sleep(0.002)
    time.sleep(delay)
    process.kill()
    process.communicate()
    return process.returncode


IN_A_SAVE = """
import os, signal, sys
from orbax.checkpoint._src.path import atomicity
saves = 0
def die(self, *args, **kwargs):  # all files are written, the rename is not done
    global saves
    saves += 1
    if saves == 9:
        os.kill(os.getpid(), signal.SIGKILL)
    return finalize(self, *args, **kwargs)
finalize, atomicity.AtomicRenameTemporaryPath.finalize = atomicity.AtomicRenameTemporaryPath.finalize, die
from oilwater_jax.cli import main
main(sys.argv[1:])
"""

SIGTERM_AT = """
import os, signal, sys
from oilwater_jax.stages import Store
calls = 0
def term(self, *args):
    global calls
    calls += 1
    if calls == {number}:
        os.kill(os.getpid(), signal.SIGTERM)
    return before(self, *args)
before, Store.{where} = Store.{where}, term
from oilwater_jax.cli import main
main(sys.argv[1:])
"""

MOMENTS = np.random.default_rng(int(os.environ.get("OILWATER_KILL_SEED", "0")))


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("random 1", marks=pytest.mark.slow),
        pytest.param("random 2", marks=pytest.mark.slow),
        "inside a checkpoint write",
    ],
)
def test_kill_9_then_the_same_command_gives_the_same_bytes(moment, undisturbed, tmp_path):
    folder = tmp_path / "run"
    if moment.startswith("random"):
        code = kill_after_rows(folder, int(MOMENTS.integers(1, 11)), MOMENTS.uniform(0, 0.2))
    else:
        process = start(folder, IN_A_SAVE)
        process.communicate()
        code = process.returncode
        assert list((folder / "checkpoints").rglob("*tmp*"))
    assert code == -signal.SIGKILL
    assert not (folder / "summary.json").exists()
    process = start(folder)
    _, err = process.communicate()
    assert process.returncode == 0, err.decode()
    assert (folder / "summary.json").read_bytes() == (undisturbed / "summary.json").read_bytes()
    assert sorted(stages_of(folder)) == sorted(stages_of(undisturbed))


@pytest.mark.slow
def test_sigterm_then_the_same_command_gives_the_same_bytes(undisturbed, tmp_path):
    folder = tmp_path / "run"
    # Within an epoch, then as a stage is about to be written.
    for where, number, rows in (("add_metrics", 3, 3), ("finish", 1, None)):
        process = start(folder, SIGTERM_AT.format(where=where, number=number))
        _, err = process.communicate()
        assert process.returncode == 75, err.decode()
        last = err.decode().splitlines()[-1]
        assert (
            last == "oilwater: preempted (SIGTERM); run the same command to resume from the last checkpoint"
        )
        assert "Traceback" not in err.decode()
        assert not (folder / "summary.json").exists()
        assert not list(folder.rglob("*tmp*"))
        if rows:
            assert len(stages_of(folder)) == rows
    process = start(folder)
    _, err = process.communicate()
    assert process.returncode == 0, err.decode()
    assert (folder / "summary.json").read_bytes() == (undisturbed / "summary.json").read_bytes()
    assert sorted(stages_of(folder)) == sorted(stages_of(undisturbed))
