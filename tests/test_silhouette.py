import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn import metrics

from oilwater_jax.robustness import silhouette


def silhouette_samples(points, labels):
    return np.asarray(metrics.silhouette_samples(points, labels))


def test_by_hand():
    # cluster {0, 2} and {10}. Point 0: a = 2, b = 10, 1 - 2/10. Point 2: a = 2, b = 8, 1 - 2/8. 10: alone.
    points, labels = np.array([[0.0], [2.0], [10.0]]), np.array([0, 0, 1])
    np.testing.assert_allclose(silhouette.of(points, labels), [0.8, 0.75, 0.0])
    # cluster means 0.775 and 0
    assert silhouette.score(points, labels) == pytest.approx(0.3875)


@given(st.lists(st.tuples(st.integers(-20, 20), st.integers(0, 3)), min_size=3, max_size=40))
def test_one_dimension_equals_scikit_learn(pairs):
    points = np.array([[float(x)] for x, _ in pairs])
    labels = np.array([label for _, label in pairs])
    assume(1 < len(np.unique(labels)) < len(labels))
    np.testing.assert_allclose(silhouette.of(points, labels), silhouette_samples(points, labels), atol=1e-12)


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_points_far_from_the_origin_keep_their_digits(shift, width):
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(500, width)), rng.integers(0, 7, 500)
    near = silhouette_samples(points, labels)
    np.testing.assert_allclose(silhouette.of(shift + points, labels), near, atol=1e-9)


def test_more_dimensions_are_scikit_learn_and_labels_need_not_be_consecutive():
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(60, 3)), rng.choice([2, 5, 9], 60)
    np.testing.assert_allclose(silhouette.of(points, labels), silhouette_samples(points, labels), atol=1e-12)


@pytest.mark.parametrize("width", [1, 2])
def test_edge_cases(width):
    points = np.random.default_rng(0).normal(size=(5, width))
    np.testing.assert_array_equal(silhouette.of(points, np.zeros(5, int)), 0)
    np.testing.assert_array_equal(silhouette.of(points, np.arange(5)), 0)
    np.testing.assert_array_equal(silhouette.of(np.full((5, width), 0.3), np.array([0, 0, 1, 1, 1])), 0)
    assert silhouette.of(points[:1], np.zeros(1, int)).tolist() == [0]


def test_score_counts_small_clusters_like_large_ones():
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(50, 1)), np.repeat([0, 1], [45, 5])
    each = silhouette_samples(points, labels)
    expected = (each[:45].mean() + each[45:].mean()) / 2
    assert silhouette.score(points, labels) == pytest.approx(expected)


def test_cluster_means_of_an_empty_cluster_are_nan():
    means = silhouette.cluster_means(np.array([1.0, 3.0, 5.0]), np.array([0, 0, 2]), 3)
    np.testing.assert_array_equal(means, [2.0, np.nan, 5.0])


def test_rows_are_sampled_only_where_the_cost_is_quadratic(monkeypatch):
    monkeypatch.setattr(silhouette, "MOST_POINTS", 10)
    np.testing.assert_array_equal(silhouette.scored_rows(np.zeros((30, 1)), 0), np.arange(30))
    np.testing.assert_array_equal(silhouette.scored_rows(np.zeros((10, 2)), 0), np.arange(10))
    rows = silhouette.scored_rows(np.zeros((30, 2)), 0)
    assert len(set(rows.tolist())) == 10
    np.testing.assert_array_equal(rows, silhouette.scored_rows(np.zeros((30, 2)), 0))
    assert rows.tolist() != silhouette.scored_rows(np.zeros((30, 2)), 1).tolist()
