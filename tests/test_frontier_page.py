"""report.html of a frontier: what is in it, on results made by hand and on a finished one."""

import html
import json
import re
import shutil
from pathlib import Path

import pytest

from oilwater_jax import cli
from oilwater_jax.doctor import examine
from oilwater_jax.files import seal
from oilwater_jax.frontier import page, pareto, report
from oilwater_jax.reporting import charts
from oilwater_jax.settings import config as cfg

ODD = "<script>alert(1)</script>\x1b[2J\u202e\"'&{{ 7 * 7 }}"
MADE = {"oilwater_jax": "0.5.0", "backend": "cpu", "devices": ["TFRT_CPU_0"]}


def point(row, val, test, setting=None):
    """A setting of two seeds, of the same WGA and net success: (wga, net) on each split."""
    own = {"row": row, "label": row.upper(), "oracle": False, "methods": {}, "setting": setting or {}}
    for split, (wga, net) in (("val", val), ("test", test)):
        own[split] = {"wga": [wga] * 2, "net": [net] * 2, "trials": [0] * 2}
    return own


def result_of(*points, **changes):
    return seal(
        {
            **{"points": list(points), "verdict": "net", "signed": ["net"], "seeds": [0, 1], "failed": {}},
            **{"smoke": False, "data": "d", "attack": "a", "budget": 0.01, "key": "k"},
            **{"measures": {"net": "net ASR"}, **changes},
        }
    )


ERM = point("erm", (0.4, 0.0), (0.4, 0.02))
MILD = point("a", (0.7, 0.04), (0.69, 0.06), {"a.dial": 2.0})
STRONG = point("a", (0.9, 0.9), (0.8, 0.95), {"a.dial": 9.0})
WORSE = point("a", (0.5, 0.5), (0.5, -0.13), {"a.dial": 1.0})


def text_of(result, folder: Path, config=None, made=(MADE,)):
    folder.mkdir(exist_ok=True)
    page.write_page(folder, result, config or cfg.default(), made)
    return (folder / "report.html").read_text()


def section(text, name):
    found = re.search(rf'<h2 id="{name}">.*?(?=<h2 |</main>)', text, re.DOTALL)
    assert found, name
    return found[0]


def lines(text):
    """The cells of each line of the tables, as they are read."""
    return [
        [
            html.unescape(re.sub("<[^>]*>", "", cell)).strip()
            for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line, re.DOTALL)
        ]
        for line in re.findall(r"<tr[^>]*>(.*?)</tr>", text, re.DOTALL)
    ]


def test_answers_are_those_of_the_terminal_and_every_setting_is_listed(tmp_path):
    result = result_of(ERM, MILD, STRONG, WORSE)
    text = text_of(result, tmp_path / "x")
    assert (
        f'<p class="lead">{html.escape(report.sentences(result)[0])}</p>'.replace("&#x27;", "&#39;") in text
    )
    own = section(text, "answers")
    assert "A has both at a.dial=2: WGA 69.0" in own
    assert lines(own) == [list(report.HEAD), *(report.line(one) for one in report.answers(result))]
    assert "<dt>success</dt><dd>the attack&#39;s: attack success rate less the untriggered rate" in own
    for term in ("WGA", *page.TERMS):
        assert f"<dt>{term}</dt>" in own
    head, *body = lines(section(text, "points"))
    assert head == [
        *(
            "training",
            "setting",
            "WGA on validation",
            "net ASR on validation",
            "WGA on test",
            "net ASR on test",
        )
    ]
    assert [line[:2] for line in body] == [
        ["ERM", "-"],
        ["A", "a.dial=2"],
        ["A", "a.dial=9"],
        ["A", "a.dial=1"],
    ]
    assert [line[5].split()[0] for line in body] == ["2.0", "6.0", "95.0", "-13.0"]
    assert 'data-value="-0.130000"' in text
    linked = re.findall(r'<li><a href="#([^"]+)">', text)
    assert linked == re.findall(r'<h2 id="([^"]+)">', text)
    assert linked == ["answers", "frontiers", "points", "settings", "provenance"]


def test_a_panel_has_every_setting_where_it_is_on_test(tmp_path):
    """Validation passes WORSE over; the axis reaches down to its success; the shade ends at ERM's and the slack."""
    (one,) = page.panels(result_of(ERM, MILD, STRONG, WORSE))
    assert one.title == "A"
    assert [len(layer.spots) for layer in one.layers] == [1, 2, 1]
    assert [tick.text for tick in one.x_ticks] == ["-20", "0", "25", "50", "75", "100"]

    def at(wga, net):
        across = one.left + (net + 0.2) / 1.2 * (one.right - one.left)
        return across, one.bottom - wga * (one.bottom - one.top)

    (worse,), (mild, strong), (erm,) = (layer.spots for layer in one.layers)
    for spot, place in (
        (worse, (0.5, -0.13)),
        (mild, (0.69, 0.06)),
        (strong, (0.8, 0.95)),
        (erm, (0.4, 0.02)),
    ):
        assert (spot.x, spot.y) == pytest.approx(at(*place))
    assert one.zone == pytest.approx(at(0, 0.02 + pareto.SLACK)[0])
    assert [bool(layer.path) for layer in one.layers] == [False, True, False]
    text = text_of(result_of(ERM, MILD, STRONG, WORSE), tmp_path / "x")
    titles = re.findall(r"<title>(.*?)</title>", section(text, "frontiers"))
    assert titles[0] == "A, a.dial=1: WGA 50.0 [50.0, 50.0], success -13.0 [-13.0, -13.0]"
    assert len(titles) == 4


def test_what_is_undefined_on_test_is_in_the_table_alone(tmp_path):
    gone = point("a", (0.5, 0.1), (0.5, None), {"a.dial": 3.0})
    text = text_of(result_of(ERM, MILD, gone), tmp_path / "x")
    assert lines(section(text, "points"))[3][5] == "-"
    assert "a.dial=3" not in section(text, "frontiers")


def test_nothing_finished_and_settings_that_failed_are_told(tmp_path):
    text = text_of(result_of(failed={"jtt jtt.lambda_up=3": "it cannot"}), tmp_path / "x")
    assert "ERM is not finished" in text
    assert lines(section(text, "failed"))[1] == ["jtt jtt.lambda_up=3", "it cannot"]
    assert "<svg" not in section(text, "frontiers")
    assert "No row but plain ERM is finished" in text_of(result_of(ERM), tmp_path / "x")


def test_settings_and_what_computed_it(tmp_path):
    config = cfg.checked(cfg.default(), {"jtt.lambda_up": 7.0})
    more = {**MADE, "oilwater_jax": "0.4.9"}
    text = text_of(result_of(ERM, MILD, smoke=True), tmp_path / "x", config, (MADE, more))
    settings = {line[0]: line[1:3] for line in lines(section(text, "settings"))[1:]}
    assert settings == {"jtt.lambda_up": ["7.0", settings["jtt.lambda_up"][1]]}
    made = {line[0]: line[1] for line in lines(section(text, "provenance"))[1:]}
    assert made["oilwater_jax"] == "0.5.0"
    assert made["seeds"] == "0, 1"
    assert made["digest of frontier.json"] == result_of(ERM, MILD, smoke=True)["sha256"]
    assert made["gone on with"].startswith("1 more times")
    assert "<strong>Smoke run:</strong>" in text


def test_odd_names_are_text_and_nothing_is_asked_for(tmp_path):
    odd = {**point(ODD, (0.7, 0.0), (0.7, 0.0), {ODD: ODD}), "label": ODD}
    names = {"data": ODD, "attack": ODD, "measures": {"net": ODD}, "failed": {ODD: ODD}}
    text = text_of(result_of(ERM, odd, **names), tmp_path / ODD.replace("/", "-"))
    assert text.count("<script>") == 1  # the page's own
    assert "alert(1)" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "{{ 7 * 7 }}" in text
    addresses = re.findall(r'(?:src|href|action|srcset)\s*=\s*"([^"]*)"', text)
    assert all(one.startswith(("data:image/png;base64,", "#")) for one in addresses)
    assert "url(" not in text
    assert "default-src 'none'" in text


def test_the_matrix_is_shown_where_there_is_one(tmp_path):
    aims = {"d1": "eliminate", "d2": "eliminate", "m1": "amplify", "m2": "amplify"}
    ones = [ERM]
    for row in ("d1", "d2", "m1", "m2", "d1/m1", "d2/m1", "d1/m2", "d2/m2"):
        one = point(row, (0.6, 0.0), (0.6, 0.0))
        ones.append({**one, "methods": {name: aims[name] for name in row.split("/")}})
    folder = tmp_path / "x"
    folder.mkdir()
    report.write(folder, result_of(*ones))
    text = text_of(result_of(*ones), folder)
    assert section(text, "figures").count("<img ") == 1  # the small multiples are drawn by the page
    assert page.MATRIX in text
    fewer = text_of(result_of(*ones[:4]), folder)  # the file of before is still there
    assert "<img " not in fewer


def test_a_scatter_by_hand():
    spots = [charts.Spot(0.5, 1.0, "a"), charts.Spot(2.0, -1.0, "beyond")]
    found = charts.scatter("t", [charts.Cloud("c", page.KEPT, spots, joined=True)], x_label="x", y_label="y")
    middle = (found.left + found.right) / 2
    assert [(spot.x, spot.y) for spot in found.layers[0].spots] == [
        (middle, found.top),
        (found.right, found.bottom),
    ]
    assert found.layers[0].path == f"M{middle:.1f} {found.top}.0L{found.right}.0 {found.bottom}.0"
    assert [tick.text for tick in found.x_ticks] == ["0", "25", "50", "75", "100"]
    assert found.zone is None


def frontier_folder(folder: Path):
    """A folder as a finished frontier leaves it, without its stages."""
    folder.mkdir()
    (folder / "config.json").write_text('{"sweep": true, "frontier": true}')
    (folder / "grid.json").write_text('{"runs": []}')
    result = result_of(ERM, MILD, command="frontier")
    (folder / "frontier.json").write_text(json.dumps(result))
    text_of(result, folder)
    return folder


def called(capsys, *arguments):
    with pytest.raises(SystemExit) as exit_:
        cli.main([str(one) for one in arguments])
    printed = capsys.readouterr()
    return exit_.value.code, printed.out, printed.err


def test_it_is_shown_where_the_page_is(tmp_path, capsys):
    folder = frontier_folder(tmp_path / "x")
    code, out, _ = called(capsys, "show", folder)
    assert code == 0
    assert f"report: {folder / 'report.html'}   points: " in out
    assert examine(folder) == []
    (folder / "report.html").unlink()
    assert "report: " not in called(capsys, "show", folder)[1]
    assert [(one.kind, one.path.name) for one in examine(folder)] == [("missing", "report.html")]


@pytest.mark.parametrize("command", ["report", "table"])
def test_its_page_and_points_are_named_to_who_compares_runs(command, tmp_path, capsys):
    folder = frontier_folder(tmp_path / "x")
    code, _, err = called(capsys, command, folder)
    assert code == 2
    assert err.count("\n") == 1
    assert f"holds a frontier, which has a page of its own ({folder / 'report.html'})" in err
    shutil.rmtree(folder)
