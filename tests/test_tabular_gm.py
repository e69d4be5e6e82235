"""Gradient matching on tables: what may move, how far, and that it matches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tabular
from attacking import Attacker

from oilwater_jax import rng
from oilwater_jax.attacks import matching, tabular_gm
from oilwater_jax.attacks.lab import Lab
from oilwater_jax.errors import UserError
from oilwater_jax.models.mlp import MLP
from oilwater_jax.training.step import as_it_is

SETTINGS = {
    "tabular_gm.eps": 0.3,
    "tabular_gm.steps": 60,
    "tabular_gm.restarts": 2,
    "tabular_gm.targets": 1,
    "attack.budget": 0.2,
}
NETWORK = MLP(2, (8,))


def apply(params, rows):
    return NETWORK.apply({"params": params}, rows)


def victim(name, examples):
    return NETWORK.init(rng.key(0, "victim"), jnp.zeros((1, examples.image.shape[1])))["params"]


LAB = Lab(victim, apply, lambda *_: {}, as_it_is, lambda *_: None)


def made(settings=None, splits=None):
    one = Attacker("tabular_gm", SETTINGS | (settings or {}), splits or tabular.small())
    one.check()
    return one, one.entry.attack(one.config, one.splits, one.splits.test, 0, LAB)


def test_numbers_stay_within_eps_and_train_s_range_and_categories_as_they_are():
    one, attacked = made()
    train, columns = one.splits.train, one.splits.columns
    before, after = train.image[attacked.rows], attacked.poisons.image
    assert after.dtype == np.float32
    moved = 0.0
    for column in columns:
        was, now = before[:, column.start : column.stop], after[:, column.start : column.stop]
        if column.categories:
            np.testing.assert_array_equal(now, was)
            continue
        assert np.abs(now - was).max() <= 0.3 + 1e-5
        assert now.min() >= train.image[:, column.start].min() - 1e-5
        assert now.max() <= train.image[:, column.start].max() + 1e-5
        moved = max(moved, float(np.abs(now - was).max()))
    assert moved == pytest.approx(0.3, abs=1e-4)
    assert (attacked.poisons.label == 1).all()
    assert (attacked.poisons.true_label == 1).all()  # clean labels


def test_it_comes_nearer_to_the_target_s_gradient():
    one, attacked = made()
    targets = one.splits.test.image[attacked.evidence["targets"]]
    params = victim("", one.splits.train)
    wanted = matching.target_gradient(apply, as_it_is, params, targets, 1)
    problem = matching.Problem(params, wanted, jnp.full(20, 1), 0.0, False)
    key = jax.random.key(0)
    before, after = (
        float(matching.matching_loss(apply, as_it_is, problem, jnp.asarray(rows), key))
        for rows in (one.splits.train.image[attacked.rows], attacked.poisons.image)
    )
    assert after < before - 0.01


def test_the_room_by_hand():
    splits = tabular.small()
    room = tabular_gm.room(splits, 0.5)
    age, job = splits.columns[:2]
    assert room.far[0, age.start] == 0.5
    assert (room.far[0, job.start : job.stop] == 0).all()
    assert room.high[0, age.start] == pytest.approx((age.high - age.mean) / age.deviation)
    assert room.low[0, age.start] == pytest.approx(splits.train.image[:, age.start].min(), abs=1e-5)


def test_what_cannot_be():
    with pytest.raises(UserError, match=r"tabular_gm.targets = 20, but group 0"):
        made({"tabular_gm.targets": 20})
    with pytest.raises(UserError, match="asks for 60 poisons, but class 1"):
        made({"attack.budget": 0.6})
    splits = tabular.small()
    numbers = [column for column in splits.columns if column.categories]
    with pytest.raises(UserError, match="this table has none described"):
        made(splits=splits._replace(columns=tuple(numbers)))
