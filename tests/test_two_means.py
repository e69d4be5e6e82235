import itertools
from typing import Any, cast

import numpy as np
import pytest

from oilwater_jax.defenses.two_means import two_means


def scatter(points, side):
    return sum(np.square(own - own.mean(0)).sum() for own in (points[side], points[~side]))


@pytest.mark.parametrize("seed", range(5))
def test_finds_the_best_of_all_splits_of_nine_points(seed):
    points = np.random.default_rng(seed).normal(size=(9, 2))
    points[:3] += 4.0
    splits = [np.array(bits) for bits in itertools.product([False, True], repeat=9) if 0 < sum(bits) < 9]
    best = min(splits, key=lambda side: scatter(points, side))
    small = two_means(points)
    np.testing.assert_allclose(scatter(points, small), scatter(points, best))
    assert small.sum() <= 4


def test_agrees_with_scikit_learn():
    from sklearn.cluster import KMeans

    rng = np.random.default_rng(0)
    points = rng.normal(size=(300, 5))
    points[:40] += np.array([6.0, 0, 0, 0, 0])
    theirs: Any = KMeans(2, n_init=cast(Any, 20), random_state=0).fit(points)
    np.testing.assert_allclose(scatter(points, two_means(points)), theirs.inertia_, rtol=1e-9)


def test_a_tight_rare_cluster_off_the_main_direction():
    rng = np.random.default_rng(1)
    points = np.concatenate([rng.normal(size=(400, 3)) * [2.0, 1, 0.3], np.tile([[0, 0, 60.0]], (12, 1))])
    assert np.flatnonzero(two_means(points)).tolist() == list(range(400, 412))


def test_edge_cases():
    assert not two_means(np.ones((5, 2))).any()
    assert not two_means(np.ones((1, 2))).any()
    assert two_means(np.array([[0.0], [0], [1]])).tolist() == [False, False, True]
    even = two_means(np.array([[0.0], [0.1], [5.0], [5.4]]))
    assert even.tolist() == [True, True, False, False]  # 5.4 is the farthest from the mean
