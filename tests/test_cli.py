"""The command as a user meets it: good input, bad input, and answers that must come at once."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oilwater_jax import __version__, cli, preemption
from oilwater_jax.settings.registry import known

ROOT = Path(__file__).parent.parent
MAIN_JOB = str(ROOT / "configs/waterdigits/dlbd.py")


def oilwater(*arguments):
    """Run the command in a process of its own: (exit code, standard output, standard error, seconds)."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "oilwater_jax", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    return done.returncode, done.stdout, done.stderr, time.monotonic() - began


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--help"], "examples:"),
        (["run", "--help"], "--overwrite"),
        (["show", "--help"], "unfinished run"),
        (["study", "--help"], "scores.npz"),
        (["sweep", "--help"], "--workers"),
        (["table", "--help"], "idnf.poison"),
        (["--version"], __version__),
        (["check", "--help"], "Exit code 1"),
        ([], "COMMAND"),
    ],
)
def test_help_answers_at_once(arguments, expected):
    code, out, _, seconds = oilwater(*arguments)
    assert code == 0
    assert expected in out
    assert seconds < 1  # 0.1 s on a quiet machine


def test_help_imports_no_jax():
    for arguments in (["--help"], ["--version"], ["run", "--help"]):
        script = f"import sys; from oilwater_jax import cli\ntry: cli.main({arguments!r})\n"
        script += "except SystemExit: pass\nsys.exit('jax' in sys.modules or 'numpy' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=ROOT)
        assert done.returncode == 0


def test_the_package_imports_no_jax_before_it_is_needed():
    script = "import sys, oilwater_jax as ow; dir(ow); ow.Field; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT).returncode == 0


def test_help_config_names_every_field_with_its_default(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "300")
    with pytest.raises(SystemExit):
        cli.main(["run", "--help-config"])
    out = capsys.readouterr().out
    for key, field in known().fields.items():
        default = (
            ",".join(map(str, field.default)) if isinstance(field.default, tuple) else str(field.default)
        )
        assert re.search(rf"{re.escape(key)}\s.*{re.escape(default)}", out), key
    for name in (*known().names("method"), *known().names("attack")):
        assert re.search(rf"^.*\b{name}\b", out, re.MULTILINE)


def test_help_config_is_filtered_and_fits_a_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        cli.main(["run", "--help-config", "epic."])
    out = capsys.readouterr().out
    assert "epic.stop_after" in out
    assert "jtt.lambda_up" not in out
    assert max(map(len, out.splitlines())) <= 80
    with pytest.raises(SystemExit):
        cli.main(["run", "--help-config"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
    assert "no field starts with this" in fail(capsys, "run", "--help-config", "nothing.")
    with pytest.raises(SystemExit):
        cli.main(["run", "--help-config=trim", f"--plugins={ROOT / 'tests/own/trim.py'}"])
    assert "trim.share" in capsys.readouterr().out


def fail(capsys, *arguments):
    """The one line on standard error of a command that must exit with code 2."""
    with pytest.raises(SystemExit) as caught:
        cli.main([str(argument) for argument in arguments])
    err = capsys.readouterr().err
    assert caught.value.code == 2
    assert err.startswith("oilwater: error: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rum"], "invalid choice: 'rum'"),
        (["run"], "run needs --config="),
        (["run", "--config", MAIN_JOB], "run needs --workdir="),
        (["run", "--seed", "3"], "unrecognized arguments"),
        (["run", "--config.attack.budget"], "--config.attack.budget needs a value"),
        (["run", "--config", MAIN_JOB, "--workdir", "x", "--seeds", "0"], "--seeds=0 is out of range"),
        (["run", "--config", MAIN_JOB, "--workdir", "x", "--seeds", "two"], "invalid int value: 'two'"),
        (["show", "no/such/folder"], "is not a run folder"),
        (["sweep"], "sweep needs --config="),
        (["study"], "study needs --config="),
        (["study", "--config", MAIN_JOB, "--workdir", "x", "--seeds", "0"], "--seeds=0 is out of range"),
        (
            ["study", "--config", MAIN_JOB, "--workdir", "x", "--config.study.epochs=0"],
            "study.epochs = 0 is out of range",
        ),
        (["sweep", "--config=x.py", "--workdir=x", "--seeds=0"], "--seeds=0 is out of range"),
        (["sweep", "--config=x.py", "--workdir=x", "--workers=-1"], "--workers=-1 is out of range"),
        (["sweep", "--config", MAIN_JOB, "--workdir", "x"], "has no function get_grid()"),
        (["table", "no/such/folder"], "is neither a run's folder nor a sweep's"),
        (["report", "no/such/folder"], "is neither a run's folder nor a sweep's"),
        (["report"], "the following arguments are required: DIR"),
        (["table", "x", "--format=pdf"], "invalid choice: 'pdf'"),
    ],
)
def test_bad_arguments(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in fail(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("attack.budgt=0.1", "did you mean attack.budget?"),
        ("attack.budget=0.0001", "is 0 poisons"),
        ("attack.budget=0.9", "has 3498 samples"),
        ("train.batch=5000", "train.batch = 5000 is more than the 4795 training samples"),
        ("attack.target=5", "the classes are 0 to 1"),
        ("attack.source_group=2", "is of the target class 1"),
        ("dlbd.size=40", "reach outside images of 32 pixels"),
    ],
)
def test_bad_settings_write_nothing(override, message, capsys, tmp_path):
    run = tmp_path / "run"
    error = fail(capsys, "run", f"--config={MAIN_JOB}", f"--workdir={run}", f"--config.{override}")
    assert message in error
    assert not run.exists()


@pytest.fixture(scope="module")
def smoke_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "run"
    done = oilwater(
        "run", f"--config={MAIN_JOB}", f"--workdir={folder}", "--config.smoke", "true", "--seeds=2"
    )
    return folder, done


def test_a_run_prints_the_table_and_leaves_the_folder(smoke_run):
    folder, (code, out, err, _) = smoke_run
    assert code == 0, err
    for words in (
        "ERM on clean data",
        "JTT worst",
        "untriggered",
        "IDNF",
        "draws per epoch",
        "SMOKE RUN",
        "2 seeds",
        "±",
    ):
        assert words in out
    assert "seed1/jtt.ideal" in err  # a line per stage where there is no terminal for bars
    expected = {"config.json", "environment.json", "metrics.jsonl", "summary.json", "report.html"}
    assert expected | {"stages", "checkpoints", "figures"} <= {path.name for path in folder.iterdir()}
    assert {path.name for path in (folder / "figures").iterdir()} == {
        "flagged_jtt.png",
        "looked_at_jtt.png",
        "poisons.png",
        "rates.png",
    }
    assert "data:image/png" in (folder / "report.html").read_text()
    assert not list(folder.rglob("*tmp*"))


def test_summary_has_the_promised_shape(smoke_run):
    summary = json.loads((smoke_run[0] / "summary.json").read_text())
    assert list(summary["rows"]) == ["erm@clean", "erm", "jtt", "jtt:ideal", "jtt:worst"]
    for row in summary["rows"].values():
        for name in ("acc", "acc_adjusted", "wga", "asr", "asr_untriggered"):
            assert 0 <= row[name] <= 1
            assert len(row[f"{name}_seeds"]) == 2
            assert row[name] == pytest.approx(sum(row[f"{name}_seeds"]) / 2)
        assert row["group_acc"][row["worst_group"]] == min(row["group_acc"])
        assert {"poison", "lrg_1", "lrg_2", "hrg_1", "hrg_2"} <= set(row["draws"])
    assert summary["rows"]["erm"]["draws"]["poison_seeds"] == [1.0, 1.0]
    assert summary["rows"]["jtt:ideal"]["draws"]["poison"] <= 1
    assert {"poison", "lrg_1", "hrg_1"} <= set(summary["found"]["jtt"]["idnf"])
    assert summary["seeds"] == [0, 1]
    assert summary["smoke"]
    assert (summary["n_train"], summary["n_poison"]) == (513, 5)


def test_metrics_have_a_row_per_epoch(smoke_run):
    rows = [json.loads(line) for line in (smoke_run[0] / "metrics.jsonl").read_text().splitlines()]
    counts = {}
    for row in rows:
        counts[row["stage"]] = counts.get(row["stage"], 0) + 1
    assert counts["seed0/pretrain"] == counts["seed1/pretrain"] == 1
    assert counts["seed0/reference"] == 1
    assert counts["seed1/jtt.worst"] == 2
    for row in rows:
        if not row["stage"].endswith("/pretrain"):
            assert len(row["val_by_group"]) == 4
            assert row["set_draws"]["hrg_1"] >= 0
            assert min(row["val_by_group"]) == pytest.approx(row["val_wga"])


def test_the_same_command_again_computes_nothing_and_prints_the_same(smoke_run):
    folder, (_, out, _, _) = smoke_run
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and "checkpoints" not in p.parts}
    code, again, _, _ = oilwater(
        "run", f"--config={MAIN_JOB}", f"--workdir={folder}", "--config.smoke=true", "--seeds=2"
    )
    assert code == 0
    assert again == out
    # environment.json and report.html too: looking at a finished run is no run.
    assert before == {
        p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and "checkpoints" not in p.parts
    }


def test_show_prints_a_finished_and_an_unfinished_run(smoke_run, tmp_path):
    folder, (_, out, _, _) = smoke_run
    code, shown, _, _ = oilwater("show", folder)
    assert (code, shown) == (0, out)
    unfinished = tmp_path / "unfinished"
    for part in (
        "config.json",
        "metrics.jsonl",
        "stages/seed0/attack/stage.json",
        "stages/seed0/erm/stage.json",
    ):
        (unfinished / part).parent.mkdir(parents=True, exist_ok=True)
        (unfinished / part).write_bytes((folder / part).read_bytes())
    code, shown, _, _ = oilwater("show", unfinished)
    assert code == 0
    assert "ERM " in shown
    assert "JTT" not in shown
    assert "unfinished; last: seed1/jtt.worst, epoch 2" in shown


def test_another_config_in_the_same_folder(smoke_run, capsys):
    error = fail(capsys, "run", f"--config={MAIN_JOB}", f"--workdir={smoke_run[0]}")
    assert "smoke: True -> False" in error
    assert "--overwrite" in error


def test_a_full_disk_is_one_line(monkeypatch, capsys, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device", "stages/x/arrays.npz")

    monkeypatch.setattr("oilwater_jax.run_folder.write_json", full)
    error = fail(
        capsys, "run", f"--config={MAIN_JOB}", f"--workdir={tmp_path / 'run'}", "--config.smoke=true"
    )
    assert "cannot write stages/x/arrays.npz: No space left on device; free some disk space" in error


def test_interrupted(monkeypatch, capsys):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "dispatch", interrupt)
    with pytest.raises(SystemExit) as caught:
        cli.main([])
    assert caught.value.code == 130
    assert "resume from the last checkpoint" in capsys.readouterr().err


def test_preempted_has_a_code_of_its_own(monkeypatch, capsys):
    def preempt(_):
        raise preemption.Preempted

    monkeypatch.setattr(cli, "dispatch", preempt)
    with pytest.raises(SystemExit) as caught:
        cli.main([])
    assert caught.value.code == 75
    assert capsys.readouterr().err.splitlines() == [
        "oilwater: preempted (SIGTERM); run the same command to resume from the last checkpoint"
    ]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--processes=2"], "--processes needs the others of --coordinator=HOST:PORT"),
        (["--coordinator=here", "--processes=2", "--process=0"], "--coordinator=here is not HOST:PORT"),
        (["--coordinator=h:99999", "--processes=2", "--process=0"], "--coordinator=h:99999 is not HOST:PORT"),
        (["--coordinator=h:1", "--processes=2", "--process=2"], "--process=2 is out of range (0 .. N-1"),
        (["--coordinator=h:1", "--processes=0", "--process=0"], "--process=0 is out of range"),
        (["--cluster", "--process=0"], "--cluster and --process exclude each other"),
    ],
)
def test_which_of_several_processes_this_is(options, complaint, tmp_path, capsys):
    folder = tmp_path / "run"
    assert complaint in fail(capsys, "run", f"--config={MAIN_JOB}", f"--workdir={folder}", *options)
    assert not folder.exists()


def test_an_address_is_no_folder(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error = fail(capsys, "run", f"--config={MAIN_JOB}", "--workdir=gs://bucket/run")
    assert "--workdir=gs://bucket/run is an address, and results are kept in local folders" in error
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_an_older_version_is_told_apart(capsys, tmp_path):
    (tmp_path / "config.json").write_text('{"method": {"name": "jtt"}}')
    (tmp_path / "summary.json").write_text('{"rows": {"erm_clean": {}}, "idnf": {}, "seeds": [0]}')
    assert "holds a run of version 0.4 or older" in fail(capsys, "show", tmp_path)


def test_own_modules_of_every_kind_in_one_run(tmp_path):
    """A network, a data set, an attack, a method and a defence of one's own, by names alone."""
    own = ROOT / "tests/own"
    plugins = ",".join(str(own / f"{name}.py") for name in ("trim", "hard", "flip", "stripes", "line"))
    settings = {
        "data.name": "stripes",
        "attack.name": "flip",
        "model.name": "line",
        "pretrain.epochs": "0",
        "erm.epochs": "2",
        "robust.epochs": "2",
        "identify.epochs": "1",
        "rows": "erm@clean,erm,hard,trim,trim+hard,trim/hard,hard:ideal",
        "trim.share": "0.1",
        "flip.count": "30",
    }
    folder = tmp_path / "run"
    code, out, err, _ = oilwater(
        "run",
        f"--config={MAIN_JOB}",
        f"--plugins={plugins}",
        f"--workdir={folder}",
        *(f"--config.{key}={value}" for key, value in settings.items()),
    )
    assert code == 0, err
    summary = json.loads((folder / "summary.json").read_text())
    assert list(summary["rows"]) == settings["rows"].split(",")
    assert summary["measures"] == {"mistaken": "mistaken"}
    assert summary["rows"]["trim"]["elmf"]["hrg_1"] is not None
    assert "Trim + hard" in out
    assert (folder / "figures/rates.png").exists()
    assert json.loads((folder / "config.json").read_text())["trim"]["share"] == 0.1


RAISING = """
import oilwater_jax as ow

def treat(config, case):
    return config.epic.ratio  # not said to be read: not to be seen

PEEKS = ow.Method(name="peeks", help="peeks", aim="train", treat=treat)
"""


def test_what_a_users_own_file_raises_is_one_line(capsys, tmp_path):
    file = tmp_path / "peeks.py"
    file.write_text(RAISING)
    arguments = [
        "run",
        f"--config={MAIN_JOB}",
        f"--workdir={tmp_path / 'run'}",
        f"--plugins={file}",
        "--config.smoke=true",
        "--config.pretrain.epochs=0",
        "--config.rows=peeks",
    ]
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]  # below a line for each stage that was finished
    assert last.startswith(f"oilwater: error: {file}, line 5 raised AttributeError")
