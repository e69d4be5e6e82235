import pytest

from oilwater_jax.reporting.tables import columns, headline, set_tables

MEASURES = {"asr": "ASR", "asr_untriggered": "untriggered"}


def summary(counts, measures=MEASURES, smoke=False):
    seeds = list(range(max(1, len(counts))))
    return {
        "n_train": 1000,
        "n_poison_seeds": counts,
        "seeds": seeds,
        "split": "test",
        "measures": measures,
        "smoke": smoke,
    }


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ([10], "1,000 training samples, 10 poisons (1.00%); test split, per cent; 1 seed"),
        ([10, 10], "10 poisons (1.00%); test split, per cent; 2 seeds"),
        ([25, 5, 10], "5 to 25 poisons (0.50 to 2.50%)"),
        ([0, 0], "no poisons"),
    ],
)
def test_headline_counts_the_poisons_of_all_seeds(counts, text):
    assert text in headline(summary(counts))


def test_columns_are_those_of_the_attack():
    assert columns(summary([1]))[-2:] == ["ASR", "untriggered"]
    assert columns(summary([1], {"mistaken": "mistaken"}))[-1] == "mistaken"


def test_a_smoke_run_says_so():
    assert headline(summary([1], smoke=True)).startswith("SMOKE RUN")
    assert "SMOKE" not in headline(summary([1]))


def test_sets_are_shown_of_the_rows_that_treat_them_unevenly():
    shares = {"poison": None, "lrg_1": 0.5, "lrg_1_std": 0.1, "lrg_1_seeds": [0.4, 0.6]}
    nothing = {"poison": 0.0, "lrg_1": 0.0, "lrg_1_std": 0.0, "lrg_1_seeds": [0.0, 0.0]}
    evenly = {"poison": 1.0, "lrg_1": 1.0, "lrg_1_std": 0.0, "lrg_1_seeds": [1.0, 1.0]}
    unevenly = {"poison": 50.0, "poison_std": 0.0, "lrg_1": 27.5, "lrg_1_std": 2.25}
    rows = {
        "erm": {"label": "ERM", "elmf": nothing, "draws": evenly, "rounds_seeds": [[], []]},
        "epic": {
            "label": "EPIc",
            "elmf": nothing,
            "draws": evenly,
            "rounds_seeds": [[{"epoch": 2, "elmf": {"lrg_1": 0.0}}], []],
        },
        "epic+jtt": {"label": "EPIc + JTT", "elmf": shares, "draws": unevenly, "rounds_seeds": [[], []]},
    }
    found = {"jtt": {"label": "JTT", "idnf": {"poison": 0.9}}}
    assert set_tables({"found": found, "rows": rows}) == [
        ("IDNF: share that a method finds, per cent", ["", "poisons"], [["JTT", "90.0"]]),
        (
            "ELMF: share eliminated, per cent",
            ["", "poisons", "LRG-1"],
            [["EPIc", "0.0", "0.0 ± 0.0"], ["EPIc + JTT", "-", "50.0 ± 10.0"]],
        ),
        (
            "draws per epoch of a sample (1: as in plain training)",
            ["", "poisons", "LRG-1"],
            [["EPIc + JTT", "50.00 ± 0.00", "27.50 ± 2.25"]],
        ),
    ]
