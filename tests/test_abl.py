import jax
import jax.numpy as jnp
import numpy as np
import pytest
from looking import assert_equivariant, case, config, evidence, examples, find, weights

from oilwater_jax import selectors
from oilwater_jax.defenses import abl
from oilwater_jax.defenses.abl import METHOD
from oilwater_jax.errors import UserError
from oilwater_jax.types import Recipe, Rows

LOSSES = jnp.array([[0.2, 0.6, 1.0, 9.0]])


def rows(group=(0, 0, 0, 0), mask=(True, True, True, False)):
    group = jnp.array(group, jnp.int32)
    return Rows(jnp.zeros_like(group), group, jnp.arange(4, dtype=jnp.int32), jnp.array(mask))


def value_and_gradient(objective, batch):
    state = objective.init()
    value = objective.update(state, LOSSES, batch)[0]
    return float(value), jax.grad(lambda one: objective.update(state, one, batch)[0])(LOSSES)[0]


def test_held_at_gamma_by_hand():
    # of 0.2, 0.6, 1.0 (the last row is padding): (-0.2 + 0.6 + 1.0) / 3
    value, gradient = value_and_gradient(abl.hold(0.5, "sample"), rows())
    assert value == pytest.approx(1.4 / 3)
    np.testing.assert_allclose(gradient, [-1 / 3, 1 / 3, 1 / 3, 0], rtol=1e-6)
    # their mean is 0.6: above 0.5, below 0.7
    above = value_and_gradient(abl.hold(0.5, "batch"), rows())
    below = value_and_gradient(abl.hold(0.7, "batch"), rows())
    assert (above[0], below[0]) == pytest.approx((0.6, -0.6))
    np.testing.assert_allclose(below[1], [-1 / 3, -1 / 3, -1 / 3, 0], rtol=1e-6)
    plain = value_and_gradient(abl.hold(0.0, "sample"), rows())
    assert plain[0] == pytest.approx(0.6)


def test_unlearning_by_hand():
    value, gradient = value_and_gradient(abl.unlearn(0.1, 0.9), rows(group=(1, 0, 1, 1)))
    # -0.1 x 0.2 + 0.6 - 0.1 x 0.9: the third is above the ceiling
    assert value == pytest.approx((-0.02 + 0.6 - 0.09) / 3)
    np.testing.assert_allclose(gradient, [-0.1 / 3, 1 / 3, 0, 0], atol=1e-7)
    assert value_and_gradient(abl.unlearn(0.1, 0.9), rows())[0] == pytest.approx(0.6)
    none = value_and_gradient(abl.unlearn(0.0, 0.9), rows(group=(1, 0, 1, 1)))
    np.testing.assert_allclose(none[1], [0, 1 / 3, 0, 0], atol=1e-7)


def test_settings_are_state_so_that_nothing_compiles_anew():
    assert abl.unlearn(0.1, 1.0).update is abl.unlearn(0.2, 2.0).update
    assert abl.hold(0.1, "sample").update is abl.hold(0.2, "sample").update


def test_phases_and_what_may_be_reported():
    isolated = np.array([True, False, False])
    selector = abl.phases(isolated, 6, 2)
    history = np.array([selector.update((), epoch, None)[1] for epoch in range(1, 7)])
    assert history[:, 0].tolist() == [0, 0, 0, 1, 1, 0]
    assert (history[:, 1:] == 1).all()
    assert selectors.earliest(selector, 6) == 4
    left = selectors.foreseen(selector, examples([0, 0, 1]), 6)
    assert left is not None
    assert left.tolist() == [0, 1, 1]
    short = abl.phases(isolated, 3, 9)
    assert [short.update((), epoch, None)[1][0] for epoch in (1, 2, 3)] == [1, 1, 0]
    assert selectors.earliest(short, 3) == 1
    nobody = abl.phases(np.zeros(3, bool), 6, 2)
    assert all((nobody.update((), epoch, None)[1] == 1).all() for epoch in range(1, 7))


def test_losses_that_float32_rounds_to_0_are_told_apart():
    logits = np.array([[50.0, 0], [60.0, 0], [0.0, 50.0], [1.0, 1.0]], np.float32)
    label = np.zeros(4, int)
    np.testing.assert_allclose(abl.loss(logits, label), [np.exp(-50), np.exp(-60), 50, np.log(2)])
    rng = np.random.default_rng(0)
    logits, label = rng.normal(size=(20, 5)) * 3, rng.integers(0, 5, 20)
    slow = [-np.log(np.exp(z[y]) / np.exp(z).sum()) for z, y in zip(logits, label, strict=True)]
    np.testing.assert_allclose(abl.loss(logits, label), slow)


def test_isolates_the_easiest():
    logits = np.stack([np.zeros(200), np.linspace(0, 20, 200)], 1)
    label = np.ones(200, int)
    label[::2] = 0  # the even ones are harder and harder
    found = find(METHOD, config(METHOD, share=0.02), evidence(label, logits=logits))
    assert np.flatnonzero(found.arrays["flagged"]).tolist() == [193, 195, 197, 199]
    few = find(METHOD, config(METHOD, share=0.001), evidence(label, logits=logits))
    assert few.warnings[0] == "0.001 x 200 is 0; raise abl.share"
    same = find(METHOD, config(METHOD, share=0.1), evidence(label, logits=np.zeros((200, 2))))
    assert not same.arrays["flagged"].any()
    with pytest.raises(UserError, match="abl"):
        find(METHOD, config(METHOD), evidence(label, logits=np.full((200, 2), np.nan)))
    assert_equivariant(METHOD, config(METHOD, share=0.02), evidence(label, logits=logits))


def test_the_trainings():
    train = examples([0, 0, 1, 1])
    own = abl.reference(config(METHOD), train)
    assert own.recipe == Recipe(0.005, 1e-3, 20)
    assert own.objective is not None
    assert own.objective.update is abl.hold_samples
    flagged = np.array([True, False, False, False])
    treatment = METHOD.treat(config(METHOD, unlearning=1), case(train, {"flagged": flagged}, epochs=3))
    assert treatment.start == "reference"
    assert treatment.group is not None
    assert treatment.group.tolist() == [1, 0, 0, 0]
    assert weights(treatment, train, 3)[:, 0].tolist() == [0, 1, 0]
    with pytest.raises(UserError, match="training has one epoch"):
        METHOD.treat(config(METHOD), case(train, {"flagged": flagged}, epochs=1))
