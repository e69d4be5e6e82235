import numpy as np
import pytest
from attacking import table
from showing import Looker, evidence, weights

from oilwater_jax.robustness import held_out
from oilwater_jax.robustness import self as self_method
from oilwater_jax.types import Recipe

EVERYONE = np.ones(5, bool)


def slowly(early, final):
    out = []
    for a, b in zip(early, final, strict=True):
        p, q = np.exp(a) / np.exp(a).sum(), np.exp(b) / np.exp(b).sum()
        out.append(sum(x * np.log(x / y) for x, y in zip(p, q, strict=True)))
    return out


def test_divergence():
    rng = np.random.default_rng(0)
    early, final = rng.normal(size=(2, 30, 3))
    np.testing.assert_allclose(self_method.divergence(early, final), slowly(early, final), rtol=1e-6)
    np.testing.assert_allclose(self_method.divergence(early, early), 0.0, atol=1e-12)
    shifted = self_method.divergence(early + rng.normal(size=(30, 1)), final)
    np.testing.assert_allclose(shifted, slowly(early, final), rtol=1e-6)
    # By hand: p = (1/2, 1/2) against (1/4, 3/4): (ln 2 + ln(2/3)) / 2
    hand = self_method.divergence(np.zeros((1, 2)), np.log([[0.25, 0.75]]))
    assert hand[0] == pytest.approx((np.log(2) + np.log(2 / 3)) / 2)
    assert np.isfinite(self_method.divergence(np.array([[900.0, 0.0]]), np.array([[0.0, 900.0]]))).all()


def test_most():
    values = np.array([3.0, 9.0, 9.0, 1.0, 9.0])
    assert self_method.most(values, EVERYONE, 2).tolist() == [False, True, True, False, False]
    held = np.array([True, False, True, True, False])
    assert self_method.most(values, held, 2).tolist() == [True, False, True, False, False]
    assert self_method.most(values, held, 99).tolist() == held.tolist()


def test_equally_many_points_of_each_label():
    values, label = np.array([9.0, 8.0, 7.0, 6.0, 1.0, 2.0, 3.0]), np.array([0, 0, 0, 0, 1, 1, 1])
    held = np.array([True, True, True, True, True, True, False])

    def rows(count, balance):
        return np.flatnonzero(self_method.choose(values, held, label, count, balance)).tolist()

    assert rows(4, "draws") == [0, 1, 2, 3]
    assert rows(4, "points") == [0, 1, 4, 5]
    assert rows(5, "points") == [0, 1, 4, 5]
    assert rows(1, "points") == [0, 5]
    assert rows(6, "points") == [0, 1, 2, 4, 5]  # label 1 has two


def test_draws_by_hand():
    chosen = np.array([True, True, True, True, False])
    drawn = self_method.draws(chosen, np.array([0, 0, 0, 1, 1]), 12)
    assert drawn.tolist() == [2.0, 2.0, 2.0, 6.0, 0.0]
    assert self_method.draws(np.arange(5) < 2, np.array([0, 0, 0, 1, 1]), 12).tolist() == [6.0, 6.0, 0, 0, 0]


def test_find_and_treat():
    train = table()
    method = Looker(
        "self", {"self.points": 6, "self.epochs": 3, "self.learning_rate": 0.2, "self.balance": "draws"}
    )
    rng = np.random.default_rng(0)
    early, final = rng.normal(size=(2, 100, 2))
    found = method.find(evidence(train.label, {"logits": final}, {"logits": early}))
    values, held = np.array(slowly(early, final)), held_out.part(100, 0.2)
    wanted = sorted(np.flatnonzero(held), key=lambda i: -values[i])[:6]
    assert set(np.flatnonzero(found.arrays["weight"]).tolist()) == {int(i) for i in wanted}
    assert found.figures == {"n_held_out": 20, "n_chosen": 6}
    treatment = method.treat(train, found.arrays)
    np.testing.assert_array_equal(weights(treatment, train), found.arrays["weight"])
    assert (treatment.start, treatment.trained) == ("reference", "head")
    assert treatment.recipe == Recipe(0.2, 0.0, 3, 0.0)


def test_both_models_are_of_one_training():
    train = table()
    method = Looker("self", {"erm.epochs": 5, "self.early": 2})
    assert method.entry.reference is not None
    assert method.entry.early is not None
    final, early = (one(method.config, train) for one in (method.entry.reference, method.entry.early))
    np.testing.assert_array_equal(weights(final, train), weights(early, train))
    assert final.recipe is not None
    assert early.recipe == final.recipe._replace(epochs=2)
    never = Looker("self", {"erm.epochs": 5, "self.early": 9})
    assert never.entry.early is not None
    assert never.entry.early(never.config, train).recipe == final.recipe
