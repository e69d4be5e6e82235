"""Recipes: schedules by hand, optimisers against NumPy loops, clipping, accumulation, augmentation."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from oilwater_jax.errors import UserError
from oilwater_jax.settings import config as cfg
from oilwater_jax.training.recipes import (
    Form,
    at_rate,
    form,
    optimiser,
    random_crop,
    random_flip,
    rate,
    varied,
)
from oilwater_jax.types import Recipe


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, [1, 1, 1, 1]),
        ({"schedule": "cosine"}, [1, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5]),
        ({"schedule": "step", "milestones": (1, 3)}, [1, 0.1, 0.1, 0.01]),
        ({"schedule": "step", "milestones": (2,), "factor": 0.5}, [1, 1, 0.5, 0.5]),
        ({"warmup": 2}, [1 / 3, 2 / 3, 1, 1]),
        ({"warmup": 2, "schedule": "cosine"}, [1 / 3, 2 / 3, 1, 0.5]),
        ({"warmup": 1, "schedule": "step", "milestones": (1, 2)}, [0.5, 0.1, 0.01, 0.01]),
    ],
)
def test_schedules(more, expected):
    recipe = Recipe(1.0, 0.0, 4, **more)
    np.testing.assert_allclose([rate(recipe, epoch) for epoch in (1, 2, 3, 4)], expected, rtol=1e-6)


def steps(recipe, gradients, momentum=0.9):
    """Parameters after each of some gradients, begun at 2."""
    rule = optimiser(momentum, form(recipe))(recipe)
    params: Any = {"w": jnp.array([2.0, -1.0])}
    state, seen = rule.init(params), []
    for gradient in gradients:
        updates, state = rule.update({"w": jnp.asarray(gradient, jnp.float32)}, state, params)
        params = optax.apply_updates(params, updates)
        seen.append(np.asarray(params["w"]))
    return seen


GRADIENTS = [[1.0, 0.5], [-3.0, 2.0], [0.5, 0.0], [4.0, -4.0]]


def test_adamw_is_the_paper_s():
    """Loshchilov & Hutter 2019, algorithm 2, by a loop."""
    w, m, v, expected = np.array([2.0, -1.0]), np.zeros(2), np.zeros(2), []
    for t, g in enumerate(np.array(GRADIENTS), 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        step = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        w = w - 0.1 * (step + 0.05 * w)
        expected.append(w)
    found = steps(Recipe(0.1, 0.05, 1, optimiser="adamw"), GRADIENTS)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_clipping_is_by_the_global_norm():
    found = steps(Recipe(0.1, 0.0, 1, clip=2.0), GRADIENTS, momentum=0.0)
    w, expected = np.array([2.0, -1.0]), []
    for g in np.array(GRADIENTS):
        w = w - 0.1 * g * min(1.0, 2.0 / np.linalg.norm(g))
        expected.append(w)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_clip_that_never_bites_changes_nothing():
    plain = steps(Recipe(0.1, 0.01, 1), GRADIENTS)
    np.testing.assert_allclose(steps(Recipe(0.1, 0.01, 1, clip=1e6), GRADIENTS), plain, rtol=1e-6)


def test_accumulated_batches_are_one_of_their_mean():
    found = steps(Recipe(0.1, 0.01, 1, accumulate=2), GRADIENTS)
    means = [np.mean(GRADIENTS[:2], axis=0), np.mean(GRADIENTS[2:], axis=0)]
    np.testing.assert_array_equal(found[0], [2.0, -1.0])
    np.testing.assert_allclose(found[1::2], steps(Recipe(0.1, 0.01, 1), means), rtol=1e-6)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_rate_can_be_changed_and_compiles_nothing(accumulate):
    recipe = Recipe(0.1, 0.0, 1, accumulate=accumulate)
    rule = optimiser(0.0, form(recipe))(recipe)
    params = jnp.array([1.0])
    update: Any = jax.jit(lambda state: rule.update(jnp.array([1.0]), state, params))
    moved: Any = None
    state = rule.init(params)
    for learning_rate in (0.1, 0.03):
        state = at_rate(state, learning_rate)
        for _ in range(accumulate):
            moved, state = update(state)
        np.testing.assert_allclose(moved, [-learning_rate], rtol=1e-6)
    assert update._cache_size() == 1


def test_flips_are_mirror_images_of_about_half():
    image = jnp.asarray(np.random.default_rng(0).integers(0, 256, (200, 4, 5, 3), np.uint8))
    found = np.asarray(random_flip(image, jax.random.key(0)))
    mirrored = np.array([(a == b[:, ::-1]).all() for a, b in zip(found, np.asarray(image), strict=True)])
    same = (found == np.asarray(image)).all((1, 2, 3))
    assert (mirrored != same).all()
    assert 70 < mirrored.sum() < 130


def test_crops_are_enlarged_rectangles():
    """Of a ramp a crop's enlargement is a ramp: flatter by the crop's side, inside the old range."""
    down, right = np.mgrid[0:24, 0:32].astype(np.float32)
    image = jnp.asarray(np.stack([down, right, np.full_like(down, 7)], axis=-1))[None].repeat(50, 0)
    found = np.asarray(random_crop(image, jax.random.key(1), 0.25))
    assert found.shape == image.shape
    np.testing.assert_allclose(found[..., 2], 7, rtol=1e-5)
    slopes = []
    for axis, channel in ((1, 0), (2, 1)):
        inner = np.diff(found[..., channel], axis=axis)[:, 2:-2, 2:-2]
        np.testing.assert_allclose(inner - inner[:, :1, :1], np.zeros_like(inner), atol=1e-3)
        slopes.append(inner[:, 0, 0])
    area = slopes[0] * slopes[1]
    assert area.min() > 0.2
    assert area.max() < 1 + 1e-4
    assert area.std() > 0.1
    aspect = slopes[1] * 32 / (slopes[0] * 24)
    assert aspect.min() > 0.7
    assert aspect.max() < 1.8  # 4/3 of an image that is 4/3 itself, cut where it would be wider
    assert found.min() >= 0
    assert found[..., 0].max() <= 23


def test_a_plain_form_varies_by_shifts_alone():
    image = jnp.asarray(np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8))
    key = jax.random.key(0)
    assert varied(image, key, 0, Form()) is image
    assert (np.asarray(varied(image, key, 0, Form(flip=True))) != np.asarray(image)).any()
    assert varied(image, key, 2, Form(crop=0.5)).shape == image.shape


def fields(**more):
    return {"smoke": "true"} | {key.replace("__", "."): value for key, value in more.items()}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"erm__optimiser": "lion"}, "erm.optimiser = 'lion' is not known"),
        ({"erm__schedule": "linear"}, "erm.schedule = 'linear' is not known"),
        ({"erm__crop": "0"}, "erm.crop = 0.0 is out of range"),
        ({"erm__clip": "-1"}, "erm.clip = -1.0 is out of range"),
        ({"erm__accumulate": "0"}, "erm.accumulate = 0 is out of range"),
        ({"erm__milestones": "0"}, "erm.milestones = 0 is out of range"),
        ({"erm__milestones": "a"}, "erm.milestones = 'a' is not a sequence"),
        ({"erm__schedule": "step"}, "erm.schedule = 'step' with no erm.milestones"),
        ({"robust__warmup": "10", "robust__epochs": "10"}, "robust.warmup = 10 leaves no epochs"),
        ({"erm__flip": "3"}, "erm.flip = 3 has the wrong type"),
    ],
)
def test_bad_settings(more, said):
    with pytest.raises(UserError, match=said.replace("(", r"\(")) as caught:
        cfg.load("configs/waterdigits/dlbd.py", fields(**more))
    assert "\n" not in str(caught.value)
