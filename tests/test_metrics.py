import math

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st

from oilwater_jax import metrics

CORRECT = np.array([1, 0, 1, 1, 0, 0], bool)
GROUPS = np.array([0, 0, 1, 1, 3, 3])


def test_golden_values():
    # group 0: 1 of 2, group 1: 2 of 2, group 2: none, group 3: 0 of 2; in all 3 of 6
    by_group = metrics.group_accuracy(CORRECT, GROUPS, 4)
    np.testing.assert_array_equal(by_group, [0.5, 1.0, np.nan, 0.0])
    assert metrics.accuracy(CORRECT) == 0.5
    assert metrics.worst_group(by_group) == (0.0, 3)
    # weights 6, 3, (left out), 1: (6 * 0.5 + 3 * 1 + 1 * 0) / 10
    assert metrics.adjusted_accuracy(by_group, np.array([6, 3, 99, 1])) == pytest.approx(0.6)


def test_worst_group_ties_go_to_the_lower_group():
    assert metrics.worst_group(np.array([0.9, 0.2, 0.2])) == (0.2, 1)


def test_worst_group_of_nothing_is_refused():
    with pytest.raises(ValueError, match="every group is empty"):
        metrics.worst_group(np.array([np.nan, np.nan]))


def test_undefined_is_nan():
    assert math.isnan(metrics.accuracy(np.zeros(0, bool)))
    assert math.isnan(metrics.share_within(np.ones(3, bool), np.zeros(3, bool)))


def test_asr_leaves_out_the_target_class():
    # true labels 0 0 0 1: of the three zeros two are predicted 1; the 1 predicted 1 does not count
    predicted, truth = np.array([1, 1, 0, 1]), np.array([0, 0, 0, 1])
    assert metrics.attack_success_rate(predicted, truth, 1) == pytest.approx(2 / 3)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_equal_to_the_slow_loops(seed, n):
    rng = np.random.default_rng(seed)
    correct, groups = rng.random(n) < 0.5, rng.integers(0, 4, n)
    np.testing.assert_allclose(
        metrics.group_accuracy(correct, groups, 4), reference.group_accuracy(correct, groups, 4)
    )
    members = rng.random(n) < 0.5
    if members.any():
        assert metrics.share_within(correct, members) == pytest.approx(reference.share(correct, members))
    predicted, truth = rng.integers(0, 3, n), rng.integers(0, 3, n)
    if (truth != 2).any():
        assert metrics.attack_success_rate(predicted, truth, 2) == pytest.approx(
            reference.attack_success(predicted, truth, 2)
        )


def test_shares_within_sets():
    flags = np.array([1, 0, 1, 0], bool)
    sets = {"a": np.array([1, 1, 0, 0], bool), "all": np.ones(4, bool), "none": np.zeros(4, bool)}
    assert metrics.shares_within(flags, sets) == {"a": 0.5, "all": 0.5, "none": None}


def test_means_within_sets_by_hand():
    values = np.array([3.0, 1.0, 0.0, 0.0, 1.0, 1.0])
    sets = {"first": GROUPS == 0, "second": GROUPS == 1, "none": GROUPS == 2, "all": GROUPS >= 0}
    # (3 + 1) / 2, (0 + 0) / 2, 6 / 6
    assert metrics.means_within(values, sets) == {"first": 2.0, "second": 0.0, "none": None, "all": 1.0}
