import jax
import jax.numpy as jnp
import numpy as np
import pytest
from counting import compilations
from looking import case, config, examples, weights

from oilwater_jax.defenses.mixup import METHOD, mix, mixup, partners
from oilwater_jax.types import Rows


def rows(label, mask=None):
    label = jnp.asarray(label)
    keep = jnp.ones(len(label), bool) if mask is None else jnp.asarray(mask)
    return Rows(label, jnp.zeros_like(label), jnp.arange(len(label)), keep)


def images(n, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(n, 2, 2, 3)), jnp.float32)


def test_partners_are_a_permutation_of_the_real_rows_and_never_padding():
    mask = np.arange(10) < 7
    seen = set()
    for at in range(30):
        found = np.asarray(partners(jax.random.key(at), jnp.asarray(mask)))[mask]
        assert sorted(found) == list(range(7))
        seen.add(tuple(found))
    assert len(seen) > 25


def test_a_batch_is_mixed_as_a_loop_by_hand_mixes_it():
    image, label = images(6), np.array([0, 1, 2, 0, 1, 2])
    mixed = mix(jnp.float32(1.0), jax.random.key(3), image, rows(label))
    share, other = jax.random.split(jax.random.key(3))
    ratio = float(jax.random.beta(share, 1.0, 1.0))
    partner = np.asarray(partners(other, jnp.ones(6, bool)))
    assert 0 < ratio < 1
    assert (partner != np.arange(6)).any()
    assert float(mixed.ratio) == pytest.approx(ratio)
    for i in range(6):
        expected = ratio * np.asarray(image[i]) + (1 - ratio) * np.asarray(image[partner[i]])
        np.testing.assert_allclose(mixed.image[i], expected, rtol=1e-5, atol=1e-6)
        assert int(mixed.second[i]) == label[partner[i]]


def test_no_alpha_is_no_mixing_and_one_row_is_itself():
    image = images(5)
    still = mix(jnp.float32(0.0), jax.random.key(0), image, rows(np.arange(5)))
    assert float(still.ratio) == 1
    np.testing.assert_array_equal(still.image, image)
    alone = mix(jnp.float32(1.0), jax.random.key(0), image, rows(np.arange(5), np.arange(5) == 0))
    np.testing.assert_allclose(alone.image[0], image[0], rtol=1e-6)
    assert int(alone.second[0]) == 0


def test_shares_have_the_mean_and_variance_of_their_distribution():
    """Beta(a, a): mean 1/2, variance 1 / (4 (2 a + 1)); 2,000 draws, within 4 standard errors of the mean."""
    draw = jax.jit(
        jax.vmap(lambda key, alpha: mix(alpha, key, images(2), rows([0, 1])).ratio, in_axes=(0, None))
    )
    for alpha in (0.2, 1.0, 8.0):
        found = np.asarray(draw(jax.random.split(jax.random.key(1), 2000), jnp.float32(alpha)))
        variance = 1 / (4 * (2 * alpha + 1))
        assert found.mean() == pytest.approx(0.5, abs=4 * np.sqrt(variance / 2000))
        assert found.var() == pytest.approx(variance, rel=0.15)


def test_the_objective():
    objective = mixup(0.5)
    value, state = objective.update(
        objective.init(), jnp.array([[1.0, 3.0, 99.0]]), rows([0, 1, 0], [True, True, False])
    )
    assert float(value) == 2.0
    assert float(state) == 0.5
    with pytest.raises(ValueError, match="mixup: alpha must be at least 0, not -1"):
        mixup(-1.0)


def test_another_alpha_compiles_nothing():
    one, other = mixup(0.1), mixup(2.0)
    assert (one.update, one.mix) == (other.update, other.mix)
    jitted = jax.jit(mix)
    jitted(one.init(), jax.random.key(0), images(4), rows(np.arange(4)))
    with compilations() as compiled:
        jitted(other.init(), jax.random.key(0), images(4), rows(np.arange(4)))
    assert compiled == []


def test_the_treatment():
    train = examples([0, 1, 0])
    treatment = METHOD.treat(config(METHOD, alpha=0.3), case(train, {}))
    assert treatment.sole
    assert treatment.objective is not None
    assert treatment.objective.mix is mix
    assert float(treatment.objective.init()) == pytest.approx(0.3)
    assert weights(treatment, train).tolist() == [[1, 1, 1]]
    assert treatment.warnings == ()
    assert METHOD.modes == ("standard",)


def test_no_alpha_is_a_warning():
    treatment = METHOD.treat(config(METHOD, alpha=0.0), case(examples([0, 1]), {}))
    assert treatment.warnings == ("mixup.alpha = 0: nothing is mixed, this is plain training",)
