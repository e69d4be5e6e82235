import numpy as np
import pytest
from looking import assert_equivariant, config, evidence, examples, find

from oilwater_jax.defenses import scan
from oilwater_jax.defenses.scan import METHOD
from oilwater_jax.errors import UserError


def problem(n=300, m=80, seed=0, poisons=12):
    """Class 1 has poisons off along an axis of little variance; the largest variance is clean."""
    rng = np.random.default_rng(seed)
    label, own = np.arange(n) % 2, np.arange(m) % 2
    widths = np.array([6.0, 2, 1, 0.5])
    points = rng.normal(size=(n, 4)) * widths + 20.0 * label[:, None]
    rows = np.flatnonzero(label == 1)[:poisons]
    points[rows, 3] += 6.0
    base = rng.normal(size=(m, 4)) * widths + 20.0 * own[:, None]
    return evidence(label, features=points, base=examples(own), base_scores={"features": base}), rows


def test_gain_by_hand():
    points = np.array([[0.0, 0], [0, 0], [0, 0], [4, 3]])
    # shares 1/4 and 3/4, means 5 apart: 25 x 3/16; it is the drop in the mean squared distance
    small = np.array([False, False, False, True])
    np.testing.assert_allclose(scan.gain(points, small), 25 * 3 / 16)
    one = np.square(points - points.mean(0)).sum() / 4
    np.testing.assert_allclose(scan.gain(points, small), one - 0.0)
    assert scan.gain(points, np.zeros(4, bool)) == 0


def test_residuals_have_the_variance_within_classes():
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1, 2], [400, 600, 1])
    points = rng.normal(size=(1001, 2)) * [1.0, 3] + 50.0 * label[:, None]
    spread = scan.residuals(points, label)
    assert len(spread) == 1000
    np.testing.assert_allclose(np.cov(spread, rowvar=False), [[1, 0], [0, 9]], atol=0.8)
    np.testing.assert_allclose(np.cov(spread @ scan.whitener(spread), rowvar=False), np.eye(2), atol=0.1)


def test_the_ratio_is_that_of_two_normals():
    from scipy.stats import multivariate_normal

    points = np.random.default_rng(0).normal(size=(9, 3))
    part = np.arange(9) < 4
    one, two = (multivariate_normal(points[side].mean(0)).logpdf(points) for side in (part, ~part))
    np.testing.assert_allclose(scan.to_first(points, part, points), one - two)


def test_finds_the_poisons_of_one_of_two_classes():
    look, rows = problem()
    found = find(METHOD, config(METHOD), look)
    assert np.flatnonzero(found.arrays["flagged"]).tolist() == rows.tolist()
    assert found.figures["p_values"]["1"] == 1 / 200
    assert found.figures["p_values"]["0"] > 0.025
    assert found.warnings == ()


def test_clean_classes_are_left_alone():
    fired = 0
    for seed in range(6):
        look, _ = problem(seed=seed, poisons=0)
        fired += find(METHOD, config(METHOD, draws=39), look).arrays["flagged"].any()
    assert fired <= 1


def test_the_published_index_never_fires_with_two_classes():
    """Why it is not used: of two numbers each is one median deviation from their median."""
    for a in np.array([[3.0, 3.1], [1.0, 900.0]]):
        deviation = np.abs(a - np.median(a))
        np.testing.assert_allclose(deviation / (1.4826 * np.median(deviation)), 0.6745, rtol=1e-3)


def test_what_it_cannot_tell_it_says():
    look, _ = problem(m=12)
    assert "12 base samples are too few" in find(METHOD, config(METHOD), look).warnings[0]
    look, _ = problem()
    few = find(METHOD, config(METHOD, draws=38), look)
    assert not few.arrays["flagged"].any()
    assert "38 draws cannot tell of false alarms of 0.05 over 2 classes" in few.warnings[0]
    one = look._replace(base=look.base.take(np.arange(0, 80, 2)))
    one = one._replace(base_scores={"features": look.base_scores["features"][::2]})
    found = find(METHOD, config(METHOD), one)
    assert "no sample of class 1" in found.warnings[0]
    assert found.figures["p_values"]["1"] == 1 / 200
    base = examples(look.base.label, attribute=(np.arange(80) == 1).astype(int))
    assert "class 0 with attribute 1" in find(METHOD, config(METHOD), look._replace(base=base)).warnings[0]
    same = look._replace(scores={"features": np.ones((300, 3))}, base_scores={"features": np.ones((80, 3))})
    assert not find(METHOD, config(METHOD), same).arrays["flagged"].any()
    look.scores["features"][0, 0] = np.nan
    with pytest.raises(UserError, match="scan"):
        find(METHOD, config(METHOD), look)


def test_permutation():
    look, _ = problem()
    assert_equivariant(METHOD, config(METHOD, draws=59), look)
