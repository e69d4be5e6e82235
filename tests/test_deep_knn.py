import numpy as np
import pytest
from looking import assert_equivariant, config, evidence, find

from oilwater_jax.defenses.deep_knn import METHOD, disagreement
from oilwater_jax.errors import UserError


def slow(points, label, k):
    share = np.zeros(len(points))
    for i in range(len(points)):
        distance = np.array([np.sum((points[i] - other) ** 2) for other in points])
        distance[i] = np.inf
        near = np.argsort(distance)[:k]
        share[i] = sum(label[j] != label[i] for j in near) / k
    return share


def problem(n=60, seed=0):
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 2
    points = rng.normal(size=(n, 4)) + 4.0 * label[:, None]
    points[:3] = rng.normal(size=(3, 4)) + 4.0 * (1 - label[:3, None])  # three in the other class's place
    return points, label


@pytest.mark.parametrize("k", [1, 2, 7, 59])
def test_equals_the_slow_loop(k):
    points, label = problem()
    np.testing.assert_allclose(disagreement(points, label, k), slow(points, label, k))


def test_edge_cases_of_k():
    points, label = problem(6)
    np.testing.assert_array_equal(disagreement(points, label, 99), disagreement(points, label, 5))
    assert not disagreement(points, label, 0).any()
    assert not disagreement(points[:1], label[:1], 3).any()


def test_a_sample_is_not_its_own_neighbour_among_equal_points():
    points, label = np.zeros((5, 2)), np.array([0, 1, 1, 1, 1])
    share = disagreement(points, label, 4)
    assert share.tolist() == [1, 0.25, 0.25, 0.25, 0.25]
    few = disagreement(points, np.zeros(5, int), 1)
    assert not few.any()


def test_agrees_with_scikit_learns_leave_one_out_vote():
    from sklearn.neighbors import KNeighborsClassifier

    points, label = problem(80, seed=1)
    share = disagreement(points, label, 5)
    for i in range(80):
        rest = np.arange(80) != i
        vote = KNeighborsClassifier(5).fit(points[rest], label[rest]).predict(points[i : i + 1])[0]
        assert (vote != label[i]) == (share[i] > 0.5)


def test_flags_the_misplaced_and_keeps_at_half():
    points, label = problem()
    found = find(METHOD, config(METHOD, budget=0.05), evidence(label, features=points))
    assert found.figures == {"k": 6}  # 2 x 0.05 x 60
    assert np.flatnonzero(found.arrays["flagged"]).tolist() == [0, 1, 2]
    assert found.warnings == ()
    # two neighbours, one of each label: kept
    line = np.array([[0.0], [1.0], [2.1], [50.0], [51.0], [52.1]])
    half = find(METHOD, config(METHOD, budget=1 / 6), evidence(np.array([0, 0, 1, 1, 1, 1]), features=line))
    assert half.figures == {"k": 2}
    assert half.arrays["suspicion"][:3].tolist() == [0.5, 0.5, 1.0]
    assert np.flatnonzero(half.arrays["flagged"]).tolist() == [2]


def test_k_of_0_flags_nobody_and_says_why():
    points, label = problem()
    found = find(METHOD, config(METHOD, budget=0.001), evidence(label, features=points))
    assert not found.arrays["flagged"].any()
    assert found.warnings[0] == "k = 2 x 0.001 x 60 is 0; raise deep_knn.budget"
    assert "nothing is flagged" in found.warnings[1]


def test_a_small_class_is_not_flagged_whole():
    points, label = np.random.default_rng(0).normal(size=(100, 3)), (np.arange(100) < 6).astype(int)
    found = find(METHOD, config(METHOD, budget=0.1), evidence(label, features=points))
    assert found.arrays["flagged"][:6].sum() <= 3
    assert "6 of the 6 samples of class 1" in found.warnings[0]


def test_permutation():
    points, label = problem()
    assert_equivariant(METHOD, config(METHOD, budget=0.05), evidence(label, features=points))


def test_what_is_not_finite_is_refused():
    points, label = problem()
    points[4, 1] = np.nan
    with pytest.raises(UserError, match="deep_knn"):
        find(METHOD, config(METHOD), evidence(label, features=points))


def test_the_layer_is_a_setting():
    assert METHOD.scores_of(config(METHOD, layer="logits")) == ("logits",)
