import numpy as np
import pytest

from oilwater_jax.data import compose


def test_enlarge_of_a_constant_is_constant_inside_and_exact():
    got = compose.enlarge(np.full((1, 2, 2), 256), 4)
    # centres of the 4 target pixels lie at -1/4, 1/4, 3/4, 5/4 source pixels: the outer ones weigh 3/4
    edge = np.array([0.75, 1, 1, 0.75])
    np.testing.assert_array_equal(got[0], 256 * np.outer(edge, edge))


def test_reduce_takes_means_over_areas():
    # 3 pixels to 2: the target covers one and a half source pixels, of which the middle one is shared
    row = np.array([2, 4, 8])
    got = compose.reduce(np.broadcast_to(row, (1, 3, 3)), 2)
    np.testing.assert_array_equal(got[0], [[3, 7], [3, 7]])  # 8 / 3 = 2.67, 20 / 3 = 6.67, rounded
    same = np.arange(9).reshape(1, 3, 3)
    np.testing.assert_array_equal(compose.reduce(same, 3), same)
    with pytest.raises(ValueError, match="4 pixels are not 1 to 3"):
        compose.reduce(same, 4)


def test_halve_rounds_the_mean_of_four():
    photo = np.zeros((3, 2, 3), np.uint8)
    photo[:2, :, 0] = [[1, 2], [3, 4]]  # mean 2.5 -> 3
    photo[:2, :, 1] = [[0, 0], [0, 1]]  # mean 0.25 -> 0
    np.testing.assert_array_equal(compose.halve(photo), [[[3, 0, 0]]])


def test_blocks_are_disjoint_and_inside():
    photo = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    cut = compose.blocks(photo, 2, 3)
    assert set(cut) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    np.testing.assert_array_equal(cut[1, 1], photo[2:4, 3:6])


def test_crops_come_from_their_source():
    sources = np.stack([np.full((6, 6, 3), value, np.uint8) for value in (10, 20)])
    got = compose.crops(sources, 4, 50, np.random.RandomState(0))
    assert got.shape == (50, 4, 4, 3)
    assert set(np.unique(got)) == {10, 20}
    with pytest.raises(ValueError, match="6x6 pixels are smaller than a crop of 7"):
        compose.crops(sources, 7, 1, np.random.RandomState(0))


def paint(alpha=None, **changed):
    if alpha is None:
        alpha = np.zeros((1, 2, 2), np.int64)
        alpha[0, 0, 0] = 256
    settings = {
        "top": np.array([1]),
        "left": np.array([1]),
        "shade": np.array([200]),
        "opacity": 256,
        "rim": 0,
    }
    return compose.compose(alpha, np.full((1, 4, 4, 3), 100, np.uint8), **(settings | changed))


def test_compose_golden_values():
    out = paint()
    assert out[0, 1, 1, 0] == 200
    assert (np.delete(out[0, :, :, 0].ravel(), 5) == 100).all()
    assert paint(opacity=64)[0, 1, 1, 0] == 125  # (100 * 192 + 200 * 64 + 128) // 256
    assert paint(opacity=0)[0, 1, 1, 0] == 100
    # a rim of strength 1/2 halves the 3x3 around the shape's one pixel, and only that
    rimmed = paint(rim=128)[0, :, :, 0]
    assert rimmed[1, 1] == 200
    assert (rimmed == 50).sum() == 8


def test_compose_with_a_grey_of_each_pixel():
    shade = np.array([[[10, 20], [30, 40]]])
    out = paint(alpha=np.full((1, 2, 2), 256), shade=shade)[0, :, :, 1]
    np.testing.assert_array_equal(out[1:3, 1:3], shade[0])
    assert (out == 100).sum() == 12
    np.testing.assert_array_equal(paint(shade=np.full((1, 2, 2), 200)), paint())


def test_compose_refuses_a_shape_that_reaches_outside():
    with pytest.raises(ValueError, match="2 pixels reaches outside 4"):
        paint(left=np.array([3]))
