import numpy as np
import pytest
from looking import assert_equivariant, config, evidence, find

from oilwater_jax.defenses.spectre import METHOD, outlyingness, que, robust, squared, whitened
from oilwater_jax.errors import UserError


def problem(n=200, seed=0):
    """Class 1 has 6 samples off along an axis of little variance; the main direction is of clean spread alone."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 2
    points = rng.normal(size=(n, 5)) * np.array([10.0, 3, 1, 1, 0.3]) + 30.0
    rows = np.flatnonzero(label == 1)[:6]
    points[rows, 4] += 4.0
    return points, label, rows


def test_que_equals_the_matrix_exponential():
    from scipy.linalg import expm

    white = np.random.default_rng(0).normal(size=(50, 4)) * np.array([1.0, 1, 1.5, 2])
    moments = sum(np.outer(row, row) for row in white) / 50
    q = expm(4.0 * (moments - np.eye(4)) / (np.linalg.norm(moments, 2) - 1))
    np.testing.assert_allclose(que(white, 4.0), [row @ q @ row / np.trace(q) for row in white], rtol=1e-9)


def test_que_at_its_ends():
    white = np.random.default_rng(0).normal(size=(50, 3)) * np.array([1.0, 1, 3])
    np.testing.assert_allclose(que(white, 0.0), np.square(white).sum(1) / 3)
    _, vectors = np.linalg.eigh(white.T @ white)
    np.testing.assert_allclose(que(white, 100.0), np.square(white @ vectors[:, -1]), rtol=1e-6)
    np.testing.assert_allclose(
        que(0.1 * white, 4.0), np.square(0.1 * white).sum(1) / 3
    )  # no variance above 1


def test_the_robust_estimate_leaves_outliers_out():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(2000, 3)) * np.array([1.0, 2, 3])
    points[:200] = rng.normal(size=(200, 3)) + 40.0
    mean, covariance = robust(points, 300)
    np.testing.assert_allclose(mean, 0, atol=0.3)
    np.testing.assert_allclose(np.diag(covariance), [1, 4, 9], rtol=0.25)
    plain, whole = robust(points[200:], 0)
    np.testing.assert_allclose(plain, points[200:].mean(0))
    np.testing.assert_allclose(whole, np.cov(points[200:], rowvar=False), rtol=0.15, atol=0.3)
    same, none = robust(np.ones((5, 2)), 1)
    assert same.tolist() == [1, 1]
    assert np.abs(none).max() < 1e-200


def test_distances_and_whitening_by_hand():
    covariance = np.array([[4.0, 0], [0, 9]])
    points = np.array([[2.0, 3.0], [4.0, 0.0]])
    np.testing.assert_allclose(squared(points, covariance), [2, 4])
    np.testing.assert_allclose(whitened(points, np.zeros(2), covariance), [[1, 1], [2, 0]])


def test_finds_what_hides_in_a_direction_of_little_variance():
    points, label, rows = problem()
    found = find(METHOD, config(METHOD, budget=0.02), evidence(label, features=points))
    assert found.figures["per_class"] == 6  # 1.5 x 0.02 x 200
    assert np.flatnonzero(found.arrays["flagged"] & (label == 1)).tolist() == rows.tolist()
    assert found.figures["dimensions"]["1"] >= 4


def test_edge_cases():
    assert outlyingness(np.ones((9, 2)), components=2, alpha=4.0, drop=1)[1] == 0
    assert not outlyingness(np.arange(4.0).reshape(2, 2), components=2, alpha=4.0, drop=1)[0].any()
    points, label, _ = problem()
    few = find(METHOD, config(METHOD, budget=0.001), evidence(label, features=points))
    assert few.warnings[0] == "1.5 x 0.001 x 200 is 0; raise spectre.budget"
    equal = find(METHOD, config(METHOD, budget=0.1), evidence(label, features=np.ones((200, 3))))
    assert not equal.arrays["flagged"].any()
    half = find(METHOD, config(METHOD, budget=1.0), evidence(label, features=points))
    assert half.arrays["flagged"].sum() == 100
    points[0, 0] = np.nan
    with pytest.raises(UserError, match="spectre"):
        find(METHOD, config(METHOD), evidence(label, features=points))


def test_permutation():
    points, label, _ = problem()
    assert_equivariant(METHOD, config(METHOD, budget=0.02), evidence(label, features=points))
