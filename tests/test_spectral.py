import numpy as np
import pytest
from looking import assert_equivariant, config, evidence, find

from oilwater_jax.defenses.spectral import METHOD, by_class, outlyingness
from oilwater_jax.errors import UserError


def problem(n=100, seed=0):
    """Two classes far from the origin; in class 1 the first five rows lie 8 along an axis of their own."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 2
    points = rng.normal(size=(n, 6)) + 20.0 + 10.0 * label[:, None]
    poisons = np.flatnonzero(label == 1)[:5]
    points[poisons, 3] += 8.0
    return points, label, poisons


def slow(points):
    """By power iteration on the centred rows."""
    centred = points - points.mean(0)
    v = np.ones(points.shape[1])
    for _ in range(3000):
        v = sum(row * (row @ v) for row in centred)
        v = v / np.sqrt(v @ v)
    return np.array([(row @ v) ** 2 for row in centred])


def test_by_hand():
    # mean (1, 0); centred (-1, 0), (-1, 0), (2, 0) and no spread along the second axis
    points = np.array([[0.0, 5.0], [0.0, 5.0], [3.0, 5.0]])
    np.testing.assert_allclose(outlyingness(points), [1, 1, 4])


def test_equals_the_slow_loop():
    points, label, _ = problem()
    for one in (0, 1):
        np.testing.assert_allclose(
            by_class(points, label)[label == one], slow(points[label == one]), rtol=1e-6
        )


def test_where_the_features_lie_does_not_matter():
    points, label, _ = problem()
    np.testing.assert_allclose(by_class(points + 1000, label), by_class(points, label), rtol=1e-6)


def test_edge_cases_of_the_projection():
    assert outlyingness(np.ones((1, 3))).tolist() == [0]
    assert not outlyingness(np.ones((5, 3))).any()


def test_flags_the_outlying_of_each_class():
    points, label, poisons = problem()
    found = find(METHOD, config(METHOD, budget=0.04), evidence(label, features=points))
    flagged = found.arrays["flagged"]
    assert found.figures == {"per_class": 6}  # 1.5 x 0.04 x 100
    assert flagged[poisons].all()
    assert [flagged[label == one].sum() for one in (0, 1)] == [6, 6]


def test_at_most_half_of_a_class_and_nobody_of_equal_ones():
    points, label, _ = problem()
    half = find(METHOD, config(METHOD, budget=1.0), evidence(label, features=points))
    assert [half.arrays["flagged"][label == one].sum() for one in (0, 1)] == [25, 25]
    assert "are flagged: too many for a search" in half.warnings[0]
    equal = find(METHOD, config(METHOD, budget=0.1), evidence(label, features=np.ones((100, 3))))
    assert not equal.arrays["flagged"].any()


def test_too_small_a_budget_says_so():
    points, label, _ = problem()
    found = find(METHOD, config(METHOD, budget=0.001), evidence(label, features=points))
    assert found.warnings[0] == "1.5 x 0.001 x 100 is 0; raise spectral.budget"


def test_permutation():
    points, label, _ = problem()
    assert_equivariant(METHOD, config(METHOD, budget=0.04), evidence(label, features=points))


def test_what_is_not_finite_is_refused():
    points, label, _ = problem()
    points[0, 0] = np.inf
    with pytest.raises(UserError, match="spectral"):
        find(METHOD, config(METHOD), evidence(label, features=points))


@pytest.mark.slow
def test_parity_with_the_adversarial_robustness_toolbox():
    """On features centred in each class, where its uncentred projection is the centred one."""
    theirs = pytest.importorskip("art.defences.detector.poison.spectral_signature_defense")
    points, label, _ = problem()
    for one in (0, 1):
        points[label == one] -= points[label == one].mean(0)
        scores = theirs.SpectralSignatureDefense.spectral_signature_scores(points[label == one])[:, 0]
        np.testing.assert_allclose(by_class(points, label)[label == one], scores**2, rtol=1e-8)
