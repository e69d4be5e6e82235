import dataclasses
from typing import Any

import jax
import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from oilwater_jax import selectors, treatments
from oilwater_jax.defenses.epic import (
    METHOD,
    EpicState,
    budgets,
    cluster_sizes,
    epic,
    keep,
    of_config,
    zero_sum,
)
from oilwater_jax.defenses.facility_location import TIE
from oilwater_jax.errors import UserError
from oilwater_jax.settings.config import default, view
from oilwater_jax.training.checkpoint import Checkpoints
from oilwater_jax.types import Case, nobody


def problem(n=40, c=2, seed=0, dtype: type = np.float32):
    """Gradients softmax - onehot of random logits, and their labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, c, n).astype(np.int32)
    logits = rng.normal(size=(n, c)) * 2 + 2 * np.eye(c)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return (probabilities - np.eye(c)[labels]).astype(dtype), labels


@settings(max_examples=40)
@given(st.integers(2, 50), st.integers(2, 4), st.integers(0, 10**6), st.floats(0, 1), st.integers(0, 2))
def test_keep_equals_the_slow_loop(n, c, seed, ratio, cluster_thresh):
    gradients, labels = problem(n, c, seed, np.float64)
    expected = np.ones(n, bool)
    for label, k in budgets(labels, ratio).items():
        own = labels == label
        if k:
            _, nearest, _ = reference.facility_location(zero_sum(gradients, labels)[own], k, c, TIE)
            expected[own] = [nearest.count(at) > cluster_thresh for at in nearest]
    if any(not expected[labels == label].any() for label in labels):
        with pytest.raises(UserError, match="would lose all"):
            keep(gradients, labels, ratio=ratio, cluster_thresh=cluster_thresh)
    else:
        kept = keep(gradients, labels, ratio=ratio, cluster_thresh=cluster_thresh)
        np.testing.assert_array_equal(kept, expected)


def test_what_stands_alone_is_dropped():
    # class 0: three at 0.1 and one at 0.9; budget 2 = one medoid for the three, the other alone
    q = np.array([0.1, 0.9, 0.1, 0.1])
    kept = keep(np.stack([-q, q], 1), np.zeros(4, int), ratio=0.5)
    assert kept.tolist() == [True, False, True, True]
    # and class 1, one sample, is kept whole
    sizes = cluster_sizes(np.stack([-q, q], 1)[[0, 1, 2, 3, 0]], np.array([0, 0, 0, 0, 1]), 0.4)
    assert sizes.tolist() == [3, 1, 3, 3, 1]


def test_budgets_by_hand():
    # int(0.3 * 20) = 6 over 11, 6, 3 of 20: 3.3, 1.8, 0.9, rounded up 4, 2, 1; one too many, off class 0
    labels = np.repeat([0, 1, 5], [11, 6, 3])
    assert budgets(labels, 0.3) == {0: 3, 1: 2, 5: 1}
    # equal classes: 2.5 each of 5, rounded up 3 and 3; the lowest label gives
    assert budgets(np.repeat([0, 1], 10), 0.25) == {0: 2, 1: 3}
    # never all of a class
    assert budgets(np.repeat([0, 1], [4, 1]), 1.0) == {0: 3, 1: 0}
    assert budgets(np.repeat([0, 1], [4, 1]), 0.1) == {0: 0, 1: 0}
    with pytest.raises(ValueError, match="no samples"):
        budgets(np.zeros(0, int), 0.1)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=200), st.floats(0, 1))
def test_budgets_add_up(labels, ratio):
    labels = np.array(labels)
    shares = budgets(labels, ratio)
    capped = sum(share == (labels == label).sum() - 1 for label, share in shares.items())
    assert int(ratio * len(labels)) - capped <= sum(shares.values()) <= int(ratio * len(labels))
    for label, share in shares.items():
        count = int((labels == label).sum())
        assert 0 <= share < count
        assert share >= count * int(ratio * len(labels)) // len(labels) - 1


def test_class_of_one_sample_is_kept():
    gradients, labels = problem(30)
    labels[:] = 0
    labels[7] = 1
    assert keep(np.abs(gradients), labels, ratio=0.5)[7]


def test_budget_zero_keeps_everything():
    gradients, labels = problem(30)
    assert keep(gradients, labels, ratio=0.03).all()  # int(0.9) = 0
    assert keep(gradients, labels, ratio=0.0).all()


def test_budget_of_a_whole_class_leaves_a_pair():
    # ratio 1: each class has n_c - 1 medoids, so one cluster of two
    gradients, labels = problem(30)
    kept = keep(gradients, labels, ratio=1.0)
    assert [int(kept[labels == label].sum()) for label in (0, 1)] == [2, 2]


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_equal_gradients_are_kept(value):
    gradients = np.tile(np.array([[-value, value]], np.float32), (20, 1))
    assert keep(gradients, np.zeros(20, int), ratio=0.5).all()


@pytest.mark.parametrize("c", [2, 10])
def test_class_fully_learned_is_kept_and_the_other_is_not_spared(c):
    gradients, labels = problem(60, c)
    learned = labels == 0
    gradients[learned] *= 1e-8
    kept = keep(gradients, labels, ratio=0.6)
    assert kept[learned].all()
    assert not kept[~learned].all()


def test_cluster_thresh_zero_keeps_everything_and_huge_is_refused():
    gradients, labels = problem(60)
    assert keep(gradients, labels, ratio=0.5, cluster_thresh=0).all()
    with pytest.raises(UserError, match=r"class 0 would lose all its \d+ samples: cluster_thresh is 1000"):
        keep(gradients, labels, ratio=0.5, cluster_thresh=1000)


def test_not_finite_names_the_sample():
    gradients, labels = problem(30)
    gradients[[11, 20], 1] = np.nan
    with pytest.raises(UserError, match="sample 11 "):
        keep(gradients, labels, ratio=0.3)
    with pytest.raises(UserError, match="sample 11 "):
        keep(gradients, labels, ratio=0.3, cluster_thresh=0)


@pytest.mark.parametrize(
    ("options", "message"), [({"ratio": 1.5}, "1.5"), ({"cluster_thresh": -1}, "not -1")]
)
def test_bad_settings_name_the_value(options, message):
    settings = {"ratio": 0.3, "cluster_thresh": 1} | options
    with pytest.raises(ValueError, match=message):
        keep(*problem(), **settings)
    with pytest.raises(ValueError, match=message):
        epic(subset_freq=1, drop_after=1, stop_after=2, **settings)
    with pytest.raises(ValueError, match="not 0"):
        epic(ratio=0.3, subset_freq=0, drop_after=1, stop_after=2)


def test_float32_keeps_what_the_labels_entry_has_lost():
    # well-learned samples: 1 - p is 1e-7 to 1e-6, where float32's p - 1 comes in steps of 6e-8
    q = np.linspace(1e-7, 1e-6, 30)
    exact = np.stack([-q, q], 1)
    rounded = np.stack([(1 - q).astype(np.float32) - 1, q.astype(np.float32)], 1).astype(np.float32)
    assert np.abs(rounded - exact).max() > 1e-8
    np.testing.assert_allclose(zero_sum(rounded, np.zeros(30, int)), exact, rtol=1e-6)
    # other gradients are none of its business
    other = np.random.default_rng(0).normal(size=(30, 2))
    np.testing.assert_array_equal(zero_sum(other, np.zeros(30, int)), other)
    np.testing.assert_array_equal(zero_sum(exact, np.full(30, 7)), exact)


@settings(max_examples=20)
@given(st.permutations(range(60)))
def test_permuting_the_samples_permutes_what_is_kept(order):
    gradients, labels = problem(60, seed=3)  # a problem whose dropped set does not hang on ties
    order = np.array(order)
    kept = keep(gradients, labels, ratio=0.2)
    np.testing.assert_array_equal(keep(gradients[order], labels[order], ratio=0.2), kept[order])


def rounds(selector, examples, epochs):
    state = selector.init(examples)
    history = []
    for epoch in range(1, epochs + 1):
        gradients, _ = problem(len(examples), seed=epoch)
        by_label = np.where(examples.label[:, None] == [0, 1], -1, 1) * np.abs(gradients)
        scores = {"last_layer_gradient": by_label} if selector.due(epoch) else None
        state, weights = selector.update(state, epoch, scores)
        history.append(weights)
    return state, np.array(history)


SETTINGS: dict[str, Any] = {"ratio": 0.5, "subset_freq": 2, "drop_after": 3, "stop_after": 8}


def test_rounds_take_place_when_the_spec_says():
    selector = epic(**SETTINGS)
    due = [epoch for epoch in range(1, 20) if selector.due(epoch)]
    assert due == [4, 6]  # even, at least 3, below 8
    assert selector.due(4) == ("last_layer_gradient",)
    counted_from_0 = epic(**SETTINGS, counted_from=0)
    assert [epoch for epoch in range(1, 20) if counted_from_0.due(epoch)] == [5, 7]  # the same, an epoch later


def test_the_kept_set_only_shrinks_and_stays_after_the_last_round(examples):
    _, history = rounds(epic(**SETTINGS), examples, 12)
    assert set(np.unique(history)) == {0.0, 1.0}
    assert (history[:3] == 1).all()
    assert (np.diff(history, axis=0) <= 0).all()
    assert history[3].sum() > history[5].sum() > 0  # both rounds dropped someone
    assert (history[5:] == history[5]).all()


def test_no_round_is_plain_training(examples):
    _, history = rounds(epic(**dict(SETTINGS, stop_after=3)), examples, 10)
    assert (history == 1).all()


def test_dropped_samples_stay_dropped_and_update_is_pure(examples):
    selector = epic(**SETTINGS)
    state = EpicState(np.arange(40) % 4 > 0, examples.label)
    before = state.kept.copy()
    same = {"last_layer_gradient": np.zeros((40, 2), np.float32)}  # a round that itself drops nobody
    new, weights = selector.update(state, 4, same)
    np.testing.assert_array_equal(weights, before)
    np.testing.assert_array_equal(new.kept, before)
    assert selector.update(state, 4, same)[1].tolist() == weights.tolist()
    np.testing.assert_array_equal(state.kept, before)


def test_emptying_a_class_is_refused(examples):
    selector = epic(**SETTINGS)
    # only sample 0 of its class is left, and this round finds it alone
    label = examples.label
    kept = (label != label[0]) | (np.arange(40) == 0)
    q = np.where(np.arange(40) == 0, 0.9, 0.1)
    gradients = np.where(label[:, None] == [0, 1], -q[:, None], q[:, None])
    with pytest.raises(UserError, match=rf"class {label[0]} is left after the round of epoch 4"):
        selector.update(EpicState(kept, label), 4, {"last_layer_gradient": gradients})


def test_a_round_without_its_score_is_refused(examples):
    selector = epic(**SETTINGS)
    with pytest.raises(ValueError, match="epoch 4 needs the score last_layer_gradient"):
        selector.update(selector.init(examples), 4, None)


def test_chain_with_upsampling(examples):
    flagged = np.arange(40) < 20
    chained = selectors.chain(epic(**SETTINGS), selectors.upsample(flagged, 20))
    assert chained.due(4) == ("last_layer_gradient",)
    _, alone = rounds(epic(**SETTINGS), examples, 8)
    _, both = rounds(chained, examples, 8)
    np.testing.assert_array_equal(both, alone * np.where(flagged, 20, 1))
    assert len(selectors.draw_epoch(both[-1], np.random.default_rng(0))) == both[-1].sum()


def test_state_goes_through_a_checkpoint(examples, tmp_path):
    selector = selectors.chain(epic(**SETTINGS), selectors.everyone(40))
    state, history = rounds(selector, examples, 6)
    checkpoints = Checkpoints(tmp_path, 0, pytest.fail)
    checkpoints.save(6, {"selector": state}, {"epoch": 6})
    restored = checkpoints.restore({"selector": selector.init(examples)})
    checkpoints.close()
    assert restored is not None
    back = restored[0]["selector"]
    assert jax.tree.structure(back) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, back, state)
    np.testing.assert_array_equal(selector.update(back, 7, None)[1], history[5])


def test_labels_seen_are_those_of_training(examples):
    state = epic(**SETTINGS).init(dataclasses.replace(examples, label=1 - examples.label))
    np.testing.assert_array_equal(state.label, 1 - examples.label)


def seen(**changes):
    config = default()
    config.epic.update(changes)
    return view(config, METHOD)


def test_the_method_has_the_rounds_of_its_settings_and_nothing_else(examples):
    case = Case(
        train=examples,
        found={},
        mode="standard",
        epochs=9,
        seed=0,
        val=examples,
        base=nobody(),
        n_classes=2,
        n_attributes=2,
    )
    config = seen(ratio=0.2, subset_freq=2, drop_after=3, stop_after=8)
    treatment = METHOD.treat(config, case)
    assert treatments.check(METHOD, treatment, 40) is treatment
    assert not treatment.sole
    assert selectors.rounds(treatment.selector, 9) == [4, 6]
    assert METHOD.rounds(config, 9) == 2
    assert METHOD.rounds(config, 5) == 1
    assert selectors.earliest(treatment.selector, 9) == 6  # no model from before its last round
    assert selectors.foreseen(treatment.selector, examples, 9) is None
    state = treatment.selector.init(examples)
    scores = {"last_layer_gradient": problem()[0]}
    expected = epic(ratio=0.2, subset_freq=2, drop_after=3, stop_after=8).update(state, 4, scores)[1]
    np.testing.assert_array_equal(treatment.selector.update(state, 4, scores)[1], expected)


def test_a_dial_that_allows_no_round_is_plain_training_and_foreseen(examples):
    config = seen(subset_freq=1, drop_after=5, stop_after=5)
    selector = of_config(config)
    assert METHOD.rounds(config, 9) == 0
    assert selectors.earliest(selector, 9) == 1
    weights = selectors.foreseen(selector, examples, 9)
    assert weights is not None
    assert (weights == 1).all()


@pytest.mark.parametrize(
    ("gradients", "score"),
    [
        ("last_layer", "last_layer_gradient"),
        ("weights", "last_layer_weight_gradient"),
        ("all", "projected_gradient"),
    ],
)
def test_the_gradients_that_are_compared(gradients, score):
    config = seen(gradients=gradients, subset_freq=1, drop_after=2, stop_after=4)
    assert of_config(config).due(2) == METHOD.in_rounds(config) == (score,)
