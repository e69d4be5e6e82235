"""A held-out part of the training set, for methods that re-train the last layer on what the first stage never saw."""

import numpy as np
from jaxtyping import Bool

from oilwater_jax import rng, selectors
from oilwater_jax.errors import UserError
from oilwater_jax.types import Recipe, Treatment


def part(n: int, share: float) -> Bool[np.ndarray, " n"]:
    """Who of n samples is held out: a random share, rounded, the same for every seed (it depends on n and the share).

    Edge case                     Result
    a share of less than one      one sample
    a share of all but nobody     one sample is left
    fewer than 2 samples          UserError
    """
    if n < 2:
        raise UserError(f"{n} training samples cannot be cut into a part to train on and a held-out part")
    count = min(max(round(share * n), 1), n - 1)
    held = np.zeros(n, bool)
    held[rng.generator(0, "held out").permutation(n)[:count]] = True
    return held


def first_stage(n: int, share: float, recipe: Recipe) -> Treatment:
    """Plain training on the rest."""
    return Treatment(selectors.fixed(np.where(part(n, share), 0.0, 1.0)), recipe=recipe)
