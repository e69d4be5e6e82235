import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr
from sklearn.metrics import roc_auc_score

from oilwater_jax.study.auroc import LEVELS, _counts, auroc, bootstrap

FEW = st.lists(st.integers(0, 5), min_size=1, max_size=20)  # few values: many ties


def by_sklearn(first, second):
    return roc_auc_score(np.repeat([1, 0], [len(first), len(second)]), np.concatenate([first, second]))


@settings(max_examples=40)
@given(FEW, FEW)
def test_auroc_is_the_share_of_pairs_won_and_sklearns(first, second):
    won = sum((a > b) + 0.5 * (a == b) for a in first for b in second)
    found = auroc(np.array(first, float), np.array(second, float))
    assert found == pytest.approx(won / (len(first) * len(second)), abs=1e-12)
    assert found == pytest.approx(by_sklearn(first, second), abs=1e-12)


def test_auroc_of_nothing_is_refused():
    with pytest.raises(ValueError, match="0 and 3 samples"):
        auroc(np.zeros(0), np.zeros(3))
    with pytest.raises(ValueError, match="1 and 3 samples"):
        bootstrap(np.zeros((2, 1)), np.zeros((2, 3)), np.random.default_rng(0))


def test_bootstrap_equals_a_loop_that_draws_the_samples():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 9, (2, 12)).astype(float), rng.integers(0, 7, (2, 30)).astype(float)
    found = bootstrap(first, second, np.random.default_rng(1), resamples=50)
    again = np.random.default_rng(1)
    ours, theirs = _counts(again, 12, 50).astype(int), _counts(again, 30, 50).astype(int)
    assert (ours.sum(axis=1) == 12).all()
    assert (theirs.sum(axis=1) == 30).all()
    for at in range(2):
        slow = [
            by_sklearn(np.repeat(first[at], a), np.repeat(second[at], b))
            for a, b in zip(ours, theirs, strict=True)
        ]
        np.testing.assert_allclose([found.low[at], found.high[at]], np.quantile(slow, LEVELS), atol=1e-12)
        assert found.value[at] == pytest.approx(by_sklearn(first[at], second[at]))


def test_bootstrap_edge_cases():
    first, second = np.stack([np.arange(3.0), np.zeros(3)]), np.stack([-np.arange(4.0) - 1, np.zeros(4)])
    found = bootstrap(first, second, np.random.default_rng(0))
    assert [list(part) for part in found] == [[1.0, 0.5]] * 3  # apart; a constant score


def test_the_interval_covers_the_true_auroc_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    truth = ndtr(1.0 / np.sqrt(2))  # of two unit normals that are 1 apart
    trials = 300
    # A trial is a score of its own; the resamples, which they share, are as good as fresh ones.
    found = bootstrap(1 + rng.normal(size=(trials, 40)), rng.normal(size=(trials, 60)), rng, resamples=400)
    assert 0.90 <= np.mean((found.low <= truth) & (truth <= found.high)) <= 0.98
