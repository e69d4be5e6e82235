"""Gradient matching in pieces: the step in one piece, however many poisons a piece has."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_matching import apply, prepare, problem_of, some_images

from oilwater_jax.attacks import matching, pieces

KEY = jax.random.key(3)
LABEL = [0, 1, 2, 2, 1, 0, 1]


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 6, 7])
def test_loss_and_pixel_gradient_are_those_in_one_piece(rows):
    """Of 7 poisons: pieces that come out even, one that is nearly all, all of them; shifted and mirrored by draws."""
    with jax.enable_x64(True):
        problem = problem_of(LABEL)
        clean = jnp.asarray(some_images(7), jnp.float64)
        delta = jnp.asarray(np.random.default_rng(1).normal(size=clean.shape) * 5)
        want = matching.loss_and_pixel_gradient(apply, prepare, problem, clean + delta, KEY)
        loss, gradient = pieces.loss_and_pixel_gradient(
            apply, prepare, rows, problem, clean, delta[None], KEY
        )
        np.testing.assert_allclose(loss, want[0], rtol=1e-12)
        np.testing.assert_allclose(gradient, want[1], rtol=1e-9, atol=1e-14)
        only = pieces.matching_loss(apply, prepare, rows, problem, clean, delta[None], KEY)
        np.testing.assert_allclose(only, want[0], rtol=1e-12)


def test_a_step_is_the_step_in_one_piece():
    with jax.enable_x64(True):
        problem, clean = problem_of(LABEL), jnp.asarray(some_images(7), jnp.float64)
        eps, i, rate = jnp.asarray(16.0), np.asarray(3, np.int32), np.asarray(1.6)
        keys = jax.random.split(KEY, 1)
        begun = [matching.begin(clean, eps, keys) for _ in range(2)]
        whole, loss = matching.step(apply, prepare, problem, clean, eps, begun[0], keys, i, rate)
        cut, same = pieces.step(apply, prepare, problem, clean, eps, begun[1], keys, i, rate, rows=3)
        np.testing.assert_allclose(same, loss, rtol=1e-12)
        for one, other in zip(jax.tree.leaves(cut), jax.tree.leaves(whole), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
