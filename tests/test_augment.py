import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oilwater_jax.attacks.augment import augment, resample

IMAGE = np.random.default_rng(0).uniform(0, 255, (5, 6, 7, 2)).astype(np.float32)


def move_by_hand(image, dy, dx):
    """Whole pixels, one at a time, edges repeated."""
    h, w, _ = image.shape
    out = np.empty_like(image)
    for y in range(h):
        for x in range(w):
            out[y, x] = image[min(max(y - dy, 0), h - 1), min(max(x - dx, 0), w - 1)]
    return out


def test_no_shift_no_flip_is_the_identity():
    np.testing.assert_array_equal(augment(jnp.asarray(IMAGE), jax.random.key(0), 0.0, False), IMAGE)


@given(st.integers(-9, 9), st.integers(-9, 9), st.booleans())
def test_whole_moves_and_mirrors_move_pixels_and_mix_none(dy, dx, mirrored):
    moved = resample(jnp.asarray(IMAGE[0]), jnp.array([dy, dx], jnp.float32), jnp.array(mirrored))
    source = IMAGE[0, :, ::-1] if mirrored else IMAGE[0]
    np.testing.assert_array_equal(moved, move_by_hand(source, dy, dx))


def test_half_a_pixel_is_the_mean_of_two():
    # rows 0, 10, 40 moved down by half a pixel: 0 (edge), (0 + 10) / 2, (10 + 40) / 2
    image = jnp.array([0.0, 10.0, 40.0])[:, None, None]
    moved = resample(image, jnp.array([0.5, 0.0]), jnp.array(False))
    assert moved[:, 0, 0].tolist() == [0.0, 5.0, 25.0]


def test_each_image_has_its_own_move_and_coin_and_the_shift_is_its_bound():
    ramp = jnp.broadcast_to(jnp.arange(40.0)[None, None, :, None], (64, 2, 40, 1))
    # In the middle of a ramp the pixel says where it came from.
    move = 20 - np.asarray(augment(ramp, jax.random.key(1), 3.0, False))[:, 0, 20, 0]
    assert np.abs(move).max() <= 3.0
    assert move.min() < -2.5
    assert move.max() > 2.5
    assert len(np.unique(move)) > 50
    slope = np.diff(np.asarray(augment(ramp, jax.random.key(1), 0.0, True))[:, 0, 20:22, 0])
    assert 20 < (slope < 0).sum() < 44


@pytest.mark.parametrize("flip", [False, True])
def test_the_derivative_is_the_finite_difference(flip):
    with jax.enable_x64(True):
        rng = np.random.default_rng(1)
        image, direction, weight = (jnp.asarray(rng.normal(size=(3, 5, 5, 2))) for _ in range(3))

        def scalar(image):
            return jnp.sum(weight * augment(image, jax.random.key(2), 1.5, flip) ** 2)

        h = 1e-5
        slope = (scalar(image + h * direction) - scalar(image - h * direction)) / (2 * h)
        assert jnp.sum(jax.grad(scalar)(image) * direction) == pytest.approx(float(slope), rel=1e-7)
