import numpy as np
import pytest
from showing import Looker, evidence, weights

from oilwater_jax.errors import UserError
from oilwater_jax.robustness import eiil


def cross_entropy(logits, label):
    return np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[label]


def slowly(slope, start, steps, rate):
    """Adam on the assignment, line by line: gradients by hand, float64."""
    n, w = len(slope), start.astype(float).copy()
    m, v = np.zeros(n), np.zeros(n)
    for t in range(1, steps + 1):
        share = [1 / (1 + np.exp(-x)) for x in w]
        a = sum(g * s for g, s in zip(slope, share, strict=True)) / n
        b = sum(g * (1 - s) for g, s in zip(slope, share, strict=True)) / n
        for i in range(n):
            # d/dw of -(a^2 + b^2) / 2: a falls and b rises by the same
            gradient = -(a - b) * slope[i] * share[i] * (1 - share[i]) / n
            m[i] = 0.9 * m[i] + 0.1 * gradient
            v[i] = 0.999 * v[i] + 0.001 * gradient**2
            w[i] -= rate * (m[i] / (1 - 0.9**t)) / (np.sqrt(v[i] / (1 - 0.999**t)) + 1e-8)
    return w


def problem(n=30, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=n), rng.normal(size=n)


def test_slopes_are_derivatives_of_the_scaled_loss():
    rng = np.random.default_rng(0)
    logits, label = rng.normal(0, 2, (20, 3)), rng.integers(0, 3, 20)
    slope, h = eiil.slopes(logits, label), 1e-5
    for i in range(20):
        up, down = (cross_entropy(w * logits[i], label[i]) for w in (1 + h, 1 - h))
        assert slope[i] == pytest.approx((up - down) / (2 * h), abs=1e-6)
    # By hand: logits (1, 0), label 1: p = e / (1 + e), the slope is p * 1 - 0
    assert eiil.slopes(np.array([[1.0, 0.0]]), np.array([1]))[0] == pytest.approx(np.e / (1 + np.e))


def test_against_the_loop():
    slope, start = problem()
    for steps in (0, 1, 7, 200):
        expected = slowly(slope, start, steps, 0.05)
        sure = np.abs(expected) > 1e-3
        assert sure.sum() >= 28
        got = eiil.environments(slope, start, steps, 0.05)
        np.testing.assert_array_equal(got[sure], expected[sure] > 0)
    assignment = eiil._searcher()(*(np.float32(x) for x in (slope, start)), np.int32(50), np.float32(0.05))
    np.testing.assert_allclose(assignment, slowly(slope, start, 50, 0.05), atol=1e-3)


def test_the_penalties_grow_until_the_signs_of_the_slopes_are_apart():
    slope, start = problem(200)

    def penalty(first):
        return np.mean(slope * first) ** 2 + np.mean(slope * ~first) ** 2

    few, many = (eiil.environments(slope, start, steps, 0.05) for steps in (0, 3000))
    assert penalty(many) > penalty(few)
    apart = many == (slope > 0)
    assert apart.all() or not apart.any()


def test_steps_0_no_slopes_and_permuted_samples():
    slope, start = problem()
    np.testing.assert_array_equal(eiil.environments(slope, start, 0, 0.1), start > 0)
    np.testing.assert_array_equal(eiil.environments(np.zeros(30), start, 50, 0.1), start > 0)
    order = np.random.default_rng(1).permutation(30)
    np.testing.assert_array_equal(
        eiil.environments(slope[order], start[order], 300, 0.05),
        eiil.environments(slope, start, 300, 0.05)[order],
    )


def test_find_and_treat(examples):
    method = Looker("eiil", {"eiil.steps": 2000, "eiil.rate": 0.05})
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(40, 2))
    found = method.find(evidence(examples.label, {"logits": logits}))
    group = found.arrays["cluster"]
    assert sum(found.figures["sizes"]) == 40
    assert np.bincount(group).tolist() == found.figures["sizes"]
    # A group is of one class.
    assert all(len(set(examples.label[group == g].tolist())) == 1 for g in range(group.max() + 1))
    treatment = method.treat(examples, found.arrays)
    drawn = weights(treatment, examples)
    sums = np.bincount(group, weights=drawn)
    np.testing.assert_allclose(sums, 40 / len(sums))
    np.testing.assert_array_equal(found.arrays["flagged"], drawn > 1)
    assert treatment.group is not None
    assert treatment.objective is not None
    assert len(treatment.objective.init().log_q) == 16
    ideal = weights(method.treat(examples, found.arrays, "ideal"), examples)
    assert ideal[examples.is_poison].max() <= 1


def test_logits_that_are_not_finite():
    with pytest.raises(UserError, match="logits are not finite"):
        Looker("eiil").find(evidence([0, 1], {"logits": np.array([[np.inf, 0.0], [0.0, 0.0]])}))
