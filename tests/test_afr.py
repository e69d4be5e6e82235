import numpy as np
import pytest
from attacking import table
from showing import Looker, evidence, weights

from oilwater_jax.robustness import afr, held_out
from oilwater_jax.types import Recipe


def slowly(p, label, held, gamma):
    """The published weights in its own order: exp, balance, normalise; times the number of held-out samples."""
    out = [np.exp(-gamma * one) if h else 0.0 for one, h in zip(p, held, strict=True)]
    n = sum(held)
    for y in set(label):
        count = sum(1 for one, h in zip(label, held, strict=True) if h and one == y)
        out = [w * n / count if one == y and count else w for w, one in zip(out, label, strict=True)]
    total = sum(out)
    return [w / total * n for w in out]


def test_by_hand():
    # Two of label 0 at p = 1 and 0.5, one of label 1 at p = 1, gamma = ln 4: 1/8, 1/4 and 1/4; their sum is 5/8.
    loss, label = -np.log([1.0, 0.5, 1.0, 0.1]), np.array([0, 0, 1, 1])
    held = np.array([True, True, True, False])
    drawn = afr.draws(loss, label, held, float(np.log(4)))
    np.testing.assert_allclose(drawn, [0.6, 1.2, 1.2, 0.0])


def test_against_the_loop():
    rng = np.random.default_rng(0)
    p, label, held = rng.uniform(size=60), rng.integers(0, 3, 60), rng.uniform(size=60) < 0.4
    drawn = afr.draws(-np.log(p), label, held, 5.0)
    np.testing.assert_allclose(drawn, slowly(p.tolist(), label.tolist(), held.tolist(), 5.0))
    order = rng.permutation(60)
    np.testing.assert_allclose(afr.draws(-np.log(p)[order], label[order], held[order], 5.0), drawn[order])


def test_gamma_0_equal_losses_and_a_label_that_is_not_held_out():
    rng = np.random.default_rng(0)
    label, held = np.array([0] * 6 + [1] * 2 + [2]), np.arange(9) < 8
    balanced = np.array([8 / 12] * 6 + [2.0] * 2 + [0.0])
    np.testing.assert_allclose(afr.draws(rng.exponential(size=9), label, held, 0.0), balanced)
    np.testing.assert_allclose(afr.draws(np.full(9, 0.3), label, held, 7.0), balanced)


def test_find_and_treat():
    train = table()
    method = Looker("afr", {"afr.learning_rate": 0.3, "afr.epochs": 7, "afr.pull": 0.2})
    loss = np.random.default_rng(0).exponential(size=100)
    found = method.find(evidence(train.label, {"loss": loss}))
    held = held_out.part(100, 0.2)
    np.testing.assert_array_equal(found.arrays["weight"] > 0, held)
    assert found.figures["n_held_out"] == 20
    assert found.arrays["weight"].sum() == pytest.approx(20)
    treatment = method.treat(train, found.arrays)
    np.testing.assert_array_equal(weights(treatment, train), found.arrays["weight"])
    assert (treatment.start, treatment.trained) == ("reference", "head")
    assert treatment.recipe == Recipe(0.3, 0.0, 7, 0.2)


def test_the_reference_is_trained_on_the_rest_by_erms_recipe():
    train = table()
    method = Looker("afr", {"erm.learning_rate": 0.07, "erm.epochs": 11})
    assert method.entry.reference is not None
    treatment = method.entry.reference(method.config, train)
    np.testing.assert_array_equal(weights(treatment, train) == 0, held_out.part(100, 0.2))
    assert treatment.recipe is not None
    assert (treatment.recipe.learning_rate, treatment.recipe.epochs) == (0.07, 11)
