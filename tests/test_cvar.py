import jax
import jax.numpy as jnp
import numpy as np
import pytest
from counting import compilations
from showing import Looker, weights

from oilwater_jax.robustness.cvar import cvar
from oilwater_jax.types import Rows


def rows(mask):
    zero = jnp.zeros(len(mask), jnp.int32)
    return Rows(zero, zero, zero, jnp.asarray(mask))


UPDATE = jax.jit(cvar(1.0).update)  # all settings are in the state


def value(alpha, losses, mask=None):
    """Filled up with padding, so that all tests share a program."""
    padded, keep = np.full((1, 30), 1e6, np.float32), np.zeros(30, bool)
    padded[0, : len(losses)] = losses
    keep[: len(losses)] = True if mask is None else mask
    return float(UPDATE(cvar(alpha).init(), jnp.asarray(padded), rows(keep))[0])


def slowly(alpha, losses):
    """Walk down from the largest until alpha of all are counted."""
    left = share = alpha * len(losses)
    total = 0.0
    for loss in sorted(losses, reverse=True):
        part = min(left, 1.0)
        total += part * loss
        left -= part
    return total / share


def test_by_hand():
    # 0.5 of 5 samples are 2.5: 9 and 7 whole and half of 4: (9 + 7 + 2) / 2.5
    assert value(0.5, [1, 9, 4, 7, 0]) == pytest.approx(7.2)


def test_against_the_loop():
    rng = np.random.default_rng(0)
    for _ in range(50):
        n = int(rng.integers(1, 20))
        losses, alpha = rng.exponential(size=n).round(3), float(rng.uniform(0.01, 1))
        padded = np.concatenate([losses, rng.exponential(size=5) + 100])
        assert value(alpha, padded, np.arange(n + 5) < n) == pytest.approx(slowly(alpha, losses), rel=1e-4)
        assert value(alpha, losses[rng.permutation(n)]) == pytest.approx(slowly(alpha, losses), rel=1e-4)


def test_edge_cases():
    assert value(1.0, [1, 2, 6]) == 3.0  # ERM
    assert value(0.01, [1, 2, 6]) == pytest.approx(6.0)  # less than one sample
    assert value(0.3, [5, 5, 5, 5]) == pytest.approx(5.0)
    assert value(0.3, [1, 2], np.zeros(2, bool)) == 0.0
    with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\], not 0"):
        cvar(0.0)


def test_only_the_worst_are_differentiated():
    objective = cvar(0.5)
    slope = jax.grad(lambda one: objective.update(objective.init(), one[None], rows(np.ones(5, bool)))[0])
    gradient = slope(jnp.array([1.0, 9.0, 4.0, 7.0, 0.0]))
    np.testing.assert_allclose(gradient, np.array([0, 1, 0.5, 1, 0]) / 2.5)


def test_another_alpha_compiles_nothing():
    one, other = cvar(0.1), cvar(0.7)
    assert one.update is other.update
    update = jax.jit(one.update)
    losses = jnp.ones((1, 4))
    update(one.init(), losses, rows(np.ones(4, bool)))
    with compilations() as compiled:
        update(other.init(), losses, rows(np.ones(4, bool)))
    assert compiled == []


def test_everyone_is_drawn_once_and_nobody_is_chosen(examples):
    method = Looker("cvar", {"cvar.alpha": 0.2})
    treatment = method.treat(examples, {})
    np.testing.assert_array_equal(weights(treatment, examples), 1)
    assert treatment.objective is not None
    assert float(treatment.objective.init().alpha) == pytest.approx(0.2)
    assert method.entry.modes == ("standard",)
