import math

import numpy as np
import pytest

from oilwater_jax.attacks import warp


def bend_slowly(image, moved):
    """One image, pixel by pixel."""
    h, w, channels = image.shape
    out = np.zeros_like(image)
    for y in range(h):
        for x in range(w):
            v = min(max(y + moved[y, x, 0], 0), h - 1)
            u = min(max(x + moved[y, x, 1], 0), w - 1)
            y0, x0 = math.floor(v), math.floor(u)
            y1, x1 = min(y0 + 1, h - 1), min(x0 + 1, w - 1)
            a, b = v - y0, u - x0
            for c in range(channels):
                p = image[..., c].astype(float)
                value = (1 - a) * (1 - b) * p[y0, x0] + (1 - a) * b * p[y0, x1]
                value += a * (1 - b) * p[y1, x0] + a * b * p[y1, x1]
                out[y, x, c] = round(value)
    return out


def test_a_row_by_hand():
    row = np.array([0, 100, 200, 40], np.uint8).reshape(1, 1, 4, 1)
    right = np.zeros((1, 4, 2))
    right[..., 1] = 0.25
    # 0.75 p[x] + 0.25 p[x + 1]; beyond the edge the edge's pixel
    assert warp.bend(row, right).ravel().tolist() == [25, 125, 160, 40]


def test_against_the_loop(examples):
    rng = np.random.default_rng(0)
    each = rng.uniform(-3, 3, (40, 8, 8, 2))
    out = warp.bend(examples.image, each)
    common = warp.bend(examples.image, each[0])
    for i in (0, 39):
        np.testing.assert_array_equal(out[i], bend_slowly(examples.image[i], each[i]))
        np.testing.assert_array_equal(common[i], bend_slowly(examples.image[i], each[0]))


def test_chunks_change_nothing(examples, monkeypatch):
    each = np.random.default_rng(0).uniform(-1, 1, (40, 8, 8, 2))
    whole, common = warp.bend(examples.image, each), warp.bend(examples.image, each[0])
    monkeypatch.setattr(warp, "CHUNK", 7)
    np.testing.assert_array_equal(warp.bend(examples.image, each), whole)
    np.testing.assert_array_equal(warp.bend(examples.image, each[0]), common)
    assert warp.bend(examples.image[:0], each[0]).shape == (0, 8, 8, 3)


def test_nothing_moved_and_whole_pixels(examples):
    still = np.zeros((8, 8, 2))
    np.testing.assert_array_equal(warp.bend(examples.image, still), examples.image)
    down = still + np.array([1.0, 0.0]).reshape(1, 1, 2)
    out = warp.bend(examples.image, down)
    np.testing.assert_array_equal(out[:, :7], examples.image[:, 1:])
    np.testing.assert_array_equal(out[:, 7], examples.image[:, 7])


def test_the_field_is_smooth_and_goes_through_its_control_points():
    control = np.random.default_rng(0).uniform(-1, 1, (4, 4, 2))
    field = warp.spread(control, (31, 31))
    np.testing.assert_allclose(field[::10, ::10], control, atol=1e-9)
    assert np.abs(np.diff(field, axis=0)).max() < 0.5
    flat = warp.spread(np.full((4, 4, 2), 0.7), (9, 9))
    np.testing.assert_allclose(flat, 0.7)


def test_strength_in_pixels():
    # 33 pixels span -1..1, that is 32 steps: 0.5 / 33 of it is 0.5 x 32 / (2 x 33) pixels
    moved = warp.pixels(np.ones((33, 33, 2)), 0.5)
    assert moved == pytest.approx(0.5 * 32 / 66)
    assert np.abs(warp.draw_field((32, 32), 4, 0)).mean() == pytest.approx(1, abs=0.5)
    assert (warp.draw_field((32, 32), 4, 0) != warp.draw_field((32, 32), 4, 1)).any()
