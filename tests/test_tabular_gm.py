"""Gradient matching on tables: what may move, how far, and that it matches."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tabular
from attacking import Attacker

from oilwater_jax import rng
from oilwater_jax.attacks import crafting, tabular_gm
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


def apply(params, rows) -> Any:
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
    targets = jnp.asarray(one.splits.test.image[attacked.evidence["targets"]])
    params = victim("", one.splits.train)
    wanted = tabular_gm.gradient(apply, params, targets, jnp.ones(1, int))
    before, after = (
        float(tabular_gm.matching_loss(apply, params, wanted, jnp.asarray(rows), jnp.ones(20, int)))
        for rows in (one.splits.train.image[attacked.rows], attacked.poisons.image)
    )
    assert after < before - 0.01
    assert after == pytest.approx(attacked.evidence["losses"].min(), abs=1e-5)
    assert attacked.evidence["history"].shape == (2, 60)


def test_the_loss_beside_numpy():
    """A network without hidden layers: the gradient of the kernel is x (p - y)^T, of the bias p - y."""
    rng_ = np.random.default_rng(0)
    kernel, x, wanted = rng_.normal(size=(3, 2)), rng_.normal(size=(5, 3)), rng_.normal(size=8)
    label = np.array([0, 1, 1, 0, 1])

    def linear(params, rows):
        return rows @ params["kernel"] + params["bias"][None], rows

    logits = x @ kernel
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True) - np.eye(2)[label]
    mine = np.concatenate([(x.T @ p / 5).ravel(), p.mean(axis=0)])
    want = 1 - mine @ wanted / np.linalg.norm(mine) / np.linalg.norm(wanted)
    params = {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.zeros(2)}
    tree = {
        "kernel": jnp.asarray(wanted[:6].reshape(3, 2), jnp.float32),
        "bias": jnp.asarray(wanted[6:], jnp.float32),
    }
    got = tabular_gm.matching_loss(linear, params, tree, jnp.asarray(x, jnp.float32), jnp.asarray(label))
    assert float(got) == pytest.approx(want, abs=1e-5)


def test_eps_0_leaves_the_rows_as_they_are():
    splits = tabular.small()
    params = victim("", splits.train)
    rows, label = splits.train.image[:7], jnp.ones(7, int)
    wanted = tabular_gm.gradient(apply, params, jnp.asarray(rows[:1]), label[:1])
    none = tabular_gm.room(splits, 0.0)
    made = tabular_gm.craft(
        apply, params, wanted, rows, np.ones(7, int), none, np.full(3, 0.1, np.float32), 2, jax.random.key(0)
    )
    np.testing.assert_allclose(made.rows, rows, atol=1e-6)


def test_step_sizes():
    settings = crafting.Settings(eps=2.0, step_size=0.1, steps=8)
    assert crafting.rates(settings).tolist() == pytest.approx(
        [0.2, 0.2, 0.2, 0.02, 0.02, 0.002, 0.002, 0.0002]
    )


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
    with pytest.raises(UserError, match="this table describes none"):
        made(splits=splits._replace(columns=tuple(numbers)))
