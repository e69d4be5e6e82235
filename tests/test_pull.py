"""The pull towards where a training starts: by hand, and against the gradient of the whole loss."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from counting import compilations

from oilwater_jax.training.recipes import Form, optimiser
from oilwater_jax.types import Recipe


def trained(rule, params: Any, gradients) -> Any:
    """Parameters after a step with each gradient."""
    state = rule.init(jax.tree.map(jnp.array, params))
    for gradient in gradients:
        updates, state = rule.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params


def test_by_hand():
    rule = optimiser(0.0, Form(pulled=True))(Recipe(0.1, 0.0, 1, pull=2.0))
    # From 1 with gradient 3: no distance yet, 1 - 0.3 = 0.7. Then 3 + 2 * 2 * (0.7 - 1) = 1.8: 0.7 - 0.18 = 0.52.
    params = {"w": jnp.float32(1.0)}
    np.testing.assert_allclose(trained(rule, params, [{"w": jnp.float32(3.0)}] * 2)["w"], 0.52, rtol=1e-6)


def test_equals_the_loop_with_momentum_and_decay():
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=3), rng.normal(size=(20, 3))
    rate, decay, pull, momentum = 0.05, 0.1, 0.7, 0.9
    w, buffer = start.copy(), np.zeros(3)
    for gradient in gradients:
        buffer = momentum * buffer + gradient + 2 * pull * (w - start) + decay * w
        w = w - rate * buffer
    rule = optimiser(momentum, Form(pulled=True))(Recipe(rate, decay, 1, pull))
    got = trained(rule, {"w": jnp.float32(start)}, [{"w": jnp.float32(one)} for one in gradients])
    np.testing.assert_allclose(got["w"], w, rtol=1e-4)


def test_no_pull_is_plain_sgd_and_a_strong_one_stays():
    params = {"w": jnp.array([1.0, -2.0])}
    gradients = [{"w": jnp.array([0.5, x])} for x in (1.0, -3.0, 2.0)]
    plain = trained(optimiser(0.9, Form())(Recipe(0.1, 0.01, 1)), params, gradients)
    none = trained(optimiser(0.9, Form(pulled=True))(Recipe(0.1, 0.01, 1)), params, gradients)
    np.testing.assert_array_equal(plain["w"], none["w"])
    # A constant gradient g against pull c stops at g / (2 c) from the start.
    held = trained(
        optimiser(0.0, Form(pulled=True))(Recipe(0.01, 0.0, 1, 40.0)), params, [{"w": jnp.ones(2)}] * 200
    )
    np.testing.assert_allclose(held["w"], params["w"] - 1 / 80, rtol=1e-3)


def test_another_pull_compiles_nothing():
    make = optimiser(0.9, Form(pulled=True))
    params, gradient = {"w": jnp.ones(2)}, {"w": jnp.ones(2)}
    update = jax.jit(make(Recipe(0.1, 0.0, 1, 1.0)).update)
    other = make(Recipe(0.2, 0.1, 1, 3.0)).init(params)
    update(gradient, make(Recipe(0.1, 0.0, 1, 1.0)).init(params), params)
    with compilations() as compiled:
        update(gradient, other, params)
    assert compiled == []
