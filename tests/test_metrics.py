import math
from typing import Any

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


def softmax(logits):
    odds = np.exp(logits)
    return odds / odds.sum(axis=1, keepdims=True)


def test_by_class_beside_scikit_learn():
    from sklearn import metrics as sklearn_metrics

    theirs: Any = sklearn_metrics  # whose stubs want a name for average

    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 200)
    logits = rng.normal(size=(200, 3)) + 1.5 * np.eye(3)[label]
    predicted = logits.argmax(axis=1)
    found = metrics.by_class(logits, label)
    assert found["acc_worst_class"] == pytest.approx(
        theirs.recall_score(label, predicted, average=None).min()
    )
    assert found["acc_balanced"] == pytest.approx(theirs.balanced_accuracy_score(label, predicted))
    assert found["f1_worst"] == pytest.approx(theirs.f1_score(label, predicted, average=None).min())
    order = rng.permutation(200)
    assert metrics.by_class(logits[order], label[order]) == pytest.approx(found)


def test_by_class_leaves_out_what_is_not_there():
    found = metrics.by_class(np.array([[2.0, 0, 0], [0, 2.0, 0]]), np.array([0, 0]))
    # class 0: one of two right, recall 0.5; F1 = 2 / (1 + 2); classes 1 and 2 have no samples
    assert (found["acc_worst_class"], found["acc_balanced"]) == (0.5, 0.5)
    assert found["f1_worst"] == pytest.approx(2 / 3)
    none = metrics.by_class(np.zeros((0, 3)), np.zeros(0, int))
    assert all(np.isnan(one) for one in none.values())


def test_calibration_by_hand():
    # confidences 0.9, 0.9 (one right), 0.6 (right): gaps |0.5 - 0.9| x 2/3 and |1 - 0.6| x 1/3
    p = np.array([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4]])
    label = np.array([0, 0, 0])
    assert metrics.calibration_error(np.log(p), label) == pytest.approx(0.4 * 2 / 3 + 0.4 / 3)


def test_calibration_beside_a_loop():
    rng = np.random.default_rng(1)
    logits, label = rng.normal(size=(500, 4)), rng.integers(0, 4, 500)
    p = softmax(logits)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == label
    want = 0.0
    for low in np.arange(10) / 10:
        inside = (confidence > low) & (confidence <= low + 0.1)
        if inside.any():
            want += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert metrics.calibration_error(logits, label) == pytest.approx(want)
    assert 0 <= want <= 1


def test_certain_and_right_is_calibrated():
    assert metrics.calibration_error(np.array([[50.0, 0.0]] * 3), np.zeros(3, int)) == pytest.approx(
        0, abs=1e-9
    )
