from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from counting import compilations
from hypothesis import given, settings
from hypothesis import strategies as st

from oilwater_jax.attacks import matching
from oilwater_jax.attacks.matching import Problem, Settings
from oilwater_jax.models.cnn import CNN
from oilwater_jax.training.step import normalise

KEY = jax.random.key(0)


def apply(params, image):
    """A two-layer network without kinks: 4x4x2 pixels, 5 tanh units, 3 classes."""
    features = jnp.tanh(image.reshape(len(image), -1) @ params["in"] + params["bias"][None])
    return features @ params["out"], features


def prepare(image):
    return image / 100.0 - 1.0


def some_params(seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"in": (32, 5), "bias": (5,), "out": (5, 3)}
    return {name: jnp.asarray(rng.normal(size=shape) / 2) for name, shape in shapes.items()}


def some_images(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 4, 4, 2), np.uint8)


def problem_of(label, shift=1.3, flip=True, targets=2):
    params = some_params()
    gradient = matching.target_gradient(apply, prepare, params, some_images(targets, 1), 2)
    return Problem(params, gradient, jnp.asarray(label), shift, flip)


def craft(image, label=None, target_label=2, **changes):
    at_once = changes.pop("at_once", None)
    key, listener = changes.pop("key", KEY), changes.pop("listener", lambda step, loss: None)
    params = some_params()
    return matching.craft(
        apply,
        prepare,
        params,
        image=image,
        label=np.arange(len(image), dtype=np.int32) % 3 if label is None else label,
        target_gradient=matching.target_gradient(apply, prepare, params, some_images(2, 1), target_label),
        settings=Settings(steps=12, restarts=4, shift=0.7)._replace(**changes),
        key=key,
        listener=listener,
        at_once=at_once,
    )


def test_target_gradient_is_the_mean_of_each_targets_own():
    params, image = some_params(), some_images(4)
    found = matching.target_gradient(apply, prepare, params, image, 1)

    def one_loss(params, pixels):
        logits = apply(params, prepare(pixels[None].astype(np.float32)))[0][0]
        return jnp.log(jnp.sum(jnp.exp(logits))) - logits[1]

    each = [jax.grad(one_loss)(params, pixels) for pixels in image]
    for name in params:
        np.testing.assert_allclose(found[name], sum(g[name] for g in each) / 4, rtol=1e-4, atol=1e-6)


def test_target_gradient_refuses_what_cannot_be_matched():
    with pytest.raises(ValueError, match="no targets"):
        matching.target_gradient(apply, prepare, some_params(), some_images(0), 1)
    flat = jax.tree.map(jnp.zeros_like, some_params())
    certain = {**flat, "bias": jnp.full(5, 9.0), "out": flat["out"].at[:, 1].set(99.0)}
    with pytest.raises(ValueError, match=r"label 1 is 0\.0"):
        matching.target_gradient(apply, prepare, certain, some_images(2), 1)
    with pytest.raises(ValueError, match="label 1 is nan"):
        matching.target_gradient(apply, prepare, jax.tree.map(lambda x: x * np.nan, flat), some_images(2), 1)


def test_distance_is_one_joint_cosine():
    # 1 - (1*3 + 2*0 + 2*4) / (3 * 5), across the leaves
    one, other = (
        {"a": jnp.array([1.0, 2.0]), "b": jnp.array(2.0)},
        {"a": jnp.array([3.0, 0.0]), "b": jnp.array(4.0)},
    )
    assert float(matching.distance(one, other)) == pytest.approx(1 - 11 / 15, rel=1e-6)
    assert float(matching.distance(one, jax.tree.map(lambda x: -7 * x, one))) == pytest.approx(2, rel=1e-6)


@pytest.mark.parametrize("size", [1.0, 1e-6, 1e6])
def test_a_vanished_gradient_has_distance_1_and_no_direction(size):
    zero, other = {"a": jnp.zeros(3)}, {"a": jnp.full(3, size)}
    loss, gradient = jax.value_and_grad(matching.distance)(zero, other)
    assert loss == 1
    assert jnp.isfinite(gradient["a"]).all()


def test_loss_0_where_the_poisons_are_the_targets_with_the_intended_label():
    problem = problem_of([2, 2], shift=0.0, flip=False)
    image = jnp.asarray(some_images(2, 1), jnp.float32)
    assert float(matching.matching_loss(apply, prepare, problem, image, KEY)) == pytest.approx(0, abs=1e-6)


def test_pixel_gradient_is_the_finite_difference_and_jax_grad_of_the_loss():
    with jax.enable_x64(True):
        problem = problem_of([0, 1, 2])
        image = jnp.asarray(some_images(3), jnp.float64)
        loss, gradient = matching.loss_and_pixel_gradient(apply, prepare, problem, image, KEY)

        def scalar(image):
            return matching.matching_loss(apply, prepare, problem, image, KEY)

        want_loss, want = jax.value_and_grad(scalar)(image)
        np.testing.assert_allclose(loss, want_loss, rtol=1e-12)
        np.testing.assert_allclose(gradient, want, rtol=1e-8, atol=1e-14)
        rng = np.random.default_rng(3)
        for _ in range(5):
            direction = jnp.asarray(rng.normal(size=image.shape))
            h = 1e-4
            slope = (scalar(image + h * direction) - scalar(image - h * direction)) / (2 * h)
            assert float(jnp.sum(gradient * direction)) == pytest.approx(float(slope), rel=1e-5)


@settings(max_examples=25)
@given(
    eps=st.one_of(st.sampled_from([0.0, 0.9, 1.0, 255.0]), st.floats(0, 255)),
    seed=st.integers(0, 99),
    step_size=st.floats(0, 3),
    extreme=st.booleans(),
)
def test_poisons_are_whole_valid_pixels_within_eps(eps, seed, step_size, extreme):
    image = some_images(3, seed)
    if extreme:
        image = np.where(image < 128, 0, 255).astype(np.uint8)
    before = image.copy()
    crafted = craft(image, eps=eps, step_size=step_size, restarts=2, steps=3, key=jax.random.key(seed))
    np.testing.assert_array_equal(image, before)
    assert crafted.image.dtype == np.uint8
    assert crafted.image.shape == image.shape
    assert np.abs(crafted.image.astype(int) - image).max() <= eps
    assert np.isfinite(crafted.losses).all()
    assert crafted.history.shape == (2, 3)
    if eps < 1:
        np.testing.assert_array_equal(crafted.image, image)


def test_a_large_eps_is_used_to_the_full():
    crafted = craft(some_images(3), eps=16.0)
    assert np.abs(crafted.image.astype(int) - some_images(3)).max() == 16


def test_the_restart_of_the_lowest_final_loss_is_kept_and_its_loss_is_that_of_the_images_returned():
    crafted = craft(some_images(5), shift=0.0)
    assert len(np.unique(crafted.losses)) == 4
    image = jnp.asarray(crafted.image, jnp.float32)
    loss = matching.matching_loss(apply, prepare, problem_of([0, 1, 2, 0, 1], 0.0, False), image, KEY)
    assert float(loss) == pytest.approx(crafted.losses.min(), abs=1e-6)


def test_a_restart_knows_nothing_of_the_others():
    all_four, first_two = craft(some_images(5)), craft(some_images(5), restarts=2)
    np.testing.assert_array_equal(all_four.losses[:2], first_two.losses)
    np.testing.assert_array_equal(all_four.history[:2], first_two.history)


def test_restarts_are_the_same_however_many_run_at_once():
    # The sign of a gradient near 0 is at the mercy of rounding, so a few pixels may differ by a step.
    one, two, four = (craft(some_images(5), at_once=n) for n in (1, 2, 4))
    for other in (two, four):
        np.testing.assert_allclose(other.history, one.history, atol=1e-4)
        np.testing.assert_allclose(other.losses, one.losses, atol=1e-3)
        assert (other.image == one.image).mean() > 0.95


def test_same_key_same_poisons_other_key_others():
    one, same = craft(some_images(3)), craft(some_images(3))
    np.testing.assert_array_equal(one.image, same.image)
    np.testing.assert_array_equal(one.losses, same.losses)
    assert (one.image != craft(some_images(3), key=jax.random.key(1)).image).any()


def test_other_settings_keys_and_labels_compile_nothing():
    craft(some_images(3))
    with compilations() as compiled:
        other = {"eps": 3.0, "steps": 20, "restarts": 3, "step_size": 0.3, "shift": 0.0, "flip": True}
        craft(some_images(3, 7), np.array([2, 2, 0], np.int32), 1, key=jax.random.key(5), **other)
    assert compiled == []


def test_the_listener_hears_every_tenth_step_and_the_last():
    heard = []
    crafted = craft(some_images(3), steps=25, listener=lambda *news: heard.append(news))
    assert [step for step, _ in heard] == [10, 20, 25]
    assert heard[-1][1] == pytest.approx(crafted.history[:, -1].min())


def test_step_sizes_fall_where_the_paper_says():
    rates = matching.rates(Settings(eps=16, steps=250, step_size=0.1))
    assert np.flatnonzero(np.diff(rates)).tolist() == [92, 155, 217]  # the last step of each size
    np.testing.assert_allclose(rates[[0, 93, 156, 218]], [1.6, 0.16, 0.016, 0.0016], rtol=1e-6)
    assert matching.rates(Settings(eps=10, steps=1)).tolist() == [1.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eps": -1.0}, r"eps must be in 0..255, not -1.0"),
        ({"eps": 255.5}, r"not 255.5"),
        ({"steps": 0}, r"0 steps, 4 restarts"),
        ({"restarts": 0}, r"12 steps, 0 restarts"),
        ({"at_once": 3}, r"4 restarts cannot run 3 at once"),
    ],
)
def test_settings_out_of_range(changes, message):
    with pytest.raises(ValueError, match=message):
        craft(some_images(3), **changes)


def test_no_images():
    with pytest.raises(ValueError, match="no images"):
        craft(some_images(0))


def test_crafting_lowers_the_loss_on_the_network_in_use(waterdigits):
    network, train = CNN(2, (8,)), waterdigits.train
    params = network.init(KEY, jnp.zeros((1, 32, 32, 3)))["params"]

    def cnn(params, image) -> Any:
        return network.apply({"params": params}, image)

    target = waterdigits.test.take(np.flatnonzero(waterdigits.test.label == 0)[:1])
    image = train.image[train.label == 1][:8]
    crafted = matching.craft(
        cnn,
        normalise,
        params,
        image=image,
        label=np.ones(8, np.int32),
        target_gradient=matching.target_gradient(cnn, normalise, params, target.image, 1),
        settings=Settings(steps=15, restarts=1),
        key=KEY,
    )
    assert (crafted.losses < 0.95 * crafted.history[:, 0]).all()
