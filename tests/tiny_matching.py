"""A tiny network without kinks, images for it, and what its poisons are to match."""

import jax.numpy as jnp
import numpy as np

from oilwater_jax.attacks import matching
from oilwater_jax.attacks.matching import Problem


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
