"""`oilwater report` and `oilwater table` on runs and sweeps."""

import html
import json
import re
import shutil

import pytest
from hostile import command, run_arguments

from oilwater_jax.errors import UserError
from oilwater_jax.files import seal, write_json
from oilwater_jax.reporting import comparison, runs


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished run of seconds."""
    folder = tmp_path_factory.mktemp("comparison") / "one"
    answer = command(*run_arguments(folder))
    assert answer.code == 0, answer.err
    return folder


def changed(made, folder, **figures):
    """A copy of the run whose JTT has other figures and whose config has another number of poisons."""
    folder.mkdir(parents=True)
    for name in ("config.json", "environment.json", "summary.json", "report.html"):
        shutil.copy(made / name, folder / name)
    shutil.copytree(made / "figures", folder / "figures")
    summary = json.loads((folder / "summary.json").read_text())
    summary["rows"]["jtt"] |= {
        f"{name}{part}": v for name, v0 in figures.items() for part, v in (("", v0), ("_seeds", [v0]))
    }
    write_json(folder / "summary.json", seal(summary))
    config = json.loads((folder / "config.json").read_text())
    config["flip"]["count"] = 77
    write_json(folder / "config.json", config)
    return folder


@pytest.fixture
def two(made, tmp_path):
    return made, changed(made, tmp_path / "two", wga=0.987, acc=0.5)


@pytest.fixture
def sweep(made, tmp_path):
    root = tmp_path / "grid"
    for name in ("a", "b"):
        changed(made, root / "runs" / name, wga=0.9 if name == "a" else 0.8)
    write_json(root / "config.json", {"sweep": True})
    write_json(root / "grid.json", {"runs": ["a", "b", "c"]})
    return root


def lines(text, section):
    own = re.search(rf'<h2 id="{section}">.*?(?=<h2 |</main>)', text, re.DOTALL)
    assert own, section
    found = []
    for line in re.findall(r"<tr[^>]*>(.*?)</tr>", own[0], re.DOTALL):
        parts = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line, re.DOTALL)
        found.append([html.unescape(re.sub(r"<[^>]*>", "", part)).strip() for part in parts])
    return found


def test_two_runs_side_by_side(two, tmp_path):
    out = tmp_path / "both.html"
    answer = command("report", *two, f"--out={out}")
    assert (answer.code, answer.fault) == (0, "")
    assert answer.out == f"report: {out}\n"
    text = out.read_text()
    table = lines(text, "results")
    assert table[0][:3] == ["run", "training", "seeds"]
    assert [line[:3] for line in table[1:]] == [
        ["one", "ERM", "1"],
        ["one", "JTT", "1"],
        ["two", "ERM", "1"],
        ["two", "JTT", "1"],
    ]
    at = table[0].index("WGA")
    assert table[4][at] == "98.7"
    assert 'data-value="0.987000"' in text
    assert "JTT in two has the highest worst-group accuracy, 98.7%" in text
    pivot = lines(text, "by-run")
    assert pivot[0] == ["training", "one", "two"]
    assert pivot[2][0] == "JTT"
    assert pivot[2][2] == "98.7"
    settings = lines(text, "settings")
    assert settings == [["setting", "one", "two"], ["flip.count", "30", "77"]]
    made = lines(text, "provenance")
    assert [line[0] for line in made[1:]] == ["one", "two"]
    assert 'href="two/report.html"' in text
    assert "rates of two" in text


def test_it_is_one_file_and_is_left_alone_where_nothing_changed(two, tmp_path):
    out = tmp_path / "both.html"
    assert command("report", *two, f"--out={out}").code == 0
    text, stamp = out.read_text(), out.stat().st_mtime_ns
    assert all(one.startswith("data:image/png") for one in re.findall(r'src="([^"]*)"', text))
    assert "url(" not in text
    assert len(text) < 2_000_000
    assert command("report", *two, f"--out={out}").code == 0
    assert out.stat().st_mtime_ns == stamp
    assert out.read_text() == text


def test_a_sweep_has_its_page_beside_its_runs(sweep):
    answer = command("report", sweep)
    assert (answer.code, answer.fault) == (0, "")
    text = (sweep / "comparison.html").read_text()
    assert [line[0] for line in lines(text, "results")[1:]] == ["a", "a", "b", "b"]
    assert "<strong>Not finished:</strong> c" in text
    assert 'href="runs/a/report.html"' in text
    assert "The runs have the same settings." in text


def test_without_a_sweep_it_goes_into_the_current_folder(two, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert command("report", *two).out == "report: report.html\n"
    assert "Comparison of 2 runs" in (tmp_path / "here/report.html").read_text()


def test_a_single_run(made, tmp_path):
    assert command("report", made, f"--out={tmp_path / 'x.html'}").code == 0
    text = (tmp_path / "x.html").read_text()
    assert "Comparison of one" in text
    assert 'id="by-run"' not in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (lambda run, folder: [run, run], "is given twice"),
        (lambda run, folder: [run, f"--out={run / 'report.html'}"], "is that run's own page"),
        (lambda run, folder: [run, f"--out={folder}"], "is a folder; name another by --out=FILE"),
        (lambda run, folder: [run, f"--out={folder / 'no/x.html'}"], "does not exist"),
        (lambda run, folder: [folder], "is neither a run's folder nor a sweep's"),
    ],
)
def test_what_is_refused_is_refused_in_one_line(arguments, words, made, tmp_path):
    before = (made / "report.html").read_bytes()
    answer = command("report", *arguments(made, tmp_path))
    assert (answer.code, answer.fault) == (2, "")
    assert words in answer.err
    assert (made / "report.html").read_bytes() == before
    assert not list(tmp_path.iterdir())


def test_a_run_s_own_page_is_kept_from_inside_its_folder(two, monkeypatch):
    monkeypatch.chdir(two[1])
    answer = command("report", ".")
    assert answer.code == 2
    assert "own page" in answer.err


def test_studies_and_unfinished_runs_are_refused(two, sweep):
    _, run = two
    summary = (run / "summary.json").read_bytes()
    (run / "summary.json").unlink()
    for verb in ("report", "table"):
        answer = command(verb, run)
        assert (answer.code, answer.fault) == (2, "")
        assert "is not finished" in answer.err
    (run / "summary.json").write_bytes(summary)
    write_json(run / "config.json", {"command": "study"})
    assert "holds a study" in command("report", run).err
    for name in ("a", "b"):
        (sweep / "runs" / name / "summary.json").unlink()
    assert "no finished run yet" in command("report", sweep).err


def test_the_table_takes_runs_and_sweeps_together(two, sweep):
    answer = command("table", *two, sweep, "--format=csv", "--columns=wga")
    assert (answer.code, answer.fault) == (0, "")
    first = [line.split(",")[:2] for line in answer.out.splitlines()[1:]]
    assert first == [[run, row] for run in ("one", "two", "a", "b") for row in ("erm", "jtt")]
    alone = command("table", two[1], "--rows=two/jtt", "--columns=wga")
    assert alone.code == 0
    assert "98.7" in alone.out


def test_names_are_as_long_as_they_must_be(tmp_path):
    paths = [tmp_path / part for part in ("a/x", "b/x", "b/y")]
    assert runs.called(paths) == ["a/x", "b/x", "y"]
    with pytest.raises(UserError, match="is given twice"):
        runs.called([tmp_path / "a", tmp_path / "b/../a"])


def test_odd_names_are_text(made, tmp_path):
    odd = changed(made, tmp_path / "<script>alert(1)<", wga=0.5)
    config = json.loads((odd / "config.json").read_text())
    config["data"]["name"] = config["flip"]["count"] = '"><img src=x onerror=alert(1)>'
    write_json(odd / "config.json", config)
    out = tmp_path / "x.html"
    comparison.write_comparison(out, runs.gather([made, odd]))
    text = out.read_text()
    assert text.count("<script") == 1
    assert "<img src=x" not in text
    assert "&lt;script&gt;alert(1)&lt;" in text
    assert 'href="%3Cscript%3Ealert%281%29%3C/report.html"' in text


def test_figures_that_do_not_fit_are_named(two, tmp_path):
    figures = two[1] / "figures"
    (figures / "looked_at_huge.png").write_bytes(b"x" * (3 << 20))
    for name in ("x_first", "x_second"):
        (figures / f"{name}.png").write_bytes(b"x" * (600 << 10))
    out = tmp_path / "x.html"
    assert command("report", *two, f"--out={out}").code == 0
    text = out.read_text()
    named = re.search(r"Too large for this page[^<]*", text)
    assert named
    assert "looked_at_huge.png" in named[0]
    assert "x_second.png" in named[0]
    assert "x_first.png" not in named[0]
    assert "x first of two" in text
    assert len(text) < 2_000_000
