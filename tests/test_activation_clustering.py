import numpy as np
import pytest
from looking import assert_equivariant, config, evidence, find

from oilwater_jax.defenses.activation_clustering import METHOD, reduce, smaller
from oilwater_jax.errors import UserError


def problem(n=120, seed=0, poisons=10):
    """Two classes; `poisons` samples of class 1 lie elsewhere. Class 0 has two even halves."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 2
    points = rng.normal(size=(n, 12)) + 9.0 * label[:, None]
    points[:, 0] += np.where((label == 0) & (np.arange(n) % 4 == 0), 9.0, 0.0)
    rows = np.flatnonzero(label == 1)[:poisons]
    points[rows, 5] += 12.0
    return points, label, rows


@pytest.mark.parametrize("reducer", ["pca", "ica"])
def test_flags_the_small_cluster_and_spares_even_halves(reducer):
    points, label, rows = problem()
    found = find(METHOD, config(METHOD, reducer=reducer), evidence(label, features=points))
    assert np.flatnonzero(found.arrays["flagged"]).tolist() == rows.tolist()
    assert found.figures["smaller_share"]["1"] == pytest.approx(10 / 60)
    assert found.warnings == ()
    small = found.arrays["cluster"] % 2 == 1
    np.testing.assert_array_equal(found.arrays["cluster"] // 2, label)
    assert small[rows].all()
    assert found.arrays["flagged"][label == 1].tolist() == small[label == 1].tolist()


def test_size_is_the_dial():
    points, label, rows = problem()
    none = find(METHOD, config(METHOD, size=0.0), evidence(label, features=points))
    assert not none.arrays["flagged"].any()
    assert "nothing is flagged" in none.warnings[0]
    always = find(METHOD, config(METHOD, size=1.0), evidence(label, features=points))
    assert always.arrays["flagged"][rows].all()
    assert 20 <= always.arrays["flagged"][label == 0].sum() <= 30


def test_principal_components_equal_scikit_learns_up_to_sign():
    from sklearn.decomposition import PCA

    points, _, _ = problem()
    np.testing.assert_allclose(
        np.abs(reduce(points, "pca", 4)), np.abs(PCA(4, svd_solver="full").fit_transform(points)), atol=1e-8
    )


def test_edge_cases_of_the_reduction():
    points, _, _ = problem()
    assert reduce(points, "pca", 99).shape == (120, 12)
    assert reduce(points[:3], "pca", 10).shape == (3, 3)
    line = np.outer(np.arange(5.0), np.ones(3))
    np.testing.assert_array_equal(reduce(line, "ica", 3), reduce(line, "pca", 3))


def test_suspicion_by_hand():
    # clusters {0, 0, 1} about 1/3 and {10}: of 1, squared distances 4/9 and 81
    flagged, suspicion = smaller(np.array([[0.0], [0], [1], [10]]), reducer="pca", components=1, size=0.35)
    assert flagged.tolist() == [False, False, False, True]
    np.testing.assert_allclose(suspicion[2], np.log(4 / 9 / 81), rtol=1e-6)
    assert suspicion[3] > 0
    even = smaller(np.array([[0.0], [0], [10], [10]]), reducer="pca", components=1, size=0.5)[0]
    assert not even.any()  # a half is not below 0.5


def test_equal_features_flag_nobody():
    for points in (np.ones((4, 3)), np.ones((1, 3))):
        flagged, suspicion = smaller(points, reducer="pca", components=2, size=1.0)
        assert not flagged.any()
        assert not suspicion.any()
    found = find(METHOD, config(METHOD), evidence([0, 0, 1, 1], features=np.ones((4, 3))))
    assert not found.arrays["flagged"].any()


def test_permutation():
    points, label, _ = problem()
    assert_equivariant(METHOD, config(METHOD), evidence(label, features=points))


def test_what_is_not_finite_is_refused():
    points, label, _ = problem()
    points[0, 0] = np.nan
    with pytest.raises(UserError, match="activation_clustering"):
        find(METHOD, config(METHOD), evidence(label, features=points))


@pytest.mark.slow
def test_parity_with_the_adversarial_robustness_toolbox():
    theirs = pytest.importorskip("art.defences.detector.poison.activation_defence")
    points, label, rows = problem()
    own = points[label == 1]
    clusters, _ = theirs.cluster_activations([own], nb_clusters=2, nb_dims=10, reduce="PCA")
    ids = np.asarray(clusters[0])
    small = ids == np.argmin(np.bincount(ids))
    flagged, _ = smaller(own, reducer="pca", components=10, size=1.0)
    np.testing.assert_array_equal(flagged, small)
    assert flagged.sum() == len(rows)
