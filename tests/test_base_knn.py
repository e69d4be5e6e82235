import numpy as np
import pytest
from looking import assert_equivariant, config, evidence, examples, find

from oilwater_jax.defenses.base_knn import METHOD, by_class, distances
from oilwater_jax.errors import UserError


def problem(n=80, m=60, seed=0, groups=False):
    """Two classes; class 1 has a minority (attribute 1) elsewhere, which the base set may have; 3 poisons."""
    rng = np.random.default_rng(seed)
    label, own = np.arange(n) % 2, np.arange(m) % 2
    points = rng.normal(size=(n, 3)) + 6.0 * label[:, None]
    points[1:17:2] += np.array([0.0, 20, 0])  # 8 of the minority
    points[20:26:2] += 15.0  # 3 of class 0 that nobody is near
    base = rng.normal(size=(m, 3)) + 6.0 * own[:, None]
    attribute = np.zeros(m, int)
    if groups:
        base[1:21:2] += np.array([0.0, 20, 0])
        attribute[1:21:2] = 1
    base_set = examples(own, attribute=attribute)
    return evidence(label, features=points, base=base_set, base_scores={"features": base})


@pytest.mark.parametrize("k", [1, 3, 9])
def test_equals_the_slow_loop(k):
    rng = np.random.default_rng(0)
    points, base = rng.normal(size=(20, 3)), rng.normal(size=(15, 3))
    slow = [sorted(float(np.linalg.norm(one - other)) for other in base)[k - 1] for one in points]
    np.testing.assert_allclose(distances(points, base, k), slow)
    own = [
        sorted(float(np.linalg.norm(base[i] - base[j])) for j in range(15) if j != i)[k - 1]
        for i in range(15)
    ]
    np.testing.assert_allclose(distances(base, base, k, itself=True), own)


def test_edge_cases_of_distances():
    base = np.array([[0.0], [1.0]])
    assert distances(np.array([[3.0]]), base, 9).tolist() == [3]
    assert distances(base[:1], base[:1], 1, itself=True).tolist() == [np.inf]
    label = np.array([0, 1])
    assert by_class(base, label, base, label, 1).tolist() == [0, 0]


def test_poisons_are_far_and_so_is_a_minority_that_the_base_set_lacks():
    natural = find(METHOD, config(METHOD), problem())
    assert natural.arrays["flagged"][[20, 22, 24]].all()
    assert natural.arrays["flagged"][1:17:2].all()
    balanced = find(METHOD, config(METHOD), problem(groups=True))
    assert balanced.arrays["flagged"][[20, 22, 24]].all()
    assert balanced.arrays["flagged"][1:17:2].sum() <= 2
    assert any("class 0 with attribute 1" in one for one in balanced.warnings)


def test_what_the_base_set_lacks_is_said():
    small = find(METHOD, config(METHOD), problem(m=10))
    assert not small.arrays["flagged"].any()
    assert "10 base samples cannot tell" in small.warnings[0]
    look = problem()
    three = look._replace(label=np.where(np.arange(80) > 70, 2, look.label).astype(np.int32), n_classes=3)
    found = find(METHOD, config(METHOD), three)
    assert "no sample of class 2" in found.warnings[0]
    assert not found.arrays["flagged"][71:].any()


def test_permutation():
    assert_equivariant(METHOD, config(METHOD), problem())


def test_what_is_not_finite_is_refused():
    look = problem()
    look.scores["features"][0, 0] = np.inf
    with pytest.raises(UserError, match="base_knn"):
        find(METHOD, config(METHOD), look)
