"""report.html: what is in it, that it is one file, and the same bytes for the same run."""

import html
import json
import re
import shutil

import pytest
from hostile import command, light_copy, run_arguments

from oilwater_jax.files import read_json, seal, write_json
from oilwater_jax.reporting import glossary, page
from oilwater_jax.reporting.gallery import Gallery
from oilwater_jax.reporting.templating import environment, render
from oilwater_jax.reporting.traces import NONE
from oilwater_jax.stages import read_arrays

ROWS = "--config.rows=erm@clean,erm,jtt,epic+jtt"
LARGEST = 2_000_000  # bytes of a page


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of seconds, of two seeds."""
    folder = tmp_path_factory.mktemp("page") / "run"
    made = command(*run_arguments(folder, ROWS, "--seeds=2"))
    assert made.code == 0, made.err
    return folder


@pytest.fixture(scope="module")
def text(run):
    return (run / "report.html").read_text()


@pytest.fixture(scope="module")
def summary(run):
    return json.loads((run / "summary.json").read_text())


def cells(text, section):
    """The text of the cells of a section's tables, line by line."""
    own = re.search(rf'<h2 id="{section}">.*?(?=<h2 |</main>)', text, re.DOTALL)
    assert own, section
    lines = re.findall(r"<tr[^>]*>(.*?)</tr>", own[0], re.DOTALL)
    found = []
    for line in lines:
        parts = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line, re.DOTALL)
        found.append([html.unescape(re.sub(r"<[^>]*>", "", part)).strip() for part in parts])
    return found


def test_it_is_one_file_that_asks_for_nothing(text):
    addresses = re.findall(r'(?:src|href|xlink:href|action|srcset)\s*=\s*"([^"]*)"', text)
    assert addresses
    assert all(one.startswith(("data:image/png;base64,", "#")) for one in addresses)
    assert "url(" not in text
    assert "@import" not in text
    assert "http-equiv" in text
    assert "default-src 'none'" in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert len(text) < LARGEST


def test_every_section_is_there_and_is_linked(text):
    linked = re.findall(r'<li><a href="#([^"]+)">', text)
    there = re.findall(r'<h2 id="([^"]+)">', text)
    assert linked == there
    assert there == [
        "results",
        "groups",
        "selection",
        "samples",
        "confusion",
        "figures",
        "settings",
        "provenance",
    ]


def test_the_result_table_and_its_terms(text, summary):
    lines = cells(text, "results")
    assert lines[0][:4] == ["training", "ACC", "adj. ACC", "WGA"]
    assert [line[0] for line in lines[1:]] == [row["label"] for row in summary["rows"].values()]
    wga = summary["rows"]["jtt"]["wga"]
    assert lines[3][3].startswith(f"{100 * wga:.1f}")
    for term in ("ACC", "adj. ACC", "WGA", "worst group"):
        means = html.escape(glossary.TERMS[term], quote=False)
        assert f"<dt>{term}</dt><dd>{means}</dd>".replace("'", "&#39;") in text
        assert f"{term}</abbr>" in text


def test_the_sentence_says_who_is_best(summary):
    config = {"data": {"name": "stripes"}, "attack": {"name": "flip"}}
    rows = {key: row | {"oracle": False} for key, row in summary["rows"].items()}
    high = {**rows, "jtt": rows["jtt"] | {"wga": 0.95}, "erm": rows["erm"] | {"wga": 0.5}}
    high["erm@clean"] = rows["erm@clean"] | {"wga": 0.99}  # not on the poisoned data
    high["epic+jtt"] = rows["epic+jtt"] | {"wga": 0.9}
    said = page.sentence(summary | {"rows": high}, config)
    assert said.startswith(
        "On stripes under the attack flip, JTT has the highest worst-group accuracy (95.0%; ERM 50.0%)"
    )
    said = page.sentence(summary | {"rows": high | {"jtt": high["jtt"] | {"oracle": True}}}, config)
    assert "EPIc + JTT has the highest worst-group accuracy (90.0%; ERM 50.0%)" in said
    low = high | {"erm": rows["erm"] | {"wga": 0.97}}
    assert "ERM has the highest worst-group accuracy (97.0%; the next is JTT, 95.0%)" in page.sentence(
        summary | {"rows": low}, config
    )
    alone = {"jtt": high["jtt"]}
    assert "JTT has a worst-group accuracy of 95.0%" in page.sentence(summary | {"rows": alone}, config)
    looked = {"rows": {}, "found": {"jtt": {"label": "JTT", "idnf": {"poison": 0.25}}}}
    assert (
        page.sentence(looked, config) == "On stripes under the attack flip, JTT flags 25.0% of the poisons."
    )
    assert page.sentence({"rows": {}, "found": {}}, {}) == "Here, nothing was trained."


def test_the_sentence_takes_the_net_figure_where_there_is_one():
    row = {"label": "JTT", "oracle": False, "wga": 0.8, "asr": 0.9, "asr_untriggered": 0.1, "net": 0.8}
    erm = {"label": "ERM", "oracle": False, "wga": 0.5, "asr": 0.3, "asr_untriggered": 0.2, "net": 0.1}
    gross = {
        "rows": {"erm": erm, "jtt": row},
        "found": {},
        "n_poison_seeds": [5],
        "measures": {"asr": "ASR", "asr_untriggered": "untriggered"},
        "baseline": "asr_untriggered",
    }
    said = page.sentence(gross, {})
    assert said.endswith(", and the attack's ASR against it is 90.0% (ERM 30.0%; 10.0% untriggered).")
    net = gross | {"measures": {**gross["measures"], "net": "net ASR"}}
    assert page.sentence(net, {}).endswith(", and the attack's net ASR against it is 80.0% (ERM 10.0%).")
    assert "attack" not in page.sentence(gross | {"n_poison_seeds": [0]}, {})


def test_the_predictions_are_those_that_the_accuracies_are_of(run, text, summary):
    """The share of a group that is taken for its own class is its accuracy on the first seed."""
    own = re.search(r'<h2 id="confusion">.*?(?=<h2 )', text, re.DOTALL)
    assert own
    labels = re.findall(r"<figcaption><strong>(.*?)</strong>", own[0])
    assert labels == [row["label"] for row in summary["rows"].values()]
    tables = re.findall(r"<tbody>(.*?)</tbody>", own[0], re.DOTALL)
    for table, row in zip(tables, summary["rows"].values(), strict=True):
        lines = [
            re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line) for line in re.findall(r"<tr>(.*?)</tr>", table)
        ]
        by_group = dict(zip(summary["groups"], row["group_acc_seeds"][0], strict=True))
        classes = list(dict.fromkeys(name.partition("/")[0] for name in summary["groups"]))
        checked = 0
        for name, _, *shares in lines:
            if name in by_group:
                right = shares[classes.index(name.partition("/")[0])]
                assert float(right) == pytest.approx(100 * by_group[name], abs=0.051)
                checked += 1
        assert checked == len(summary["groups"])


def test_the_samples_are_those_that_were_chosen(run, text, summary):
    lines = {line[0]: line for line in cells(text, "samples")[1:]}
    found = summary["found"]["jtt"]["n_flagged_seeds"][0]
    assert lines["poisons"][1] == str(summary["n_poison_seeds"][0])
    assert lines["flagged by JTT"][1] == str(found)
    record = read_json(run / "stages/seed0/epic-with-jtt/stage.json")
    assert record is not None
    weights = read_arrays(run / "stages/seed0/epic-with-jtt/arrays.npz", record["arrays"])["weights"]
    assert len(weights) == summary["n_train"]
    if eliminated := int((weights == 0).sum()):
        assert lines["eliminated by EPIc + JTT"][1] == str(eliminated)
    assert lines["drawn most by EPIc + JTT"][1] == str(int((weights > 1).sum()))
    # Of the last epoch: what is eliminated there is what ELMF counts.
    share = summary["rows"]["epic+jtt"]["elmf"]["poison_seeds"][0]
    assert eliminated >= round(share * summary["n_poison_seeds"][0])
    assert text.count("<li data-reasons=") == len(re.findall(r'<img alt="sample ', text)) > 5


def test_settings_that_differ_and_provenance(text, run):
    settings = {line[0]: line[1:] for line in cells(text, "settings")[1:]}
    assert settings["data.name"][:2] == ["stripes", "waterdigits"]
    assert settings["flip.count"][0] == "30"
    assert "train.momentum" not in settings  # at its default
    made = {line[0]: line[1] for line in cells(text, "provenance")[1:]}
    environment_json = json.loads((run / "environment.json").read_text())
    assert made["oilwater_jax"] == environment_json["oilwater_jax"]
    assert made["seeds"] == "0, 1"
    assert f"jax {environment_json['packages']['jax']}" in made["packages"]
    assert "seed1/epic-with-jtt" in text


def test_curves_have_a_line_for_each_group(text, summary):
    own = re.search(r'<h2 id="groups">.*?(?=<h2 )', text, re.DOTALL)
    assert own
    panels = re.findall(r"<svg viewBox.*?</svg>", own[0], re.DOTALL)
    whole = [one for one in panels if "accuracy on a group" in one]
    assert len(whole) == len(summary["rows"])
    for one in whole:
        assert re.findall(r"<title>(.*?)</title>", one) == summary["groups"]


def test_the_same_run_gives_the_same_bytes(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    before = (copy / "report.html").read_bytes()
    stamp = (copy / "report.html").stat().st_mtime_ns
    again = run_arguments(copy, ROWS, "--seeds=2")
    assert command(*again).code == 0
    assert (copy / "report.html").stat().st_mtime_ns == stamp  # a finished run is left alone
    shutil.rmtree(copy / "figures")
    (copy / "report.html").unlink()
    assert command(*again).code == 0
    assert (copy / "report.html").read_bytes() == before


def test_without_metrics_and_stages_the_rest_is_there(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    for name in ("report.html", "metrics.jsonl", "summary.json"):
        (copy / name).unlink()
    assert command(*run_arguments(copy, ROWS, "--seeds=2")).code == 0
    text = (copy / "report.html").read_text()
    assert "by epoch</h3>" not in text
    assert cells(text, "results")[1][0] == "ERM on clean data"
    assert cells(text, "samples")


ODD = "<script>alert(1)</script>\x1b[2J\u202e\"'&{{ 7 * 7 }}"


def test_odd_names_are_text(run, tmp_path, summary):
    copy = light_copy(run, tmp_path)
    value = json.loads(json.dumps(summary))
    value["rows"]["erm"]["label"] = value["groups"][0] = ODD
    value["measures"] = dict.fromkeys(value["measures"], ODD)
    value["found"]["jtt"]["label"] = ODD
    write_json(copy / "summary.json", seal(value))
    config = json.loads((copy / "config.json").read_text())
    config["data"]["name"] = ODD
    write_json(copy / "config.json", config)
    odd = Gallery([], [], [ODD], [ODD], 0)
    page.write_page(copy, seal(value), NONE._replace(warnings=[ODD], stages=[ODD], gallery=odd))
    text = (copy / "report.html").read_text()
    assert text.count("<script>") == 1  # the page's own
    assert "alert(1)" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "{{ 7 * 7 }}" in text
    assert "\\x1b[2J" in text
    assert not re.search(r"<script>alert", text)


def test_a_picture_that_is_too_large_is_named_and_not_shown(run, tmp_path, summary):
    copy = light_copy(run, tmp_path)
    (copy / "figures").mkdir(exist_ok=True)
    (copy / "figures/looked_at_large.png").write_bytes(b"x" * (3 << 20))
    page.write_page(copy, summary)
    text = (copy / "report.html").read_text()
    assert "looked_at_large.png" in text
    assert len(text) < LARGEST


def test_a_template_is_given_all_that_it_uses():
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        render("run.html", name="x")


def test_the_policy_names_the_script_that_is_there(text):
    import base64
    import hashlib

    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)
    assert script
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src &#39;sha256-{digest}&#39;" in text or f"script-src 'sha256-{digest}'" in text
    assert environment().get_template("script.js").render() == script[1]


def test_terms_of_headings():
    assert glossary.definitions(["LRG-1", "LRG-2", "IDNF: share", "", "no term"]) == [
        ("LRG", glossary.TERMS["LRG"]),
        ("IDNF", glossary.TERMS["IDNF"]),
    ]
    assert glossary.meanings(["ACC on F", "ACC", "x"]) == {
        "ACC on F": glossary.TERMS["ACC on F"],
        "ACC": glossary.TERMS["ACC"],
    }
