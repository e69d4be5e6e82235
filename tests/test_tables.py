import pytest

from oilwater_jax.reporting.tables import columns, headline, share_tables


def summary(counts, measures=("asr", "asr_untriggered")):
    seeds = list(range(max(1, len(counts))))
    return {
        "n_train": 1000,
        "n_poison_seeds": counts,
        "seeds": seeds,
        "split": "test",
        "measures": list(measures),
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
    assert columns(summary([1], ["target_damage", "collateral", "target_acc"]))[-3:] == [
        "damage",
        "collateral",
        "ACC on F",
    ]


def test_elmf_is_shown_of_the_rows_that_could_eliminate():
    shares = {"poison": None, "lrg_1": 0.5, "lrg_1_std": 0.1, "lrg_1_seeds": [0.4, 0.6]}
    nothing = {"poison": 0.0, "lrg_1": 0.0, "lrg_1_std": 0.0, "lrg_1_seeds": [0.0, 0.0]}
    rows = {
        "erm": {"elmf": nothing, "rounds_seeds": [[], []]},
        "epic": {"elmf": nothing, "rounds_seeds": [[{"epoch": 2, "elmf": {"lrg_1": 0.0}}], []]},
        "epic_jtt": {"elmf": shares, "rounds_seeds": [[], []]},
    }
    assert share_tables({"idnf": {}, "rows": rows}) == [
        ("ELMF (share eliminated, per cent), EPIc", [("poisons", "0.0"), ("LRG-1", "0.0 ± 0.0")]),
        ("ELMF (share eliminated, per cent), EPIc + JTT", [("poisons", "-"), ("LRG-1", "50.0 ± 10.0")]),
    ]


def test_a_run_of_version_02_has_no_elmf_and_is_shown():
    assert share_tables({"idnf": {}, "rows": {"erm": {"wga": 0.5}, "jtt_standard": {"wga": 0.8}}}) == []
