"""`oilwater frontier`: dials, shared stages, going on, what is chosen on validation, bad input."""

import csv
import json
import math
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from oilwater_jax import cli, selectors
from oilwater_jax.doctor import examine
from oilwater_jax.entries import Method
from oilwater_jax.errors import UserError
from oilwater_jax.executors import Executor
from oilwater_jax.files import seal
from oilwater_jax.frontier import cost, dials, points, report
from oilwater_jax.frontier import run as frontier
from oilwater_jax.planning import work
from oilwater_jax.rows import parse
from oilwater_jax.settings import config as cfg
from oilwater_jax.settings.registry import known
from oilwater_jax.types import Treatment

ROOT = Path(__file__).parent.parent
PLUGINS = [str(ROOT / f"tests/own/{name}.py") for name in ("stripes", "line", "flip")]
SETTINGS = {
    **{"data.name": "stripes", "attack.name": "flip", "model.name": "line", "pretrain.epochs": "0"},
    **{"erm.epochs": "3", "robust.epochs": "3", "identify.epochs": "2", "rows": "jtt,epic+jtt"},
    **{"flip.count": "30"},
}
DIALS = ["jtt.lambda_up=2,5", "identify.epochs=", "epic.ratio=0.3", "epic.stop_after=3"]


class Here(Executor):
    """Does every call at once, in this process."""

    def __init__(self):
        self.calls = 0

    def __exit__(self, *error):
        pass

    def workers(self):
        return 1

    def submit(self, function, *arguments):
        self.calls += 1
        future = Future()
        future.set_result(function(*arguments))
        return future

    def result(self, future):
        return future.result()


def config_of(**changes):
    return cfg.load(ROOT / "configs/waterdigits/dlbd.py", SETTINGS | changes, plugins=PLUGINS)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frontier") / "run"
    here = Here()
    return folder, frontier.run(config_of(), folder, dial=DIALS, seeds=2, executor=here), here.calls


def test_every_setting_of_every_row_is_measured_on_both_splits(made):
    folder, result, calls = made
    assert [(point["row"], point["setting"]) for point in result["points"]] == [
        ("erm", {}),
        *(("jtt", {"jtt.lambda_up": value}) for value in (2.0, 5.0)),
        *(
            ("epic+jtt", {"epic.ratio": 0.3, "epic.stop_after": 3, "jtt.lambda_up": value})
            for value in (2.0, 5.0)
        ),
    ]
    assert calls == 5 * 2 + 1  # settings x seeds, and one that times a few steps
    assert not result["failed"]
    for point in result["points"]:
        for split in ("val", "test"):
            assert len(point[split]["wga"]) == len(point[split]["mistaken"]) == 2
    saved = json.loads((folder / "frontier.json").read_text())
    assert saved["points"] == json.loads(json.dumps(result["points"]))
    lines = list(csv.DictReader((folder / "points.csv").open()))
    assert len(lines) == 5 * 2 * 2
    assert (folder / "figures/frontier.png").stat().st_size > 0
    assert "ERM" in (folder / "frontier.md").read_text()
    page = (folder / "report.html").read_text()
    assert page.count("<title>") == 1 + 4 + 2  # its own; four settings, and ERM in the panel of each row
    assert f"<code>{result['sha256']}</code>" in page
    assert ">stripes</td>" in page  # data.name is not at its default
    assert '<th scope="row">devices</th>' in page  # as the stages say


def test_points_are_read_back_as_they_were_written(made):
    folder, result, _ = made
    lines = points.read(folder / "points.csv")
    assert [(line.row, line.split) for line in lines[:4]] == [
        *(("erm", split) for split in ("val", "test")),
        *(("jtt", split) for split in ("val", "test")),
    ]
    assert lines[2].dials == {"jtt.lambda_up": "2"}
    wanted = [point[split] for point in result["points"] for split in points.SPLITS]
    for line, own in zip(lines, wanted, strict=True):
        assert line.seeds == result["seeds"]
        for name, values in own.items():
            assert line.figures[name] == [
                value if value is None else float(f"{value:.6g}") for value in values
            ]


def test_a_mean_over_seeds_is_undefined_where_one_seed_is():
    line = points.Line("jtt", "-", "test", [0, 1], {"wga": [0.25, 0.75], "net": [0.5, None]})
    assert line.mean("wga") == 0.5
    assert math.isnan(line.mean("net"))


def test_the_same_command_again_computes_nothing_and_says_the_same(made):
    folder, result, _ = made
    here = Here()
    assert frontier.run(config_of(), folder, dial=DIALS, seeds=2, executor=here) == result
    assert here.calls == 0


def test_what_is_finished_is_told_without_computing(made):
    folder, result, _ = made
    here = Here()
    wider = ["jtt.lambda_up=2,5,7", *DIALS[1:]]
    told = frontier.run(config_of(), folder, dial=wider, seeds=2, executor=here, finished=True)
    assert here.calls == 0
    assert told["points"] == result["points"]


def test_a_dial_more_shares_what_there_is(made):
    folder, result, _ = made
    here = Here()
    wider = ["jtt.lambda_up=2,5,9", *DIALS[1:]]
    more = frontier.run(config_of(rows="jtt"), folder, dial=wider, seeds=2, executor=here)
    assert here.calls == 2 + 1
    assert more["points"][:3] == result["points"][:3]
    references = {path.name for path in (folder / "checkpoints/seed0").glob("reference-*")}
    assert len(references) == 1  # lambda_up does not change what JTT looks at


def test_figures_are_those_of_a_run(made, tmp_path):
    from oilwater_jax import pipeline

    _, result, _ = made
    ran = pipeline.run(config_of(rows="jtt", **{"jtt.lambda_up": "5"}), tmp_path / "run", seeds=2)
    point = result["points"][2]
    assert ran["rows"]["jtt"]["wga_seeds"] == point["test"]["wga"]
    assert ran["rows"]["jtt"]["mistaken_seeds"] == point["test"]["mistaken"]


def point(row, val, test, setting=None, oracle=False):
    """A point of one figure pair per seed: [(wga, net), ...] on each split."""
    splits = {
        split: {
            "wga": [wga for wga, _ in ones],
            "net": [net for _, net in ones],
            "trials": [0] * len(ones),
        }
        for split, ones in (("val", val), ("test", test))
    }
    return {
        **{"row": row, "label": row.upper(), "setting": setting or {}, "oracle": oracle, "methods": {}},
        **splits,
    }


def result_of(*points):
    return {
        **{"points": points, "verdict": "net", "signed": ["net"], "seeds": [0, 1], "failed": {}},
        **{"smoke": False, "data": "d", "attack": "a", "budget": 0.01, "measures": {"net": "net ASR"}},
    }


def test_choices_are_made_on_validation_and_told_on_test():
    erm = point("erm", [(0.4, 0.0)] * 2, [(0.4, 0.01)] * 2)
    strong = point("a", [(0.9, 0.9)] * 2, [(0.2, 0.95)] * 2, {"x": 1})  # best on validation, bad on test
    mild = point("a", [(0.7, 0.04)] * 2, [(0.69, 0.02), (0.71, 0.02)], {"x": 2})
    tempting = point("a", [(0.6, 0.0)] * 2, [(1.0, 0.0)] * 2, {"x": 3})  # best on test: not looked at
    found = report.answers(result_of(erm, strong, mild, tempting))
    (_, one) = found
    assert one.chosen.point is strong
    assert one.chosen.wga.mean == pytest.approx(0.2)
    assert one.at_best is not None
    assert one.at_best.point is mild
    assert one.at_best.gain is not None
    assert one.at_best.gain.mean == pytest.approx(0.3)
    # On validation all three are on the frontier; on test they reach 1.0 from success 0 on.
    assert one.area == pytest.approx(1.0)
    said = report.sentences(result_of(erm, strong, mild, tempting))
    assert said[0].startswith("1 of 1 rows have both")
    assert "A has both at x=2: WGA 70.0" in said[1]


def test_a_row_that_always_amplifies_has_nothing_at_best():
    erm = point("erm", [(0.4, 0.0)] * 2, [(0.4, 0.0)] * 2)
    bad = point("a", [(0.9, 0.5)] * 2, [(0.9, 0.5)] * 2)
    (_, one) = report.answers(result_of(erm, bad))
    assert one.at_best is None
    assert report.sentences(result_of(erm, bad))[0].startswith("0 of 1 rows")
    assert "| none | - | - | - |" in report.markdown(result_of(erm, bad))
    assert report.sentences(result_of()) == [
        "ERM is not finished or has no WGA on validation: nothing can be compared with it."
    ]


def test_an_undefined_figure_is_a_dash_and_an_undefined_row_is_left_out():
    erm = point("erm", [(0.4, None)] * 2, [(0.4, None)] * 2)
    lost = point("a", [(None, 0.0)] * 2, [(None, 0.0)] * 2)
    (one,) = report.answers(result_of(erm, lost))
    assert report.line(one) == ["ERM", "1", "-", "-", "40.0 [40.0, 40.0]", "-", "none", "-", "-", "-"]
    assert "nan" not in report.markdown(result_of(erm, lost))
    assert report.sentences(result_of(lost)) == report.sentences(result_of())


def test_success_of_few_targets_is_a_count():
    erm = point("erm", [(0.4, 0.0)] * 2, [(0.4, 1.0), (0.4, 0.0)])
    erm["test"]["trials"] = [3, 5]
    found = report.success_of(erm, "test", result_of())
    assert (found.mean, found.n) == (3 / 8, 8)


def test_an_oracle_is_not_an_answer():
    erm = point("erm", [(0.4, 0.0)] * 2, [(0.4, 0.0)] * 2)
    ideal = point("a:ideal", [(0.9, 0.0)] * 2, [(0.9, 0.0)] * 2, oracle=True)
    assert report.sentences(result_of(erm, ideal))[0].startswith("0 of 1 rows")


def test_pairs_make_a_matrix(tmp_path):
    erm = point("erm", [(0.4, 0.0)] * 2, [(0.4, 0.0)] * 2)
    ones = [erm]
    aims = {"d1": "eliminate", "d2": "eliminate", "m1": "amplify", "m2": "amplify"}
    for row in ("d1", "d2", "m1", "m2", "d1/m1", "d2/m1", "d1/m2", "d2/m2"):
        one = point(row, [(0.6, 0.0)] * 2, [(0.6, 0.0)] * 2)
        one["methods"] = {name: aims[name] for name in row.split("/")}
        ones.append(one)
    result = result_of(*ones)
    (cells,) = report.matrices(result).values()
    assert {("-", "-"), ("d1 /", "-"), ("-", "m1"), ("d1 /", "m1"), ("d2 /", "m2")} <= set(cells)
    report.draw_matrix(tmp_path / "matrix.png", result, cells)
    assert (tmp_path / "matrix.png").stat().st_size > 0
    assert report.matrices(result_of(*ones[:4])) == {}


REGISTRY = known(())


@pytest.mark.parametrize("name", REGISTRY.names("method"))
def test_declared_dials_are_fields_with_values_that_are_allowed(name):
    method = REGISTRY.method(name)
    for path, values in dials.declared(parse(name, REGISTRY), REGISTRY).items():
        assert len(values) == len(set(values)) > 1, path
        for value in values:
            cfg.check_value(path, value, REGISTRY.fields[path], method.name)


def test_a_common_field_that_two_methods_turn_is_one_dial(knows):
    def mine(name):
        return Method(
            name=name,
            help="-",
            aim="amplify",
            treat=lambda config, case: Treatment(selectors.everyone(len(case.train))),
            dials={"identify.epochs": (2, 3)},
        )

    knows(mine("first"), mine("second"))
    registry = known(())
    assert dials.declared(parse("first/second", registry), registry) == {"identify.epochs": (2, 3)}


def test_given_values_stand_in_place_of_the_declared():
    config = cfg.default()
    row = parse("epic+jtt", REGISTRY)
    given = dials.parse(["jtt.lambda_up=3", "epic.ratio=", "attack.budget=0.01,0.02", "lff.q=0.5"], config)
    assert dials.of_row(row, config, given) == {
        "epic.stop_after": (3, 5, 9),
        "jtt.lambda_up": (3.0,),
        "identify.epochs": (2, 4, 8),
        "attack.budget": (0.01, 0.02),
    }
    one_for_jtt = dials.parse(["identify.epochs=2,3"], config)
    assert dials.of_row(parse("erm", REGISTRY), config, one_for_jtt) == {}
    assert dials.of_row(parse("jtt", REGISTRY), config, one_for_jtt)["identify.epochs"] == (2, 3)
    assert len(dials.settings(row, config, given)) == 3 * 3 * 2
    assert dials.settings(parse("erm", REGISTRY), config, {}) == [{}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("jtt.lambda_up", "--dial=jtt.lambda_up has no values; write --dial=jtt.lambda_up=3,10"),
        ("jtt.lamda_up=3", "unknown field jtt.lamda_up; did you mean"),
        ("jtt.lambda_up=0", "--dial: jtt.lambda_up = 0.0 is out of range"),
        ("jtt.lambda_up=x", "--dial: jtt.lambda_up = 'x' has the wrong type"),
        ("rows=erm", "rows is a sequence, and a dial has single values"),
    ],
)
def test_bad_dials_are_told_in_one_line(text, said, tmp_path, capsys):
    with pytest.raises(UserError, match=said.replace("(", r"\(")):
        dials.parse([text], cfg.default())
    with pytest.raises(SystemExit) as exit_:
        cli.main(
            [
                "frontier",
                f"--config={ROOT / 'configs/waterdigits/dlbd.py'}",
                f"--dial={text}",
                f"--workdir={tmp_path / 'x'}",
            ]
        )
    assert exit_.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "x").exists()


def test_a_dial_twice_and_too_many_settings_are_refused():
    config = cfg.default()
    with pytest.raises(UserError, match=r"jtt\.lambda_up is given twice"):
        dials.parse(["jtt.lambda_up=3", "jtt.lambda_up=4"], config)
    many = {f"{name}.epochs": tuple(range(1, 101)) for name in ("pretrain", "erm", "robust")}
    with pytest.raises(UserError, match=r"1,000,000 settings of"):
        dials.settings(parse("cvar", REGISTRY), config, many | {"cvar.alpha": ()})


def test_an_attack_without_success_has_no_frontier(tmp_path):
    with pytest.raises(UserError, match="has no success measure"):
        frontier.run(config_of(**{"attack.name": "none"}), tmp_path / "x", dial=DIALS, executor=Here())
    assert not (tmp_path / "x").exists()


def test_a_setting_that_fails_is_listed_and_the_others_go_on(tmp_path):
    dial = [*DIALS, "identify.warmup=0,2"]  # two warm-up epochs leave nothing of two
    result = frontier.run(config_of(rows="jtt"), tmp_path / "run", dial=dial, executor=Here())
    assert len(result["failed"]) == 3  # JTT at either lambda, and ERM: the dial is nobody's and so for all
    assert "identify.warmup = 2 leaves no epochs" in next(iter(result["failed"].values()))
    assert len(result["points"]) == 3


def test_dials_are_listed(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["frontier", "--list"])
    assert exit_.value.code == 0
    assert "jtt.lambda_up" in capsys.readouterr().out


def test_the_estimate_counts_each_training_once():
    config = config_of(rows="jtt,epic/jtt")
    from oilwater_jax.keys import Keys
    from oilwater_jax.planning import sizes

    known_sizes = sizes.find(config)
    found = work.by_key(config, Keys(config, ""), known_sizes, 0)
    names = sorted(one.name for one in found.values())
    assert names == ["epic", "epic/jtt", "jtt", "reference", "reference"]
    erm = next(one for one in found.values() if one.name == "reference")
    assert (erm.draws, erm.epochs) == (known_sizes.poisoned, 2)  # identify.epochs
    # What only leaves samples out is not trained for the sake of what comes after it.
    weights = work.by_key(config_of(rows="spectral/jtt"), Keys(config, ""), known_sizes, 0)
    assert sorted(one.name for one in weights.values()) == ["reference", "reference", "spectral/jtt"]
    # 200 samples drawn, 2 passes of validation over 10, 30 scored beside: (200 * 0.1 + 50 * 0.02) / 2
    one = work.Training("a", 100, 2)
    assert cost.seconds([one], 10, 30, cost.Speed(0.1, 0.02), 2) == pytest.approx(10.5)


def test_what_has_begun_is_found_by_the_keys_that_are_counted(made):
    folder, _, _ = made
    config = config_of(rows="jtt")
    from oilwater_jax import pipeline
    from oilwater_jax.keys import Keys
    from oilwater_jax.planning import sizes

    small, splits = pipeline.prepare(cfg.checked(config, {"jtt.lambda_up": "2"}))
    wanted = work.by_key(small, Keys(small, splits.identity), sizes.find(small), 0)
    assert set(wanted) <= cost.begun(folder)


def test_the_first_point_of_equals_is_kept():
    assert np.array_equal(
        report.means([point("a", [(0.5, None)] * 2, [(0.5, 0.1)] * 2)], "val", "net"),
        [np.nan],
        equal_nan=True,
    )


def test_a_finished_frontier_is_shown_and_examined(made, capsys):
    folder, _, _ = made
    with pytest.raises(SystemExit) as exit_:
        cli.main(["show", str(folder)])
    assert exit_.value.code == 0
    assert "WGA - ERM's" in capsys.readouterr().out
    assert examine(folder) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda found: {**found, "points": 3},
        lambda found: {**found, "seeds": [0, 1, 2]},
        lambda found: {**found, "verdict": "else"},
    ],
)
def test_a_damaged_frontier_is_one_line(spoil, made, tmp_path, capsys):
    folder, _, _ = made
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("config.json", "grid.json", ".lock"):
        (copy / name).write_bytes((folder / name).read_bytes())
    found = json.loads((folder / "frontier.json").read_text())
    found.pop("sha256")
    (copy / "frontier.json").write_text(json.dumps(seal(spoil(found))))
    with pytest.raises(SystemExit) as exit_:
        cli.main(["show", str(copy)])
    assert exit_.value.code == 2
    assert "is damaged" in capsys.readouterr().err
    assert [one.kind for one in examine(copy)] == ["damaged"]
    (copy / "frontier.json").unlink()
    with pytest.raises(SystemExit):
        cli.main(["show", str(copy)])
    assert "unfinished" in capsys.readouterr().out
