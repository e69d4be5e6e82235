import numpy as np
import pytest

from oilwater_jax.attacks import blended


def test_pixels_by_hand():
    image = np.full((1, 2, 2, 3), 100, np.uint8)
    pattern = np.zeros((2, 2, 3), np.uint8)
    pattern[0, 1] = (200, 50, 255)
    # 0.8 * 100 = 80; + 0.2 * (200, 50, 255) = 120, 90, 131
    out = blended.blend(image, pattern, 0.2)
    assert out[0, 0, 0].tolist() == [80, 80, 80]
    assert out[0, 0, 1].tolist() == [120, 90, 131]
    assert image.max() == 100


def test_a_mask_says_where():
    image, pattern = np.full((2, 2, 2, 1), 100, np.uint8), np.full((2, 2, 1), 200, np.uint8)
    mask = np.array([[[1.0, 0.0], [0.5, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    out = blended.blend(image, pattern, 0.4, mask)[..., 0]
    assert out.tolist() == [[[140, 100], [120, 100]], [[100, 100], [100, 100]]]


@pytest.mark.parametrize(("ratio", "same_as"), [(0.0, "image"), (1.0, "pattern")])
def test_ratio_0_and_1(examples, ratio, same_as):
    pattern = blended.draw_pattern((8, 8, 3), 2, 0, "x")
    out = blended.blend(examples.image, pattern, ratio)
    wanted = {"image": examples.image, "pattern": np.broadcast_to(pattern, out.shape)}[same_as]
    np.testing.assert_array_equal(out, wanted)


def test_the_pattern_is_squares_of_colour():
    pattern = blended.draw_pattern((10, 7, 3), 4, 0, "x")
    assert pattern.shape == (10, 7, 3)
    for y in range(0, 10, 4):
        for x in range(0, 7, 4):
            square = pattern[y : y + 4, x : x + 4].reshape(-1, 3)
            assert (square == square[0]).all()
    assert len(np.unique(pattern.reshape(-1, 3), axis=0)) == 6
    one = blended.draw_pattern((10, 7, 3), 100, 0, "x")
    assert len(np.unique(one.reshape(-1, 3), axis=0)) == 1
    assert len(np.unique(blended.draw_pattern((10, 7, 3), 1, 0, "x").reshape(-1, 3), axis=0)) > 60
    assert (blended.draw_pattern((10, 7, 3), 4, 1, "x") != pattern).any()
