"""`oilwater study`: what it tells apart, and that no moment of death changes a figure."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from oilwater_jax import cli, pipeline, rng
from oilwater_jax.errors import UserError
from oilwater_jax.reporting import study as tables
from oilwater_jax.reporting import study_plots
from oilwater_jax.settings import config as cfg
from oilwater_jax.study import pairs
from oilwater_jax.study import run as study
from oilwater_jax.study.advantage import advantage, permuted
from oilwater_jax.study.best_rules import best_rules
from oilwater_jax.study.pairs import cross_validate
from oilwater_jax.study.separability import questions, separability, unions

ROOT = Path(__file__).parent.parent
MAIN_JOB = str(ROOT / "configs/waterdigits/dlbd.py")
TINY = {"smoke": "true", "checkpoint.seconds": "0", "cnn.widths": "8,8", "pretrain.epochs": "0"}


def tiny(**changed):
    return cfg.load(MAIN_JOB, TINY | changed)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A study's folder that nothing happened to."""
    folder = tmp_path_factory.mktemp("study") / "run"
    study.run(tiny(), folder)
    return folder


def test_a_study_says_what_it_found_and_where_it_is(undisturbed, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    cli.show(undisturbed)
    out = capsys.readouterr().out
    assert "waterdigits, attack dlbd: 513 training samples, 5 poisons, 26 LRG, 487 HRG; 1 seed" in out
    assert "poisons against LRG: best is" in out
    assert "poisons against HRG: best is" in out
    assert "scores.npz" in out
    assert {path.name for path in (undisturbed / "figures").iterdir()} == {
        "poison_vs_lrg.png",
        "poison_vs_lrg_1.png",
        "poison_vs_lrg_2.png",
        "poison_vs_hrg.png",
        "lrg_vs_hrg.png",
        "advantage.png",
        "gradient_space.png",
    }


def test_scores_are_those_of_the_model_after_the_epoch(undisturbed):
    with np.load(undisturbed / "scores.npz", allow_pickle=False) as saved:
        arrays = {name: saved[name] for name in saved.files}
    assert arrays["epochs"].tolist() == [1, 2]
    assert (arrays["seed0.set"] == "poison").sum() == 5
    np.testing.assert_array_equal(arrays["seed0.loss"], arrays["seed0.loss_by_epoch"])
    config = tiny()
    with pipeline.entered(
        config, undisturbed, study.identity(config), seeds=1, overwrite=False, key_of_run=study.run_key
    ) as (e, _):
        rooms = study.Rooms(e, 0)
        params = study.fitted(rooms).params  # finished: from its last checkpoint
        found = e.network.score(params, rooms.poisoned, ("loss", "gradient_norm", "margin"))
    for name, values in found.items():
        np.testing.assert_allclose(arrays[f"seed0.{name}"][1], values, rtol=1e-5, atol=1e-6)
        assert not np.allclose(arrays[f"seed0.{name}"][0], values, rtol=1e-3)


@pytest.mark.slow
def test_a_study_cut_off_between_two_epochs_ends_in_the_same_bytes(undisturbed, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    (folder / "summary.json").unlink()
    shutil.rmtree(folder / "stages/seed0/study")
    checkpoints = [path for path in (folder / "checkpoints/seed0/study").iterdir() if path.name.isdigit()]
    shutil.rmtree(max(checkpoints, key=lambda path: int(path.name)))  # as if it had died in the second epoch
    study.run(tiny(), folder)
    for file in ("summary.json", "stages/seed0/study/stage.json"):
        assert (folder / file).read_bytes() == (undisturbed / file).read_bytes()
    epochs = [json.loads(line)["epoch"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert epochs == [1, 2]


def test_a_studys_folder_is_no_runs(undisturbed):
    with pytest.raises(UserError, match=r"holds a run of another config.*command: study -> absent"):
        pipeline.run(tiny(), undisturbed)
    with pytest.raises(UserError, match=r"study\.k: 10 -> 3"):
        study.run(tiny(**{"study.k": "3"}), undisturbed)


def test_epochs_that_do_not_grow_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"study\.epochs = \(4, 2\) must be in increasing order"):
        tiny(**{"study.epochs": "4,2"})
    assert list(tmp_path.iterdir()) == []


def test_two_scores_together_can_tell_what_neither_can():
    rng = np.random.default_rng(0)
    n = 200
    is_first = np.arange(n) < 50
    common = 3 * rng.normal(size=n)
    scores = np.stack(
        [common + is_first, common + 0.1 * rng.normal(size=n), rng.normal(size=n), np.zeros(n)], axis=1
    )
    found = cross_validate(scores, is_first, ["a", "b", "noise", "constant"], rng)
    assert found.by_pair["a + b"] > 0.99
    assert found.pair > 0.99
    assert found.single < 0.7
    assert found.by_pair["noise + constant"] < 0.7


def test_the_nested_choice_is_not_fooled_by_noise():
    rng = np.random.default_rng(0)
    n = 300
    scores, is_first = rng.normal(size=(n, 10)), np.arange(n) < 40
    found = cross_validate(scores, is_first, list("abcdefghij"), rng)
    assert max(found.by_pair.values()) > max(0.56, found.pair)  # the optimism that nesting takes away
    assert abs(found.pair - 0.5) < 0.1
    assert abs(found.single - 0.5) < 0.1


def test_a_set_with_less_than_a_fold_of_samples():
    scores, is_first = np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) < 3
    assert 0 <= cross_validate(scores, is_first, ["a", "b"], np.random.default_rng(0)).pair <= 1
    with pytest.raises(ValueError, match="a set of 1 samples"):
        cross_validate(scores, np.arange(20) < 1, ["a", "b"], np.random.default_rng(0))


def made_up(poisons, seed=0, n=120):
    """Figures of one seed: a loss that grows from HRG over LRG to poisons, other scores noise."""
    rng = np.random.default_rng(seed)
    kind = np.repeat(["poison", "lrg_1", "lrg_2", "hrg_1"], [poisons, 10, 10, n - 20 - poisons])
    sets = {name: kind == name for name in ("poison", "lrg_1", "lrg_2", "hrg_1")}
    scores = {name: rng.normal(size=(2, n)) for name in tables.SCORES}
    scores["loss"][1] += 4 * sets["poison"] + 2 * (sets["lrg_1"] | sets["lrg_2"])
    correct = scores["loss"] < 1
    return {"n_train": n - poisons, **separability(scores, unions(sets), (1, 4), seed, correct=correct)}


CONFIG = {
    "study": {"epochs": [1, 4], "k": 10},
    "data": {"name": "waterdigits"},
    "attack": {"name": "dlbd"},
    "epic": {"ratio": 0.1, "gradients": "last_layer"},
}


def printed(summary):
    console = Console(width=80)
    with console.capture() as capture:
        tables.print_summary(summary, console)
    return capture.get()


@pytest.fixture(scope="module")
def figures():
    """Those of two seeds with 15 poisons."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "REPEATS", 1)
        return {seed: made_up(15, seed) for seed in (0, 1)}


def test_a_summary_of_two_seeds(tmp_path, figures):
    summary = tables.summarise(figures, CONFIG, [0, 1])
    one = summary["auroc"]["poison_vs_lrg"]["loss"][1]
    assert one["auroc"] == pytest.approx(np.mean(one["auroc_seeds"]))
    assert all(
        low < value < high
        for low, value, high in zip(one["low_seeds"], one["auroc_seeds"], one["high_seeds"], strict=True)
    )
    # Two unit normals that are 2 apart: 0.92.
    assert 0.8 < one["auroc"] < 1
    text = printed(summary)
    assert "15 poisons, 20 LRG, 85 HRG; 2 seeds" in text
    assert "best pair (nested)" in text
    assert "mean over the seeds [95% interval, Student's]" in text
    assert "poisons against LRG: best is loss after epoch 4" in text
    assert "poisons against LRG-2: best is loss after epoch 4" in text
    study_plots.write_questions(tmp_path, summary)
    study_plots.write_advantages(tmp_path, summary)
    questions = {"poison_vs_lrg", "poison_vs_lrg_1", "poison_vs_lrg_2", "poison_vs_hrg", "lrg_vs_hrg"}
    assert {path.stem for path in tmp_path.iterdir()} == questions | {"advantage"}
    json.dumps(summary, allow_nan=False)


def test_without_poisons_only_the_minorities_are_asked_for(tmp_path):
    summary = tables.summarise({0: made_up(0)}, CONFIG, [0])
    assert summary["pairs"] is None
    text = printed(summary)
    assert "poisons against LRG: no answer" in text
    assert "poisons against HRG: no answer" in text
    assert "LRG against HRG: best is loss after epoch 4" in text
    study_plots.write_questions(tmp_path, summary)
    study_plots.write_advantages(tmp_path, summary)
    assert [path.name for path in tmp_path.iterdir()] == ["lrg_vs_hrg.png"]
    assert "half-line" not in text


def test_advantages_of_a_summary(figures):
    summary = tables.summarise(figures, CONFIG | {"identify": {"epochs": 4}}, [0, 1])
    assert summary["judged_epoch"] == 4
    assert set(summary["advantage"]) == set(summary["auroc"])
    found = summary["advantage"]["poison_vs_lrg_1"]
    one = found["scores"]["loss"][1]
    # 15 and 10 samples of unit normals that are 2 apart: 0.68 in the population.
    assert one["half_lines"] == np.median(one["half_lines_seeds"]) > 0.5
    assert one["upper"] <= one["half_lines"] <= one["band"]
    assert one["null_half_lines"] == pytest.approx(0.33, abs=0.05)
    assert one["p_half_lines"] < 0.05 < found["scores"]["margin"][1]["p_half_lines"]
    assert one["dominance"] <= 0
    assert found["dkw"] == pytest.approx(1.4802 * (15**-0.5 + 10**-0.5), abs=0.001)
    assert len(found["rule"]) == len(found["law"]) == 2
    assert found["law"][1]["auroc"] > 0.7
    text = printed(summary)
    for words in (
        "advantage after epoch 4, poisons against LRG-1",
        "bands ±",
        "all scores, cross-fitted",
        "medians",
    ):
        assert words in text
    assert "by the probit law from the shares fit" in text
    json.dumps(summary, allow_nan=False)


def test_one_minority_is_asked_about_once():
    sets = {name: np.zeros(3, bool) for name in ("poison", "lrg_1", "hrg_1")}
    assert list(questions(unions(sets))) == ["poison_vs_lrg", "poison_vs_hrg", "lrg_vs_hrg"]
    several = questions(unions(sets | {"lrg_2": np.zeros(3, bool)}))
    assert several["poison_vs_lrg_2"] == ("poison", "lrg_2")


def test_best_rules_draw_by_name():
    scores = {name: np.random.default_rng(3).integers(0, 9, (2, 60)).astype(float) for name in ("a", "b")}
    rows = np.arange(20), np.arange(20, 60)
    found = [best_rules(scores, *rows, seed, "poison_vs_lrg") for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    assert found[0]["law"] is None
    at = found[0]["scores"]["a"][1]
    draws = rng.generator(0, "permutations poison_vs_lrg")
    first, second = (scores["a"][1, own] for own in rows)
    alone = permuted(first, second, draws)
    assert at["value"] == advantage(first, second)._asdict()
    assert (at["null"], at["p"]) == (alone.null._asdict(), alone.p._asdict())


def test_a_study_of_an_earlier_version_is_still_shown(tmp_path, figures):
    summary = tables.summarise({0: figures[0]}, CONFIG, [0])
    assert summary["judged_epoch"] == 4  # the last: the config does not say when methods look
    old = {name: value for name, value in summary.items() if name not in ("advantage", "judged_epoch")}
    assert "best is loss" in printed(old)
    assert "half-line" not in printed(old)
    study_plots.write_advantages(tmp_path, old)
    assert not list(tmp_path.iterdir())


def test_separability_is_the_better_direction():
    steps = {"a": [{"auroc": 0.7}, {"auroc": 0.1}], "b": [{"auroc": None}, {"auroc": 0.8}]}
    best = tables.strongest(steps, [1, 4])
    assert best == tables.Strongest("a", 4, 0.1)
    assert best is not None
    assert best.separability == 0.9
    assert tables.strongest({"a": [{"auroc": None}]}, [1]) is None


def test_a_score_of_ones_own_is_studied_with_the_others(tmp_path):
    own = str(ROOT / "tests/own/line.py")
    config = cfg.load(MAIN_JOB, TINY | {"study.epochs": "1"}, plugins=(own,))
    result = study.run(config, tmp_path / "run")
    assert result["scores"]["sureness"] == "sureness"
    assert result["auroc"]["poison_vs_hrg"]["sureness"][0]["auroc"] is not None
    with np.load(tmp_path / "run/scores.npz", allow_pickle=False) as saved:
        assert (saved["seed0.sureness"] >= 0.5).all()
    page = (tmp_path / "run/report.html").read_text()
    cell = result["auroc"]["poison_vs_hrg"]["sureness"][0]["auroc"]
    assert f'<tr><th scope="row">sureness</th><td>{cell:.2f} [' in page
    assert "AUROC, poisons against HRG" in page
    assert page.count("<img ") == len(list((tmp_path / "run/figures").glob("*.png")))
