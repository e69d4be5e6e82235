"""The loss of gradient matching and its derivative in the pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_matching import apply, prepare, problem_of, some_images, some_params

from oilwater_jax.attacks import matching

KEY = jax.random.key(0)


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
