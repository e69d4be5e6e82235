from typing import Any

import numpy as np
import pytest
from looking import assert_equivariant, config, evidence, find

from oilwater_jax.defenses.fct import METHOD, matrix, transformed
from oilwater_jax.errors import UserError


def network(image, wanted) -> dict[str, Any]:
    """Features: the mean brightness, and ten times the corner pixel's."""
    x = np.asarray(image, np.float64) / 255
    return {"features": np.stack([x.mean(axis=(1, 2, 3)), 10 * x[:, 0, 0, 0]], 1).astype(np.float32)}


def problem(n=60, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 40, (n, 6, 6, 3), np.uint8)
    image[:3, 0, 0] = 255  # a trigger in the corner
    scores = network(image, ("features",))
    return evidence(np.arange(n) % 2, image=image, score=network, **scores)


def test_maps_by_hand():
    image = np.arange(9, dtype=np.uint8).reshape(1, 3, 3, 1)
    rows = image[0, :, :, 0]

    def moved(*to):
        return transformed(image, matrix(*to))[0, :, :, 0]

    np.testing.assert_array_equal(moved(0.0, 1.0, (0.0, 0.0)), rows)
    np.testing.assert_array_equal(moved(180.0, 1.0, (0.0, 0.0)), rows[::-1, ::-1])
    np.testing.assert_array_equal(moved(90.0, 1.0, (0.0, 0.0)), np.rot90(rows))
    # a third of the side down: the edge is repeated
    np.testing.assert_array_equal(moved(0.0, 1.0, (1 / 3, 0.0)), rows[[0, 0, 1]])
    # three times as large: the middle pixel, blended with its neighbours a third of the way
    np.testing.assert_allclose(moved(0.0, 3.0, (0.0, 0.0)), [[3, 3, 3], [4, 4, 4], [5, 5, 5]], atol=1)


def test_equals_scipys_interpolation():
    from scipy.ndimage import map_coordinates

    image = np.random.default_rng(0).normal(size=(2, 7, 5, 2)).astype(np.float32)
    affine = matrix(33.0, 1.1, (0.05, -0.1))
    found = transformed(image, affine)
    for r in range(7):
        for c in range(5):
            at = affine[:, :2] @ np.array([(r + 0.5) / 7 - 0.5, (c + 0.5) / 5 - 0.5]) + affine[:, 2] + 0.5
            at = at * [7, 5] - 0.5
            for i in range(2):
                for k in range(2):
                    theirs = map_coordinates(image[i, :, :, k], at[:, None], order=1, mode="nearest")[0]
                    np.testing.assert_allclose(found[i, r, c, k], theirs, atol=1e-5)


def test_one_pixel_wide_images_go_through():
    assert (
        transformed(np.ones((2, 1, 1, 3), np.uint8), matrix(45.0, 1.0, (0.0, 0.0))).tolist()
        == [[[[1] * 3]]] * 2
    )


def test_flags_the_triggered_and_trusts_others():
    found = find(METHOD, config(METHOD), problem())
    assert np.flatnonzero(found.arrays["flagged"]).tolist() == [0, 1, 2]
    assert found.arrays["clean"].sum() == 12
    assert not found.arrays["clean"][:3].any()
    assert found.warnings == ()


def test_equals_the_slow_loop():
    look = problem()
    found = find(METHOD, config(METHOD, transforms=1), look)
    from oilwater_jax import rng

    affine = matrix(rng.generator(0, "fct").uniform(-1, 1, 4)[0] * 180, 1.0, (0.0, 0.0))
    for i in (0, 9):
        after = network(transformed(look.image[i : i + 1], affine), ())["features"][0].astype(float)
        before = look.scores["features"][i].astype(float)
        np.testing.assert_allclose(
            found.arrays["suspicion"][i], sum((a - b) ** 2 for a, b in zip(after, before, strict=True)) / 2
        )


def test_nothing_to_flag_says_so():
    few = find(METHOD, config(METHOD, poison_share=0.01), problem())
    assert few.warnings[0] == "0.01 x 60 is 0; raise fct.poison_share"
    still = find(METHOD, config(METHOD, degrees=0.0, transforms=1), problem())
    assert not still.arrays["flagged"].any()
    assert "nothing is flagged" in still.warnings[0]


def test_what_does_not_fit_is_refused():
    with pytest.raises(UserError, match=r"fct\.poison_share = 0\.5 and fct\.clean_share = 0\.6"):
        METHOD.check(config(METHOD, poison_share=0.5, clean_share=0.6))
    METHOD.check(config(METHOD))
    look = problem()
    assert METHOD.takes == ("image",)
    broken = look._replace(score=lambda image, wanted: {"features": np.full((len(image), 2), np.nan)})
    with pytest.raises(UserError, match="fct: the reference model's scores"):
        find(METHOD, config(METHOD), broken)


def test_permutation():
    assert_equivariant(METHOD, config(METHOD), problem())
