import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from oilwater_jax import intervals
from oilwater_jax.intervals import (
    SHARE,
    SIGNED,
    Estimate,
    clustered_error,
    mcnemar,
    of_counts,
    over_seeds,
    paired,
)

SHARES = st.lists(st.floats(0, 1), min_size=2, max_size=8)


def test_the_interval_is_students():
    # mean 3, s = sqrt(2.5), t(4 degrees, 97.5%) = 2.776: 2.776 * sqrt(2.5 / 5) = 1.963
    found = over_seeds([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found is not None
    assert (found.mean, found.n) == (3, 5)
    assert found.low == pytest.approx(3 - 1.963, abs=1e-3)
    assert found.high == pytest.approx(3 + 1.963, abs=1e-3)


def test_one_seed_has_no_interval_and_a_missing_one_no_mean():
    assert over_seeds([0.5]) == Estimate(0.5, None, None, 1)
    assert str(Estimate(0.5, None, None, 1)) == "50.0"
    assert over_seeds([0.5, None]) is None
    assert over_seeds([]) is None


@given(SHARES)
def test_no_interval_leaves_what_the_figure_can_be(values):
    found = over_seeds(values, SHARE)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= found.mean + 1e-12
    assert found.mean - 1e-12 <= found.high <= 1


def test_text_is_in_per_cent_and_knows_no_negative_nought():
    assert str(Estimate(0.8731, 0.861, 0.885, 5)) == "87.3 [86.1, 88.5]"
    assert str(Estimate(-0.0001, -0.0004, 0.2, 3)) == "0.0 [0.0, 20.0]"
    assert Estimate(3.456, 3.4, 3.5, 3).text() == "3.46 [3.40, 3.50]"


def test_pairs_are_of_the_same_seeds():
    one = paired([0.5, 0.7, 0.9], [0.4, 0.6, 0.8])
    assert one is not None
    assert (one.mean, one.low, one.high) == pytest.approx((0.1, 0.1, 0.1))
    assert paired([0.5, None], [0.1, 0.2]) is None
    with pytest.raises(ValueError, match="2 values and 1"):
        paired([0.5, 0.6], [0.1])
    assert over_seeds([-1.0, 1.0], SIGNED) == Estimate(0.0, -1.0, 1.0, 2)


@given(st.integers(0, 30), st.integers(1, 30))
def test_counts_have_the_exact_interval(k, n):
    if k > n:
        with pytest.raises(ValueError, match="is not a proportion"):
            of_counts(k, n)
        return
    exact = binomtest(k, n).proportion_ci(method="exact")
    found = of_counts(k, n)
    assert found == pytest.approx((k / n, exact.low, exact.high, n))


def test_shares_of_few_trials_are_one_count():
    assert intervals.of_trials([1 / 3, 1.0], [3, 2]) == of_counts(3, 5)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30))
def test_mcnemar_is_the_binomial_test_of_the_trials_that_differ(pairs):
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    more, n = sum(a > b for a, b in pairs), sum(a != b for a, b in pairs)
    expected = binomtest(more, n).pvalue if n else 1.0
    assert mcnemar(first, second) == pytest.approx(expected)
    assert mcnemar(second, first) == mcnemar(first, second)


def test_mcnemar_wants_the_same_trials():
    with pytest.raises(ValueError, match="1 trials and 2"):
        mcnemar([True], [True, False])


def test_the_error_of_a_mean_of_clusters_by_hand():
    # Deviations -1/2, -1/2, 1/2, 1/2; in clusters of two: sums -1 and 1. sqrt(2 * 2 / 1) / 4 = 1/2.
    values = np.array([0.0, 0.0, 1.0, 1.0])
    assert clustered_error(values, np.array([7, 7, 9, 9])) == pytest.approx(0.5)
    # Each its own cluster: s / sqrt(n).
    assert clustered_error(values, np.arange(4)) == pytest.approx(values.std(ddof=1) / 2)
    assert math.isnan(clustered_error(values, np.zeros(4, int)))
    assert math.isnan(clustered_error(np.zeros(0), np.zeros(0, int)))


def test_repeated_samples_tell_no_more_than_one_of_each():
    rng = np.random.default_rng(0)
    once = rng.integers(0, 2, 50).astype(float)
    twice = np.repeat(once, 3)
    own = clustered_error(once, np.arange(50))
    assert clustered_error(twice, np.repeat(np.arange(50), 3)) == pytest.approx(own)
    assert clustered_error(twice, np.arange(150)) < own


def test_the_level_is_the_one_that_is_named():
    assert intervals.ALPHA == 0.05
    wide = over_seeds([0.0, 1.0, 2.0], alpha=0.01)
    usual = over_seeds([0.0, 1.0, 2.0])
    assert wide is not None
    assert usual is not None
    assert wide.half is not None
    assert usual.half is not None
    assert wide.half > usual.half
