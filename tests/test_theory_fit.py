"""`oilwater theory --fit`: the model recovers itself from a run's figures, and says what it cannot."""

import html
import json

import numpy as np
import pytest
from rich.console import Console

from oilwater_jax import cli
from oilwater_jax.errors import UserError
from oilwater_jax.files import seal
from oilwater_jax.theory.amplification import amplified
from oilwater_jax.theory.figures import figures
from oilwater_jax.theory.fit import (
    CAVEATS,
    Target,
    fit,
    fit_run,
    flag_words,
    predicted,
    print_fit,
    row_lines,
)
from oilwater_jax.theory.model import Model, erm
from oilwater_jax.theory.run_files import group_shares, read

COUNTS = np.array([3498, 184, 56, 1057])  # waterdigits' and Waterbirds' groups
TRUTH = Model(p=float(COUNTS[[0, 3]].sum() / COUNTS.sum()), beta=47 / 4842)
FIVE = {
    "erm@clean": (TRUTH._replace(beta=0.0), None),
    "erm": (TRUTH, None),
    "jtt": (TRUTH, "standard"),
    "jtt:ideal": (TRUTH, "ideal"),
    "jtt:worst": (TRUTH, "worst"),
}


def row(one, rng, **more):
    """A row of two seeds; its groups differ a little, its means are the model's."""
    by_group = np.array([one.majority, one.minority + 0.03, one.minority, one.majority])
    apart = rng.uniform(-0.004, 0.004, 2)
    seeds = np.stack([by_group + np.array([-1057, 0, 0, 3498]) / 3498 * by for by in apart])
    seeds[:, 1] += rng.uniform(-0.01, 0.01, 2)
    adjusted = seeds @ (COUNTS / COUNTS.sum())
    return {
        "wga": float(one.wga),
        "asr": float(one.asr),
        "group_acc": by_group.tolist(),
        "group_acc_seeds": seeds.tolist(),
        "acc_adjusted_seeds": adjusted.tolist(),
        "elmf": {},
        "rounds_seeds": [[], []],
        **more,
    }


def summary():
    rng = np.random.default_rng(0)
    rows = {}
    for name, (model, mode) in FIVE.items():
        w = erm(model)
        rows[name] = row(figures(model, w if mode is None else amplified(model, w, mode=mode)), rng)
    share = {"poison": 0.7, "lrg_1": 0.5, "lrg_2": 0.4, "hrg_1": 0.2, "hrg_2": 0.1}
    elmf = share | {f"{name}_seeds": [value - 0.1, value + 0.1] for name, value in share.items()}
    defended = {"elmf": elmf, "rounds_seeds": [[{"epoch": 1, "elmf": {}}]] * 2}
    for name in ("epic", "epic+jtt", "epic/jtt"):
        rows[name] = row(figures(TRUTH, erm(TRUTH)), rng, **defended)
    rows["george"] = row(figures(TRUTH, erm(TRUTH)), rng)
    return {
        "rows": rows,
        "found": {
            "jtt": {"idnf": {"poison": 0.95, "lrg_1": 0.57, "lrg_2": 0.06, "hrg_1": 0.01, "hrg_2": 0.03}}
        },
        "n_train": 4795,
        "n_poison_seeds": [47, 47],
        "groups": ["a", "b", "c", "d"],
        "measures": {"asr": "ASR", "asr_untriggered": "untriggered"},
    }


def whole(summary):
    """A summary with all else that a run's has."""
    count = len(summary["n_poison_seeds"])

    def spread(figures):
        names = [name for name in figures if not name.endswith(("_std", "_seeds"))]
        more = {f"{name}_std": None for name in names} | {
            f"{name}_seeds": [figures[name]] * count for name in names
        }
        return {**more, **figures}

    rows = {}
    for name, one in summary["rows"].items():
        measured = {f"{rate}{part}": None for rate in ("acc", "acc_adjusted", "wga") for part in ("", "_std")}
        measured |= {f"{rate}_seeds": [None] * count for rate in ("acc", "acc_adjusted", "wga")}
        measured |= dict.fromkeys(summary["measures"])
        measured |= {f"{measure}_seeds": [None] * count for measure in summary["measures"]}
        rows[name] = {
            **{"label": name, "aims": [], "oracle": False, "alone": "", "idnf": {}, "draws": {}},
            **{"idnf_class": {}, "trials_seeds": [0] * count},
            **{"worst_group": 0, "worst_group_seeds": [0] * count, "selected_epoch_seeds": [1] * count},
            **measured,
            **one,
            "elmf": spread(one["elmf"]),
        }
    found = {
        name: {"label": name, "n_flagged_seeds": [1] * count, "idnf": spread(one["idnf"]), "idnf_class": {}}
        for name, one in summary["found"].items()
    }
    rest = {
        "seeds": list(range(count)),
        "smoke": False,
        "split": "test",
        "n_poison": 1,
        "baseline": "",
        "signed": [],
        "key": "",
    }
    return seal({**summary, **rest, "rows": rows, "found": found})


def folder(tmp_path, changed=None, config=None):
    (tmp_path / "summary.json").write_text(json.dumps(whole(changed or summary())))
    run = {"rows": ["erm"], "smoke": False, "evaluate": "test", "data": {"name": "waterdigits"}}
    own = {"attack": {"name": "dlbd"}, "jtt": {"lambda_up": 50.0}} if config is None else config
    (tmp_path / "config.json").write_text(json.dumps(run | own))
    return tmp_path


def of_three_groups(summary):
    """The last group left out."""
    summary["groups"].pop()
    for row in summary["rows"].values():
        row["group_acc"].pop()
        row["group_acc_seeds"] = [groups[:3] for groups in row["group_acc_seeds"]]


def test_the_strengths_come_back():
    own = figures(TRUTH, erm(TRUTH))
    model, reached = fit(
        Target(float(own.wga), float(own.majority), float(own.asr)), TRUTH.p, TRUTH.beta, 50.0
    )
    np.testing.assert_allclose(model[:3], TRUTH[:3], rtol=1e-4)
    assert reached.asr == pytest.approx(own.asr, abs=1e-6)


def test_groups_sizes_follow_from_the_adjusted_accuracy():
    shares = group_shares(summary()["rows"])
    assert shares is not None
    np.testing.assert_allclose(shares * 4795, COUNTS, atol=1e-3)
    assert group_shares({"erm": summary()["rows"]["erm"]}) is None  # two equations


def test_the_models_own_run_is_predicted_row_by_row(tmp_path):
    found = fit_run(folder(tmp_path))
    assert found["fitted"]["reached"]
    assert found["model"]["p"] == pytest.approx(0.95, abs=0.001)
    assert found["model"]["beta"] == pytest.approx(47 / 4842)
    for name in FIVE:
        one = found["rows"][name]
        assert one["model"] == pytest.approx(one["measured"], abs=0.002)
    assert found["rows"]["george"]["model"] is None
    assert found["flagged"]["min"] == {"measured": 0.57, "model": pytest.approx(0.566, abs=0.01)}
    assert found["flagged"]["maj"]["measured"] == pytest.approx((3498 * 0.01 + 1057 * 0.03) / 4555)
    json.dumps(found, allow_nan=False)


def test_a_defended_row_goes_by_what_was_eliminated(tmp_path):
    found = fit_run(folder(tmp_path))
    rows = found["rows"]
    assert rows["epic"]["model"]["asr"] < rows["erm"]["model"]["asr"]
    assert rows["epic+jtt"]["model"]["asr"] < rows["jtt"]["model"]["asr"]
    run = read(tmp_path)
    low, high = run.gone["epic"]
    assert low == pytest.approx(((3498 * 0.1 + 1057 * 0) / 4555, (56 * 0.4 + 184 * 0.3) / 240, 0.6))
    model = Model(**found["model"])
    each = [predicted(model, "epic+jtt", gone) for gone in (low, high)]
    assert rows["epic+jtt"]["model"]["asr"] == pytest.approx(np.mean([one.asr for one in each if one]))
    all_gone = predicted(model, "epic+jtt", (0.0, 0.0, 1.0))
    clean = predicted(model, "jtt@clean", None)
    assert all_gone is not None
    assert clean is not None
    # Without the poisons plain training differs a little, and with it who is flagged.
    assert all_gone.wga == pytest.approx(clean.wga, abs=0.02)
    assert predicted(model, "epic/jtt", (0.0, 0.0, 1.0)).wga == pytest.approx(clean.wga, abs=1e-9)  # pyright: ignore
    assert predicted(model, "spectral/jtt", (0.0, 0.0, 1.0)) is None
    assert predicted(model, "epic+jtt", None) is None


def test_printed_beside_the_measured(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["theory", f"--fit={folder(tmp_path)}"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    for words in ("WGA model", "measured", "jtt:ideal", "fitted", "flagged by JTT", "Strong triggers"):
        assert words in out
    found = fit_run(tmp_path)
    found["fitted"]["reached"] = False
    console = Console(width=60)
    with console.capture() as capture:
        print_fit(found, console)
    assert "does not reach plain training's figures; nearest: wga 43.4 for 43.4" in capture.get()


def test_the_fitted_model_can_be_mapped(tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(SystemExit) as caught:
        cli.main(["theory", f"--fit={folder(run)}", "--grid=3", f"--workdir={tmp_path / 'out'}"])
    assert caught.value.code == 0
    found = json.loads((tmp_path / "out/theory.json").read_text())
    assert found["settings"] == pytest.approx(found["fit"]["model"])
    assert (tmp_path / "out/phase.png").exists()
    page = html.unescape((tmp_path / "out/report.html").read_text())
    for name, *cells in row_lines(found["fit"]["rows"]).body:
        own = "".join(f"<td>{cell}</td>" for cell in cells)
        assert f'<tr><th scope="row">{name}</th>{own}</tr>' in page
    for words in (*flag_words(found["fit"]), *CAVEATS, f"of {run}"):
        assert words in page
    assert {path.name for path in run.iterdir()} == {"config.json", "summary.json"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s["rows"].pop("erm"), "has no row erm"),
        (lambda s: s.update(measures={"target_damage": "damage"}), "attack dlbd plants no trigger"),
        (of_three_groups, "has 3 groups"),
        (lambda s: s.update(rows={"erm": s["rows"]["erm"]}), "give the majority's share, e.g. --p=0.95"),
    ],
)
def test_what_cannot_be_fitted_is_refused(change, message, tmp_path):
    changed = summary()
    change(changed)
    with pytest.raises(UserError, match=message):
        fit_run(folder(tmp_path, changed))


def test_what_the_run_does_not_say_is_asked_for(tmp_path):
    folder(tmp_path, config={"attack": {"name": "dlbd"}})
    with pytest.raises(UserError, match=r"has no jtt.lambda_up"):
        fit_run(tmp_path)
    assert fit_run(tmp_path, lambda_up=10.0)["model"]["lambda_up"] == 10
    few = summary()
    few["rows"] = {name: few["rows"][name] for name in ("erm",)}
    found = fit_run(folder(tmp_path, few), p=0.95)
    np.testing.assert_allclose(list(found["model"].values())[:2], TRUTH[:2], rtol=0.05)
    with pytest.raises(UserError, match=r"p = 1\.5 must be between 0 and 1"):
        fit_run(tmp_path, p=1.5)


def test_a_balanced_run_has_no_minority(tmp_path):
    balanced = summary()
    for one in balanced["rows"].values():
        one["acc_adjusted_seeds"] = [float(np.mean(groups)) for groups in one["group_acc_seeds"]]
    with pytest.raises(UserError, match="has no minority"):
        fit_run(folder(tmp_path, balanced))
