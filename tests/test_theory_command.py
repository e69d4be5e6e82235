"""`oilwater theory` as a user meets it."""

import csv
import html
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from oilwater_jax import cli
from oilwater_jax.theory import command
from oilwater_jax.theory.model import Model
from oilwater_jax.theory.phase import phase
from oilwater_jax.theory.report import (
    budget_lines,
    everything,
    group_lines,
    print_report,
    sentences,
    training_lines,
)

ROOT = Path(__file__).parent.parent


def call(*arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main(["theory", *map(str, arguments)])
    return caught.value.code


def printed(model):
    console = Console(width=80)
    with console.capture() as capture:
        print_report(everything(model), console)
    return capture.get()


def test_defaults_are_the_models():
    assert {name: default for name, (default, _) in command.NUMBERS.items()} == Model()._asdict()


def test_the_command_imports_no_jax(tmp_path):
    script = (
        "import sys; from oilwater_jax import cli\n"
        f"try: cli.main(['theory', '--grid=3', '--workdir={tmp_path}'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "sys.exit('jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=ROOT, text=True)
    assert done.returncode == 0, done.stderr
    assert "phase.png" in done.stdout
    assert "maps" in done.stderr  # progress: a line where there is no terminal


def test_a_folder_gets_maps_points_and_figures(tmp_path, capsys):
    assert call("--grid=4", f"--workdir={tmp_path}") == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.html",
        "phase.png",
        "phase.csv",
        "theory.json",
    }
    rows = list(csv.DictReader((tmp_path / "phase.csv").open()))
    assert len(rows) == 16
    found = phase(Model(), grid=4)
    assert float(rows[5]["auroc"]) == pytest.approx(found.auroc[1, 1], abs=1e-7)
    assert float(rows[5]["window_low"]) == pytest.approx(found.window.low[1], rel=1e-6)
    assert rows[-1]["rises"] in ("both", "asr_only", "wga_only", "neither")
    assert sum(row["wga_best_tail"] == "" for row in rows) == np.isnan(found.tail).sum() > 0
    assert json.loads((tmp_path / "theory.json").read_text())["plane"].keys() == {
        "both",
        "asr_only",
        "wga_only",
        "neither",
    }


def test_the_page_says_what_is_printed(tmp_path):
    folder = tmp_path / "<script>alert(1)</script>".replace("/", "-")
    assert call("--grid=3", "--beta=0.02", f"--workdir={folder}") == 0
    text = (folder / "report.html").read_text()
    found = everything(Model(beta=0.02))
    shown = [html.unescape(one) for one in re.findall(r"<(?:li|p class=\"lead\")>(.*?)</", text)]
    assert set(sentences(found)) <= set(shown)
    for of in (group_lines(found), training_lines(found), budget_lines(found)):
        for name, *cells in of.body:
            own = "".join(f"<td>{cell}</td>" for cell in cells)
            assert f'<tr><th scope="row">{name}</th>{own}</tr>' in text
    assert "after full training</th><td>3.63%</td><td>4.06%</td>" in text
    assert '<code>beta</code></th><td data-label="here">0.02</td><td data-label="default">0.01</td>' in text
    assert re.findall(r'<li><a href="#([^"]+)">', text) == re.findall(r'<h2 id="([^"]+)">', text)
    assert text.count("<script>") == 1  # the page's own
    assert re.findall(r'src="(.{22})', text) == ["data:image/png;base64,"]
    assert "default-src 'none'" in text


def test_json_has_every_figure_of_the_settings(capsys):
    assert call("--json", "--grid=49") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["parts"] == pytest.approx(
        {"core": 0.398060, "spurious": 0.452987, "trigger": 0.311715}, abs=1e-6
    )
    assert found["figures"]["0.3"]["auroc"] == pytest.approx(0.872016, abs=1e-6)
    assert found["budgets"]["0.1"]["easier"] == pytest.approx(0.113770, abs=1e-6)
    assert found["budgets"]["rare"]["half"] == pytest.approx(0.042790, abs=1e-6)
    assert found["jtt"]["worst"]["asr"] == pytest.approx(0.915482, abs=1e-6)
    assert found["groups"]["p"] == pytest.approx(0.449544, abs=1e-6)
    assert found["window"]["exact"]["low"] == pytest.approx(0.0014, abs=5e-5)
    assert {name: round(100 * share) for name, share in found["plane"].items()} == {
        "both": 61,
        "asr_only": 26,
        "wga_only": 5,
        "neither": 8,
    }
    assert found["sample"]["n"] == 4842
    assert found["sample"]["auroc"]["mean"] == pytest.approx(0.842, abs=0.03)


def test_the_sentences_say_which_side_the_setting_is_on():
    text = printed(Model())
    assert "a poison has a higher loss than a minority sample with probability 0.851" in text
    assert "from a budget of 3.63% on; yours is below it" in text
    assert "Window of vulnerability: from 0.142% to 4.06%" in text
    assert "your budget is inside" in text
    assert "EPIc takes the poisons first" in text
    text = printed(Model(beta=0.2))
    assert "a minority sample has a higher loss than a poison" in text
    assert "yours is above it" in text
    assert "your budget is outside" in text
    assert "EPIc takes the minority first" in text


def test_where_no_budget_exists_it_is_said():
    found = everything(Model(tau=0.0))
    assert found["budgets"]["inf"]["easier"] is None
    assert found["window"]["rare"] == {"low": None, "high": None}
    json.dumps(found, allow_nan=False)
    text = printed(Model(tau=0.0))
    assert "no budget below 50% makes a poison easier than a minority sample" in text
    assert "nan" not in text.lower()
    assert everything(Model(beta=0.0))["sample"] is None  # a draw would have no poisons
    assert "nan" not in printed(Model(beta=0.0)).lower()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--p=1.2"], "--p = 1.2 must be between 0 and 1"),
        (["--p=0"], "--p = 0 must be between 0 and 1"),
        (["--sigma=-1"], "--sigma = -1 must be above 0"),
        (["--beta=1"], "--beta = 1 must be 0 or above and below 1"),
        (["--beta=nan"], "--beta = nan must be"),
        (["--tau=inf"], "--tau = inf must be"),
        (["--lambda_up=0"], "--lambda_up = 0 must be above 0"),
        (["--sigma=0.02"], "nothing is flagged: with sigma = 0.02"),
        (["--mu_c=strong"], "invalid float value: 'strong'"),
        (["--grid=1"], "--grid=1 is out of range"),
        (["--early=0"], "--early=0 must be above 0"),
        (["--fit=no/such/folder"], "no/such/folder is not a finished run"),
        (["--fit=x", "--tau=3"], "--tau and --fit exclude each other"),
    ],
)
def test_bad_input_is_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(*arguments, f"--workdir={tmp_path / 'out'}") == 2
    error = capsys.readouterr().err
    assert error.startswith("oilwater: error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "out").exists()


def test_a_runs_folder_is_left_alone(tmp_path, capsys):
    (tmp_path / "config.json").write_text("{}")
    assert call(f"--workdir={tmp_path}") == 2
    assert "holds a run" in capsys.readouterr().err
    assert call(f"--workdir={tmp_path / 'config.json'}") == 2
    assert "is a file" in capsys.readouterr().err
