import math

import numpy as np
import pytest
from looking import case, config, examples, weights

from oilwater_jax import selectors, treatments
from oilwater_jax.defenses.dp_sgd import METHOD, ORDERS, account, divergence, epsilon
from oilwater_jax.types import Treatment


@pytest.mark.parametrize(("order", "noise", "share"), [(2, 1.0, 0.3), (5, 1.5, 0.05), (16, 3.0, 0.5)])
def test_divergence_equals_its_integral(order, noise, share):
    """Of (1 - q) N(0, s^2) + q N(1, s^2) from N(0, s^2), by summing over a fine grid."""
    x = np.linspace(-40, 60, 400_001)
    one = np.exp(-(x**2) / (2 * noise**2)) / (noise * math.sqrt(2 * math.pi))
    ratio = (1 - share) + share * np.exp((2 * x - 1) / (2 * noise**2))
    integral = np.sum(one * ratio**order) * (x[1] - x[0])
    np.testing.assert_allclose(divergence(order, noise, share), math.log(integral) / (order - 1), rtol=1e-6)


def test_divergence_at_its_ends():
    assert divergence(7, 2.0, 1.0) == 7 / 8
    assert divergence(7, 2.0, 0.0) == 0
    np.testing.assert_allclose(divergence(7, 2.0, 1 - 1e-12), 7 / 8, rtol=1e-6)
    # order 2 by hand: log(1 + q^2 (e^(1 / s^2) - 1))
    np.testing.assert_allclose(divergence(2, 1.0, 0.1), math.log(1 + 0.01 * (math.e - 1)))


def test_epsilon_edge_cases_and_order():
    def of(noise=1.0, share=0.02, steps=500):
        return epsilon(noise=noise, delta=1e-5, share=share, steps=steps)

    assert of(noise=0.0) == math.inf
    assert of(steps=0) == 0
    assert of(share=0.0) == 0
    assert of() < of(steps=501)
    assert of(noise=1.1) < of()
    assert of() < of(share=1.0)


# Of dp_accounting 0.6.0: RdpAccountant(orders 2 .. 256), Poisson-sampled (or, at share 1, plain) Gaussian events.
GOLDEN = [
    (250 / 60000, 1.3, 3600, 0.9422002181626765),
    (1.0, 2.0, 10, 8.087861628831664),
    (0.02, 1.0, 500, 3.1457587486915877),
]


@pytest.mark.parametrize(("share", "noise", "steps", "theirs"), GOLDEN)
def test_epsilon_agrees_with_dp_accounting(share, noise, steps, theirs):
    found = epsilon(noise=noise, delta=1e-5, share=share, steps=steps)
    np.testing.assert_allclose(found, theirs, rtol=1e-9)
    assert tuple(range(2, 257)) == ORDERS


def test_what_is_told():
    told = account(noise=2.0, delta=1e-5, n=1000, batch=64, epochs=10)
    assert told["epsilon"] == epsilon(noise=2.0, delta=1e-5, share=1.0, steps=10)
    assert told["epsilon_poisson"] == epsilon(noise=2.0, delta=1e-5, share=0.064, steps=160)
    assert told["epsilon_poisson"] < told["epsilon"]
    assert account(noise=0.0, delta=1e-5, n=10, batch=64, epochs=1)["epsilon"] is None
    small = account(noise=2.0, delta=1e-5, n=10, batch=64, epochs=3)
    np.testing.assert_allclose(small["epsilon"], small["epsilon_poisson"])


def test_the_treatment():
    train = examples([0, 1, 0])
    treatment = METHOD.treat(config(METHOD, clip=0.5, noise=2.0), case(train, {}, epochs=4))
    assert treatment.sole
    assert METHOD.sole
    assert treatment.private == (0.5, 2.0)
    assert weights(treatment, train).tolist() == [[1, 1, 1]]
    assert treatment.figures["privacy"] == account(noise=2.0, delta=1e-5, n=3, batch=64, epochs=4)
    assert METHOD.modes == ("standard",)


def test_noise_0_clips_alone_and_guarantees_nothing():
    train = examples([0, 1, 0])
    treatment = METHOD.treat(config(METHOD, noise=0.0), case(train, {}))
    assert treatment.private == (1.0, 0.0)
    assert treatment.figures["privacy"]["epsilon"] is None
    assert treatment.figures["privacy"]["epsilon_poisson"] is None


def test_with_another_method_beside_it_no_guarantee_is_told():
    train = examples([0, 1, 0])
    own = METHOD.treat(config(METHOD), case(train, {}))
    twice = Treatment(selectors.fixed(np.full(3, 2.0)))
    assert treatments.together([own]).figures == own.figures
    both = treatments.together([twice, own])
    assert both.private == own.private
    assert both.figures == {}
