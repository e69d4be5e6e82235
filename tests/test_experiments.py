"""Reports of experiments: what they say follows from the committed values alone; and their parts, by hand."""

import csv
import importlib
import itertools
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.isotonic import isotonic_regression

from oilwater_jax.frontier import points

ROOT = Path(__file__).parents[1]
REPORTS = [
    file
    for file in sorted((ROOT / "experiments").rglob("*.py"))
    if "def report(out: Path" in file.read_text()
]


@pytest.mark.parametrize("file", REPORTS, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_committed_tables_follow_from_committed_values(file, tmp_path):
    """The command that the README gives, into another folder: the same bytes."""
    step = ["report"] if 'choices=("' in file.read_text() else []
    env = {**os.environ, "PYTHONPATH": str(ROOT)}  # this checkout's package
    subprocess.run([sys.executable, file, *step, f"--out={tmp_path}"], check=True, env=env)
    made = list(tmp_path.glob("*.md"))
    assert made
    for one in made:
        assert one.read_bytes() == (file.parent / one.name).read_bytes(), one.name


@pytest.fixture
def load(monkeypatch):
    """A function that imports a script with its siblings, from its experiment's folder."""
    before = set(sys.modules)

    def imported(experiment, name):
        monkeypatch.syspath_prepend(str(ROOT / "experiments" / experiment))
        return importlib.import_module(name)

    yield imported
    for name in set(sys.modules) - before:
        if str(ROOT / "experiments") in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_what_a_dose_forces_by_hand(load):
    doses = load("theory", "doses")
    w = np.array([0.5, 0.5, 0.5, 0.6, 0.7, 0.8, 0.9])
    v = np.array([0.0, 0.0, 0.0, 0.1, 0.2, 0.5, 1.0])
    assert doses.forced(0.4, w, v, 0.0) == 0  # no dose is needed
    assert doses.forced(0.6, w, v, 0.0) == pytest.approx(0.1)
    assert doses.forced(0.55, w, v, 0.0) == pytest.approx(0.05)  # half way between 0.05 and 0.1
    assert doses.forced(0.85, w, v, 0.0) == pytest.approx(0.75)
    assert doses.forced(0.85, w, v, 0.25) == pytest.approx(0.5)
    assert doses.forced(0.85, w, v, 0.9) == 0
    assert doses.forced(0.85, w, v, -0.1) == pytest.approx(0.85)  # a rule that flags more of the poisons
    assert doses.forced(0.91, w, v, 0.0) is None


def test_the_forced_success_is_the_least_of_all_doses(load):
    """Among all pairs of doses of a rule that spares no more than that, none has that WGA at less success."""
    doses = load("theory", "doses")
    rng = np.random.default_rng(0)
    for _ in range(20):
        w, v = np.sort(rng.random((2, len(doses.SHARES))))
        spared, wanted = rng.uniform(0, 0.5), rng.uniform(w[0], w[-1])
        grid = np.linspace(0, 1, 401)
        reach = np.interp(grid, doses.SHARES, w) >= wanted
        least = min(
            np.interp(poison, doses.SHARES, v)
            for minority, poison in itertools.product(grid[reach][:3], grid)
            if minority - poison <= spared
        )
        assert doses.forced(wanted, w, v, spared) == pytest.approx(least, abs=0.03)
        assert doses.forced(wanted, w, v, spared) <= least + 1e-9


def test_curves_are_made_nondecreasing_and_their_falls_told(load):
    doses = load("theory", "doses")
    rough = [0.1, 0.3, 0.2, 0.4, 0.4, 0.6, 0.5]
    np.testing.assert_allclose(doses.monotone(rough), [0.1, 0.25, 0.25, 0.4, 0.4, 0.55, 0.55])
    np.testing.assert_allclose(doses.monotone(rough), isotonic_regression(np.array(rough)))
    assert doses.fall(rough) == pytest.approx(0.1)
    assert doses.fall(sorted(rough)) == 0


def test_doses_are_of_one_seed_and_one_lambda(load):
    doses = load("theory", "doses")
    lines = [
        {
            "dosed": dosed,
            "share": share,
            "lambda_up": 3.0,
            "seed": float(seed),
            "wga": share,
            "net": share / 2 + seed,
        }
        for dosed in ("minority", "poison")
        for share in doses.SHARES
        for seed in (0, 1)
    ]
    found = doses.curves(lines, 3)
    np.testing.assert_allclose(found[1].w, doses.SHARES)
    np.testing.assert_allclose(found[1].v, np.array(doses.SHARES) / 2 + 1)
    assert doses.curve(lines, "poison", 3, "net")[0.5] == [0.25, 1.25]


class Fake:
    """What `measure` asks of a study: two seeds, a single epoch, poisons above the minority, by hand."""

    def __init__(self, measure, shift):
        scores = {
            0: [1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10],
            1: [1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 10.5],
        }
        self.summary = {"seeds": [0, 1], "epochs": [4], "judged_epoch": 4}
        self.arrays = {}
        for seed, minority in scores.items():
            sets = ["lrg_1"] * 10 + ["lrg_2"] * 4 + ["poison"] * 5
            self.arrays[f"seed{seed}.set"] = np.array(sets)
            values = np.concatenate([minority, [1.0] * 4, np.array(minority[:5]) + shift])
            for score in measure.SCORES:
                self.arrays[f"seed{seed}.{score}"] = values[None]


def test_a_rule_of_the_other_seed_is_judged_on_this_one(load):
    """Poisons far above, far below, or among the minority: the shares kept, counted by hand."""
    measure = load("separability", "measure")

    def study(shift):
        one = Fake(measure, shift)
        return measure.Study(one.summary, one.arrays)

    def learned(data, attacks, studies, against="lrg_1"):
        lines = list(measure.faced(data, attacks, studies))
        return {(line["seed"], line["score"]): line for line in lines if line["against"] == against}

    found = learned("toy", "dlbd", [study(100.0)])
    # Edges of seed 1 are 2.4, 3.3, ..., 9.6: of seed 0 only 10 is in the bin with the poisons; of seed 1, 9.5 below
    # 9.1 of seed 0 is not, so two are.
    assert found[0, "loss"]["learned"] == pytest.approx(0.9)
    assert found[1, "loss"]["learned"] == pytest.approx(0.8)
    assert found[0, measure.CHOSEN]["learned"] == pytest.approx(0.9)
    assert found[0, "loss"]["null"] > 0
    assert np.isnan(found[0, "margin"]["null"])
    both = learned("toy", measure.UNKNOWN, [study(100.0), study(-100.0)])
    # Below 2.4 are two more of seed 0.
    assert both[0, "loss"]["learned"] == pytest.approx(0.7)
    # Made against the poisons above alone, the rule keeps all those below and nine tenths; the other way round, eight.
    assert both[0, "loss"]["unseen"] == pytest.approx(0.8 - 1)
    everyone = {line["against"] for line in measure.faced("toy", "gm", [study(0.0)])}
    assert everyone == {"lrg_1", "lrg"}


def test_the_forest_tells_what_no_threshold_does(load):
    """Poisons on both sides of the minority in two scores."""
    measure = load("separability", "measure")
    rng = np.random.default_rng(0)

    def pair():
        side = rng.choice([-4.0, 4.0], (40, 1))
        return rng.normal(size=(50, 2)), rng.normal(size=(40, 2)) + side

    theirs, own = measure.forest([[pair()], [pair()]], [pair()], rng)
    assert [[len(part) for part in view] for seed in theirs for view in seed] == [[50, 40]] * 2
    for view in (*theirs[0], *theirs[1], *own):
        assert np.mean(view.poison[:, None] > view.minority[None]) > 0.97


def test_counts_and_cells_of_the_separability_tables(load):
    report = load("separability", "report")
    assert report.count([True, False, True, True, True]) == "4 of 5 [28, 99]%"  # Clopper-Pearson
    assert report.count([False] * 5) == "0 of 5 [0, 52]%"
    assert report.extent([152.0, 43.0, 50.0]) == "43-152"
    assert report.extent([47.0, 47.0]) == "47"
    assert report.below([0.002, 0.05, 0.06, None], 0.05) == [True, True, False, False]
    assert report.cell([0.5, 0.5, 0.5]) == "0.50 [0.50, 0.50]"
    assert report.cell([0.5, None]) == "-"
    lines = [
        {"data": "a", "score": "loss", "auroc": "0.5"},
        {"data": "b", "score": "loss", "auroc": ""},
        {"data": "a", "score": "loss", "auroc": "0.7"},
    ]
    table = report.grouped(lines, ("data", "score"))
    assert table.values("auroc", "a", "loss") == [0.5, 0.7]
    assert table.values("auroc", "b", "loss") == [None]
    assert table.values("auroc", "c", "loss") == []
    assert table.columns(1) == [("a",), ("b",)]


def test_numbers_of_a_csv_are_read_back(load, tmp_path):
    measure = load("separability", "measure")
    lines = [{"x": 0.123456, "y": float("nan"), "z": "loss"}, {"x": -1e-9, "y": 3, "z": "all"}]
    measure.write_csv(tmp_path / "t.csv", ("x", "y", "z"), lines)
    with (tmp_path / "t.csv").open() as file:
        assert list(csv.DictReader(file)) == [
            {"x": "0.1235", "y": "", "z": "loss"},
            {"x": "0", "y": "3", "z": "all"},
        ]


def lines_of(*settings):
    """Lines of a frontier: (row, setting, validation WGA, validation net success)."""
    return [
        points.Line(row, setting, "val", [0, 1], {"wga": [wga] * 2, "net": [net] * 2})
        for row, setting, wga, net in settings
    ]


def test_the_matrix_lets_the_best_through_that_hold_the_attack():
    run = runpy.run_path(str(ROOT / "experiments/matrix/run.py"))
    lines = lines_of(
        ("erm", "-", 0.5, 0.10),
        ("a", "x=1", 0.9, 0.16),  # more than 5 points above ERM
        ("a", "x=2", 0.7, 0.15),
        ("b/a", "x=1", 0.8, -0.2),
        ("b", "-", 0.6, 0.0),
    )
    assert run["passed"](lines, "net") == ["b/a", "a", "b"]


def test_outcomes_of_the_matrix_by_hand():
    report = runpy.run_path(str(ROOT / "experiments/matrix/report.py"))
    erm = {"test": {"wga": [0.5, 0.52, 0.54], "net": [0.1, 0.1, 0.1], "trials": [0] * 3}}

    def outcome(wga, net):
        point = {"test": {"wga": wga, "net": net, "trials": [0] * 3}}
        return report["outcome"](point, erm, {"verdict": "net", "signed": ["net"]})

    assert outcome([0.6, 0.62, 0.65], [0.1, 0.15, 0.19]) == "both"
    assert outcome([0.6, 0.62, 0.65], [0.1, 0.2, 0.2]) == "only WGA"
    assert outcome([0.4, 0.9, 0.6], [0.0, 0.0, 0.0]) == "only the attack held"  # the interval holds 0
    assert outcome([0.4, 0.9, 0.6], [0.5, 0.5, 0.5]) == "neither"


def test_rows_across_matrices_by_hand():
    """Of two matrices of ERM, a, b: a has both in one, b in both; what is in one only has a dash in the other."""
    report = runpy.run_path(str(ROOT / "experiments/matrix/report.py"))

    def result(attack, rows):
        head = {"verdict": "net", "signed": ["net"], "seeds": [0, 1, 2], "budget": 0.01}
        points = []
        for row, (low, net) in rows.items():
            own = {"wga": [low, low + 0.01, low + 0.03], "net": [net] * 3, "trials": [0] * 3}
            points.append(
                {"row": row, "label": row.upper(), "setting": {}, "oracle": False, "val": own, "test": own}
            )
        return {**head, "data": "digits", "attack": attack, "points": points}

    one = result("one", {"erm": (0.5, 0.1), "a": (0.7, 0.12), "b": (0.6, 0.1)})
    two = result("two", {"erm": (0.5, 0.1), "a": (0.7, 0.3), "b": (0.8, 0.14), "c": (0.4, 0.0)})
    lines = report["across"]({"one": one, "two": two}).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line]
    assert cells == [
        ["training", "digits, one at 1%", "digits, two at 1%", "both"],
        ["ERM", "51 / 10", "51 / 10", "-"],
        ["B", "61 / 10*", "81 / 14*", "2"],
        ["A", "71 / 12*", "none", "1"],
    ]


def test_damage_is_net_of_what_a_row_costs_by_itself():
    """By hand: 30 and 40 points of damage, of which 10 and 25 are there on clean data; ERM's stays what it is."""
    report = runpy.run_path(str(ROOT / "experiments/matrix/report.py"))

    def result(**damages):
        points = [
            {"row": row.replace("_at_", "@"), "setting": {"x": 1.0}, **dict.fromkeys(("val", "test"), own)}
            for row, damage in damages.items()
            for own in [{"wga": [0.5, 0.6], "target_damage": damage}]
        ]
        return {"verdict": "target_damage", "measures": {"target_damage": "damage"}, "points": points}

    poisoned = result(erm=[0.1, 0.2], a=[0.3, 0.4], b=[0.5, 0.5])
    net = report["net_of"](poisoned, result(erm=[0.1, 0.2], a_at_clean=[0.1, 0.25]))
    told = {point["row"]: point["test"] for point in net["points"]}
    assert set(told) == {"erm", "a"}  # b has no counterpart
    assert told["erm"]["target_damage"] == [0.1, 0.2]
    assert told["a"]["target_damage"] == pytest.approx([0.2, 0.15])
    assert told["a"]["own_cost"] == [0.1, 0.25]
    assert told["a"]["wga"] == [0.5, 0.6]
    assert "net" in net["measures"]["target_damage"]


def test_shares_of_variance_by_hand():
    variance = runpy.run_path(str(ROOT / "experiments/variance/run.py"))
    by_first = np.broadcast_to(np.array([0.0, 1.0, 5.0])[:, None, None], (3, 3, 3))
    np.testing.assert_allclose(variance["shares"](by_first), [1, 0, 0])
    np.testing.assert_allclose(variance["shares"](np.full((3, 3, 3), 0.3)), [0, 0, 0])
    both = by_first + by_first.transpose(2, 0, 1)  # the second axis as much as the first
    np.testing.assert_allclose(variance["shares"](both), [0.5, 0.5, 0])
    assert variance["by_chance"](by_first)[0] == pytest.approx(1 / (variance["SHUFFLES"] + 1))
    lines = [
        points.Line(
            "erm",
            f"seeds.attack={a} seeds.pretrain={p}",
            "test",
            [0, 1, 2],
            {"wga": [100 * a + 10 * p + t for t in range(3)]},
        )
        for a in range(3)
        for p in range(3)
    ]
    found = variance["table"](lines, "erm", "wga")
    assert found[2, 0, 1] == 201
    assert not np.isnan(found).any()
