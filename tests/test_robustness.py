import numpy as np
import pytest
from oilwater_jax.robustness.evidence import Evidence

from oilwater_jax import selectors
from oilwater_jax.robustness import amplify, george, jtt
from oilwater_jax.settings.config import default


def evidence(correct):
    label = np.zeros(len(correct), np.int64)
    return Evidence(label, {"correct": np.array(correct)}, label, {}, np.zeros((2, 2), np.float32))


def test_jtt_flags_what_is_misclassified():
    assert jtt.find(default(), 0, evidence([True, False, True])).arrays["flagged"].tolist() == [
        False,
        True,
        False,
    ]


def test_jtt_draws_the_amplified_lambda_up_times(examples):
    flagged = np.arange(40) < 5
    config = default()
    config.method.lambda_up = 20.0
    treatment = jtt.treatment(config, "worst", {"flagged": flagged}, examples)
    _, weights = treatment.selector.update(treatment.selector.init(examples), 1, None)
    np.testing.assert_array_equal(weights, np.where(flagged | examples.is_poison, 20.0, 1.0))
    assert treatment.rule == "val_wga"
    assert treatment.val_group is None


# Class 0 has clusters 0 (6 samples) and 1 (2), class 1 has clusters 2 (3) and 3 (1): uniform cluster sampling draws
# each sample of a cluster of n_c samples 12 / (4 n_c) times: 1/2, 3/2, 1, 3. Clusters 1 and 3 are amplified.
CLUSTER = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 3], np.int32)
LABEL = np.array([0] * 8 + [1] * 4)


def poison(*rows):
    return np.isin(np.arange(12), rows)


def test_george_draws_clusters_equally_often():
    weights = selectors.balanced(CLUSTER)
    np.testing.assert_allclose(weights, [0.5] * 6 + [1.5] * 2 + [1.0] * 3 + [3.0])
    assert weights.sum() == 12


def test_george_standard_is_as_found():
    cluster, weights = george.moved("standard", CLUSTER, LABEL, poison(7, 11))
    np.testing.assert_array_equal(cluster, CLUSTER)
    np.testing.assert_array_equal(weights, selectors.balanced(CLUSTER))


def test_george_ideal_takes_poisons_out_of_amplified_clusters():
    cluster, weights = george.moved("ideal", CLUSTER, LABEL, poison(0, 7, 11))
    # 7 leaves cluster 1 for its class's largest, 11 leaves cluster 3, which is then empty.
    assert cluster.tolist() == [0, 0, 0, 0, 0, 0, 1, 0, 2, 2, 2, 2]
    # 12 / (3 clusters n_c): 4/7, 4 and 1; no poison above 1.
    np.testing.assert_allclose(weights, [4 / 7] * 6 + [4.0, 4 / 7] + [1.0] * 4)


def test_george_worst_moves_poisons_into_the_amplified_cluster_that_has_most():
    cluster, weights = george.moved("worst", CLUSTER, LABEL, poison(0, 1, 7, 8))
    assert cluster.tolist() == [1, 1, 0, 0, 0, 0, 1, 1, 3, 2, 2, 3]
    np.testing.assert_array_equal(weights, selectors.balanced(cluster))


def test_george_worst_without_an_amplified_cluster_takes_the_smallest():
    cluster = np.array(
        [0, 0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3], np.int32
    )  # 12 / (4 n_c): none of class 1 is above 1
    label = np.array([0] * 4 + [1] * 8)
    moved, _ = george.moved("worst", cluster, label, poison(8))
    assert moved.tolist() == [0, 0, 1, 1, 2, 2, 2, 3, 2, 3, 3, 3]


@pytest.mark.parametrize("mode", ["standard", "ideal", "worst"])
def test_george_modes_without_poisons_are_the_same_and_change_nothing_they_were_given(mode):
    before = CLUSTER.copy()
    cluster, weights = george.moved(mode, CLUSTER, LABEL, poison())
    np.testing.assert_array_equal(cluster, before)
    np.testing.assert_array_equal(CLUSTER, before)
    np.testing.assert_array_equal(weights, selectors.balanced(before))


def test_george_refuses_another_mode():
    with pytest.raises(ValueError, match="amplification mode 'best'"):
        george.moved("best", CLUSTER, LABEL, poison())


def test_george_trains_group_dro_on_clusters_and_selects_by_the_worst_of_validation(examples):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 3)).astype(np.float32)
    scores = {"features": features, "loss": np.ones(40, np.float32), "correct": np.ones(40, bool)}
    kernel = np.array([[-1.0, 1.0], [0, 0], [0, 0]], np.float32)
    label = examples.label.astype(np.int64)
    found, figures = george.find(default(), 0, Evidence(label, scores, label, scores, kernel))
    assert sum(sum(one["sizes"]) for one in figures["clusters"]) == 40
    n_clusters = len(np.unique(found["cluster"]))
    treatment = george.treatment(default(), "standard", found, examples)
    assert treatment.rule == "val_worst_cluster"
    np.testing.assert_array_equal(treatment.val_group, found["cluster"])
    state = treatment.objective.init()
    assert len(state.log_q) == 16  # the capacity
    np.testing.assert_allclose(np.exp(state.log_q)[:n_clusters], 1 / n_clusters, rtol=1e-6)
    assert np.exp(state.log_q)[n_clusters:].sum() == 0
    _, weights = treatment.selector.update((), 1, None)
    np.testing.assert_array_equal(found["flagged"], weights > 1)


def test_amplification_modes():
    flagged = np.array([True, True, False, False])
    poison = np.array([True, False, True, False])
    assert amplify.amplified("standard", flagged, poison).tolist() == [True, True, False, False]
    assert amplify.amplified("ideal", flagged, poison).tolist() == [False, True, False, False]
    assert amplify.amplified("worst", flagged, poison).tolist() == [True, True, True, False]
    with pytest.raises(ValueError, match="'best'; known: standard, ideal, worst"):
        amplify.amplified("best", flagged, poison)
