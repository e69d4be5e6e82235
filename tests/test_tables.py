import pytest

from oilwater_jax.reporting.tables import columns, headline


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
