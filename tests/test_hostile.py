"""All of the corpus of hostile input is answered in one line; what is printed, drawn and tabled holds no trick."""

import json
import shutil

import hostile
import pytest
from hostile import call, command, light_copy, resealed, run_arguments

from oilwater_jax.doctor import examine, tell
from oilwater_jax.files import read_json, seal, write_json
from oilwater_jax.reporting import grid
from oilwater_jax.reporting.page import write_page


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of seconds."""
    folder = tmp_path_factory.mktemp("hostile") / "run"
    made = command(*run_arguments(folder))
    assert made.code == 0, made.err
    return folder


KINDS = {
    "overrides": lambda run: hostile.overrides(),
    "configs": lambda run: hostile.configs(),
    "JSON read back": hostile.read_back,
    "run folders": hostile.folders,
    "paths": lambda run: hostile.paths(),
    "archives": lambda run: hostile.archives(),
    "weight files": lambda run: hostile.weight_files(),
    "IDX files": lambda run: hostile.idx_files(),
    "images": lambda run: hostile.images(),
    "caches": lambda run: hostile.caches(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_answered_in_one_line(kind, run, tmp_path):
    faults = []
    for number, case in enumerate(KINDS[kind](run)):
        folder = tmp_path / str(number)
        folder.mkdir()
        if fault := case.fault(folder):
            faults.append(f"{case.kind}: {case.name!a}: {fault}")
        shutil.rmtree(folder, ignore_errors=True)
    assert not faults, "\n".join(faults)


def forge(path, change):
    """Change a sealed JSON file and give it a seal that fits."""
    value = json.loads(path.read_text())
    change(value)
    path.write_bytes(resealed(json.dumps(value).encode()))


def test_an_edited_summary_is_told_and_the_run_makes_it_anew(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    summary = copy / "summary.json"
    before = summary.read_bytes()
    value = json.loads(before)
    value["rows"]["erm"]["wga"] = 0.999
    write_json(summary, value)
    shown = command("show", copy)
    assert shown.code == 2
    assert "its checksum differs" in shown.err
    again = command(*run_arguments(copy))
    assert again.code == 0, again.err
    assert "its checksum differs" in again.err
    assert summary.read_bytes() == before


def test_a_sound_summary_of_another_key_is_made_anew(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    before = (copy / "summary.json").read_bytes()
    forge(copy / "summary.json", lambda value: value.update(key="0" * 16))
    assert command("show", copy).code == 0  # nobody has loaded the data
    again = command(*run_arguments(copy))
    assert "belongs to other settings, code or data than this run's; it is rebuilt" in again.err
    assert (copy / "summary.json").read_bytes() == before


NO_FIGURES = {
    "a list among the values of the seeds": {"ece_seeds": [[]]},
    "text for a deviation": {"mistaken_std": "x"},
    "a figure of one's own, of too many seeds": {"own": 0.0, "own_std": None, "own_seeds": [0.0, 0.0]},
    "a number whose square is none": {"wga": 1e308, "wga_seeds": [1e308]},
}


@pytest.mark.parametrize("name", NO_FIGURES)
def test_a_figure_that_cannot_be_is_told(name, run, tmp_path):
    folder = tmp_path / "sweep/runs/a"
    shutil.copytree(light_copy(run, tmp_path), folder)
    write_json(tmp_path / "sweep/grid.json", {"runs": ["a"]})
    value = json.loads((folder / "summary.json").read_text())
    value["rows"]["erm"] |= NO_FIGURES[name]
    write_json(folder / "summary.json", seal(value))
    for answer in (command("show", folder), command("table", tmp_path / "sweep")):
        assert (answer.code, answer.fault) == (2, "")
        assert "summary.json is damaged (" in answer.err


NO_STAGES = {
    "a row's figure is text": ("erm", {"ece": "x"}),
    "an attack on no samples": ("attack", {"n_train": 0}),
    "an attack that measures what is no number": ("attack", {"measures": {"label": "x"}}),
    "a row without a group": ("erm", {"group_acc": [None] * 4}),
}


@pytest.mark.parametrize("name", NO_STAGES)
def test_a_stage_whose_figures_cannot_be_is_passed_over(name, run, tmp_path):
    copy = light_copy(run, tmp_path)
    (copy / "summary.json").unlink()
    stage, change = NO_STAGES[name]
    forge(copy / f"stages/seed0/{stage}/stage.json", lambda value: value["figures"].update(change))
    shown = command("show", copy)
    assert (shown.code, shown.fault) == (0, "")
    assert "ERM" not in shown.out


def test_groups_that_no_row_has_in_every_seed_have_no_worst(run, tmp_path):
    copy = light_copy(run, tmp_path)
    (copy / "summary.json").unlink()
    shutil.copytree(copy / "stages/seed0", copy / "stages/seed1")
    for seed in range(2):
        for stage in (copy / f"stages/seed{seed}").iterdir():
            forge(
                stage / "stage.json",
                lambda value, stage=stage: value.update(name=f"{stage.parent.name}/{stage.name}"),
            )

        def without(value, seed=seed):
            known = value["figures"]["group_acc"]
            value["figures"]["group_acc"] = [0.5 if g % 2 == seed else None for g in range(len(known))]

        forge(copy / f"stages/seed{seed}/erm/stage.json", without)
    shown = command("show", copy)
    assert (shown.code, shown.fault) == (0, "")
    assert "2 seeds" in shown.out


@pytest.mark.parametrize("change", [{"name": "\x1b[2J"}, {"made": {"oilwater_jax": "\x1b[2J\n"}}])
def test_the_doctor_prints_no_control_character_of_a_file(change, run, tmp_path):
    copy = light_copy(run, tmp_path)
    forge(copy / "stages/seed0/erm/stage.json", lambda value: value.update(change))
    told = call(lambda: tell(copy, keys=False))
    assert (told.code, told.fault) == (0, "")
    assert "\\x1b[2J" in told.out


def test_what_is_gone_on_with_elsewhere_is_added_and_nothing_of_what_stands_there_is_changed(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    environment = json.loads((copy / "environment.json").read_text())
    elsewhere = environment | {"platform": "another"}
    write_json(copy / "environment.json", elsewhere)
    assert command(*run_arguments(copy)).code == 0
    assert read_json(copy / "environment.json") == elsewhere  # a finished run is looked at, no more
    assert command(*run_arguments(copy, "--seeds=2")).code == 0
    after = json.loads((copy / "environment.json").read_text())
    (later,) = after.pop("later")
    assert after == elsewhere
    assert later["platform"] == environment["platform"]


def test_the_doctor_finds_and_repairs_and_the_same_command_ends_in_the_same_bytes(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    assert examine(copy) == []
    before = (copy / "summary.json").read_bytes()
    (copy / "stages/seed0/erm/arrays.npz").write_bytes(b"x")
    forge(copy / "stages/seed0/jtt/stage.json", lambda record: record["made"].update(oilwater_jax="0.4.0"))
    forge(copy / "stages/seed0/attack/stage.json", lambda record: record.update(key="0" * 16))
    (copy / "summary.json").write_text("{}")
    (copy / "report.html").unlink()
    (copy / ".summary.json.1.tmp").touch()
    (copy / "notes.txt").write_text("mine")
    found = {(one.path.name, one.kind) for one in examine(copy)}
    assert found == {
        ("erm", "damaged"),
        ("jtt", "stale"),
        ("attack", "stale"),
        ("summary.json", "damaged"),
        (".summary.json.1.tmp", "left over"),
    }
    assert command("doctor", copy).code == 1
    repaired = command("doctor", copy, "--repair")
    assert "5 of 5 removed" in repaired.out
    assert (copy / "notes.txt").read_text() == "mine"
    assert {path.name for path in (copy / "stages/seed0").iterdir()} == {"jtt.found"}
    assert command(*run_arguments(copy)).code == 0
    assert (copy / "summary.json").read_bytes() == before
    assert command("doctor", copy).code == 0


def test_the_doctor_never_removes_what_nothing_can_compute_again(run, tmp_path):
    copy = light_copy(run, tmp_path)
    (copy / "config.json").write_text("{")
    (copy / "environment.json").write_text("{")
    found = examine(copy, keys=False)
    assert {(one.path.name, one.kind) for one in found} >= {
        ("config.json", "lost"),
        ("environment.json", "lost"),
    }
    assert call(lambda: tell(copy, mend=True, keys=False)).code == 0
    assert (copy / "config.json").read_text() == (copy / "environment.json").read_text() == "{"
    assert command("doctor", tmp_path).code == 2  # no folder of ours


def test_a_defect_is_one_line_with_a_log_and_a_code_of_its_own(run, tmp_path, monkeypatch):
    copy = light_copy(run, tmp_path)

    def fail(*_):
        raise KeyError("unforeseen\x1b[2J")

    monkeypatch.setattr("oilwater_jax.reporting.tables.print_summary", fail)
    for folder in (copy, None):
        monkeypatch.setattr("oilwater_jax.cli.show", lambda _: fail())
        arguments = ("show", folder) if folder else ("show", "nowhere")
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        answer = command(*arguments)
        assert answer.code == 70
        (line,) = answer.err.splitlines()
        assert line.startswith("oilwater: defect: KeyError: ")
        assert "please report it with the file " in line
        assert "\x1b" not in line
        log = line.rpartition(" ")[2]
        assert log.startswith(str(folder or tmp_path))
        with open(log) as file:
            text = file.read()
        assert "Traceback" in text
        assert "unforeseen" in text


ODD = "[/b]\x1b[2J|&#$%{}~^\\<script>"


@pytest.fixture
def odd(run, tmp_path):
    """A run whose sealed summary has odd labels."""
    copy = light_copy(run, tmp_path / ODD.replace("/", ""))
    value = json.loads((copy / "summary.json").read_text())
    value["rows"]["erm"]["label"] = value["groups"][0] = ODD
    value["rows"]["=1+1"] = value["rows"].pop("jtt")
    write_json(copy / "summary.json", seal(value))
    return copy


def test_odd_names_are_shown_as_they_are_without_control_characters(odd):
    shown = command("show", odd)
    assert (shown.code, shown.fault) == (0, "")
    assert "[/b]\\x1b[2J" in shown.out
    assert str(odd.name) in shown.out


def test_odd_names_in_tables(odd, tmp_path):
    sweep = tmp_path / "sweep"
    shutil.copytree(odd, sweep / "runs/a")
    write_json(sweep / "grid.json", {"runs": ["a"]})
    shown = {form: command("table", sweep, f"--format={form}") for form in ("text", "md", "latex", "csv")}
    for form, answer in shown.items():
        assert (form, answer.code, answer.fault) == (form, 0, "")
    assert "'=1+1," in shown["csv"].out
    assert r"\&\#\$\%\{\}\textasciitilde{}\textasciicircum{}\textbackslash{}" in shown["latex"].out
    assert r"\|" in shown["md"].out


@pytest.mark.parametrize("sign", ["=", "+", "-", "@"])
def test_no_cell_is_a_formula(sign):
    assert grid.no_formula(f"{sign}1") == f"'{sign}1"
    assert grid.no_formula("erm") == "erm"


def test_a_picture_with_a_trick_for_a_name_and_one_that_is_none(odd):
    figures = odd / "figures"
    (figures / 'x" onerror="alert(1)" src="x.png').write_bytes(b"png")
    (figures / "link.png").symlink_to("/etc/hostname")
    (figures / "folder.png").mkdir()
    summary = json.loads((odd / "summary.json").read_text())
    write_page(odd, summary)
    page = (odd / "report.html").read_text()
    assert page.count("<img") == 1
    assert 'onerror="' not in page
    assert page.count("<script") == 1  # the page's own


GRID = """
import oilwater_jax as ow

def get_grid():
    return ow.Grid({{"one": ow.load({config!r}, {settings!r}, plugins={plugins!r})}}, 1)
"""


def test_a_sweep_believes_no_summary_that_was_edited_and_none_of_other_data(tmp_path):
    plugins = []
    for name in ("stripes", "line", "flip"):
        plugins.append(str(tmp_path / f"{name}.py"))
        shutil.copy(hostile.OWN / f"{name}.py", plugins[-1])
    settings = hostile.SETTINGS | {"rows": "erm"}
    (tmp_path / "grid.py").write_text(
        GRID.format(config=str(hostile.MAIN_JOB), settings=settings, plugins=plugins)
    )
    sweep = ["sweep", f"--config={tmp_path / 'grid.py'}", f"--workdir={tmp_path / 'sweep'}", "--workers=1"]
    first = command(*sweep)
    assert first.code == 0, first.err
    summary = tmp_path / "sweep/runs/one/summary.json"
    before = summary.read_bytes()
    edited = json.loads(before)
    edited["rows"]["erm"]["wga"] = 0.999
    for text in (json.dumps(edited), '{"seeds":[0]}'):
        summary.write_text(text)
        assert command("table", tmp_path / "sweep").code == 2
        again = command(*sweep)
        assert again.code == 0, again.err
        assert "summary.json is damaged" in again.err
        assert summary.read_bytes() == before
    # The data set's file is edited: the same command computes everything again.
    file = tmp_path / "stripes.py"
    file.write_text(file.read_text().replace("examples(200, 0.5, 2)", "examples(200, 0.5, 3)"))
    again = command(*sweep)
    assert again.code == 0, again.err
    assert "belongs to other settings, code or data than this run's; it is rebuilt" in again.err
    assert json.loads(summary.read_text())["rows"] != json.loads(before)["rows"]
