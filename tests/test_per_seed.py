"""The per-seed lines that the reports of the catalogue and of the open questions are made from."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

HERE = Path(__file__).parents[1] / "experiments" / "catalogue" / "per_seed.py"
SEEDS = SimpleNamespace(**runpy.run_path(str(HERE)))

SUMMARY = {
    "seeds": [0, 1],
    "n_poison_seeds": [47, 46],
    "measures": {"asr": "ASR", "asr_untriggered": "untriggered"},
    "baseline": "asr_untriggered",
    "found": {"strip": {"label": "STRIP", "idnf": {"poison_seeds": [0.5, None]}}},
    "rows": {
        "erm": {
            "label": "ERM, plain",
            "acc_seeds": [0.9, 0.8],
            "acc_adjusted_seeds": [0.7, 0.6],
            "wga_seeds": [0.4, 0.2],
            "asr_seeds": [0.95, 0.06],
            "asr_untriggered_seeds": [0.05, 0.02],
            "elmf": {"poison_seeds": [0.0, 0.25]},
            "selected_epoch_seeds": [7, 2],
        }
    },
}


def test_a_line_per_row_and_seed_success_net_and_back_from_csv(tmp_path):
    lines = SEEDS.lines_of("run_1", SUMMARY)
    assert [(line["row"], line["seed"]) for line in lines] == [
        ("found:strip", 0),
        ("erm", 0),
        ("found:strip", 1),
        ("erm", 1),
    ]
    assert lines[1]["success"] == pytest.approx(0.9)
    assert lines[3]["success"] == pytest.approx(0.04)
    assert lines[3]["elmf.poison"] == 0.25
    assert lines[2]["flagged.poison"] is None
    SEEDS.write(tmp_path / "x.csv", lines)
    back = SEEDS.read(tmp_path / "x.csv")
    assert back[1]["label"] == "ERM, plain"
    assert (back[3]["n_poison"], back[3]["seed"]) == (46, 1)
    assert SEEDS.epochs(SEEDS.of(back, "run_1", "erm")) == "7, 2"
    assert back[3]["success"] == pytest.approx(0.04)
    assert back[2]["flagged.poison"] is None


def test_means_pairs_and_exact_shares():
    lines = SEEDS.lines_of("run_1", SUMMARY)
    erm = SEEDS.of(lines, "run_1", "erm")
    assert SEEDS.mean(erm, "wga").mean == pytest.approx(0.3)
    assert SEEDS.mean(SEEDS.of(lines, "run_1", "found:strip"), "flagged.poison") is None
    other = {seed: line | {"wga": line["wga"] - 0.1} for seed, line in erm.items()}
    gain = SEEDS.paired(erm, other, "wga")
    assert (gain.mean, gain.n) == (pytest.approx(0.1), 2)
    assert gain.half == pytest.approx(0, abs=1e-9)
    # one of two: both ends of the exact interval solve 1 - (1 - p)^2 = 0.025 and p^2 = 1 - 0.025
    low, high = 1 - 0.975**0.5, 0.975**0.5
    clean = {seed: line | {"success": 0.1} for seed, line in erm.items()}  # 0.9 and 0.04 against 0.1 + 0.1
    assert SEEDS.stopped(erm, clean) == f"1 of 2 ({100 * low:.0f} to {100 * high:.0f}%)"
    assert SEEDS.stopped(erm, {}) == "-"


def test_of_an_attack_without_figures_there_is_no_success():
    clean = SUMMARY | {"measures": {}, "baseline": "", "found": {}}
    assert [line["success"] for line in SEEDS.lines_of("clean", clean)] == [None, None]
