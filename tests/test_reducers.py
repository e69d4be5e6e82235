import sys
import types

import numpy as np
import pytest

from oilwater_jax.errors import UserError
from oilwater_jax.robustness import reducers

KERNEL = np.array([[1.0, 4.0], [2.0, 6.0]])  # columns w0 = (1, 2), w1 = (4, 6): w1 - w0 = (3, 4), length 5


def reduce(train, val, reducer, *, components=2, label=0, kernel=KERNEL, seed=0):
    return reducers.reduce(train, val, kernel, reducer=reducer, components=components, label=label, seed=seed)


@pytest.mark.parametrize("label", [0, 1])
def test_hardness_of_two_classes_by_hand(label):
    # unit vector (0.6, 0.8): 0.6 * 5 + 0.8 * 10 = 11 and -0.8 * 5 = -4, for either label
    features = np.array([[5.0, 10.0], [0.0, -5.0]], np.float32)
    np.testing.assert_allclose(reducers.hardness(features, KERNEL, label), [[11.0], [-4.0]], rtol=1e-12)


def test_hardness_of_more_classes_points_away_from_the_label():
    kernel = np.array([[0.0, 6.0, 0.0], [0.0, 0.0, 8.0]])
    # label 0: ((6, 0) + (0, 8)) / 2 - (0, 0) = (3, 4); label 1: (0, 4) - (6, 0) = (-6, 4)
    features = np.array([[5.0, 10.0]])
    np.testing.assert_allclose(reducers.hardness(features, kernel, 0), [[11.0]])
    np.testing.assert_allclose(reducers.hardness(features, kernel, 1), [[10 / np.sqrt(52)]])


def test_hardness_edge_cases():
    features = np.ones((3, 2))
    np.testing.assert_array_equal(reducers.hardness(features, np.ones((2, 2)), 0), np.zeros((3, 1)))
    with pytest.raises(ValueError, match="the kernel has 1"):
        reducers.hardness(features, np.ones((2, 1)), 0)
    with pytest.raises(ValueError, match=r"label 2 is not in 0 \.\. 1"):
        reducers.hardness(features, KERNEL, 2)


def test_pca_is_fitted_on_the_training_samples_only():
    rng = np.random.default_rng(0)
    train = (rng.normal(size=(50, 3)) * [9.0, 3.0, 0.1]).astype(np.float32)
    val = rng.normal(size=(4, 3)).astype(np.float32)
    points, val_points = reduce(train, val, "pca", kernel=np.ones((3, 2)))
    centred = train - train.mean(axis=0, dtype=np.float64)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
    np.testing.assert_allclose(np.abs(points), np.abs(centred @ axes.T), atol=1e-5)
    np.testing.assert_allclose(np.abs(val_points), np.abs((val - train.mean(axis=0)) @ axes.T), atol=1e-5)


@pytest.mark.parametrize(("n", "components", "width"), [(1, 2, 1), (2, 5, 2), (9, 5, 2), (9, 1, 1)])
def test_pca_takes_at_most_n_and_d_components(n, components, width):
    train = np.random.default_rng(1).normal(size=(n, 2))
    points, val_points = reduce(train, train[:0], "pca", components=components)
    assert points.shape == (n, width)
    assert val_points.shape == (0, width)
    assert np.isfinite(points).all()


def test_bad_settings_are_refused():
    train = np.ones((3, 2))
    with pytest.raises(ValueError, match="'tsne'; known: hardness, pca, umap"):
        reduce(train, train, "tsne")
    with pytest.raises(ValueError, match="at least 1, not 0"):
        reduce(train, train, "pca", components=0)


def test_missing_umap_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(UserError, match=r"oilwater_jax\[umap\]") as raised:
        reduce(np.ones((11, 2)), np.ones((1, 2)), "umap")
    assert "\n" not in str(raised.value)


def test_umap_gets_unit_features_and_the_published_settings(monkeypatch):
    seen = {}

    class Fake:
        def __init__(self, **settings):
            seen.update(settings)

        def fit_transform(self, features):
            seen["train"] = features
            return features.astype(np.float32)

        def transform(self, features):
            return features.astype(np.float32)

    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=Fake))
    train = np.tile([[3.0, 4.0]], (11, 1))
    train[0] = 0  # has no direction: stays 0, not NaN
    points, val_points = reduce(train, np.array([[0.0, 2.0]]), "umap", seed=5)
    assert (seen["n_components"], seen["n_neighbors"], seen["min_dist"]) == (2, 10, 0.0)
    assert seen["random_state"] == 5
    np.testing.assert_allclose(seen["train"], [[0.0, 0.0]] + [[0.6, 0.8]] * 10)
    np.testing.assert_allclose(val_points, [[0.0, 1.0]])
    assert points.dtype == np.float64


def test_umap_of_fewer_samples_than_neighbours_tells_nothing_apart():
    points, val_points = reduce(np.eye(10), np.eye(10)[:3], "umap", kernel=np.ones((10, 2)))
    np.testing.assert_array_equal(points, np.zeros((10, 1)))
    np.testing.assert_array_equal(val_points, np.zeros((3, 1)))


@pytest.mark.slow
def test_umap_itself():
    pytest.importorskip("umap")
    rng = np.random.default_rng(0)
    side = np.arange(60) % 2
    features = 0.05 * rng.normal(size=(60, 8)) + np.eye(8)[side]
    points, val_points = reduce(features[:40], features[40:], "umap", kernel=np.ones((8, 2)))
    again, _ = reduce(features[:40], features[40:], "umap", kernel=np.ones((8, 2)))
    np.testing.assert_array_equal(points, again)
    centres = np.stack([points[side[:40] == s].mean(axis=0) for s in (0, 1)])
    nearest = np.linalg.norm(val_points[:, None] - centres[None], axis=2).argmin(axis=1)
    np.testing.assert_array_equal(nearest, side[40:])
