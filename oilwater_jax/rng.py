"""Randomness by name: every draw is a function of (seed, name, epoch), never of the order of calls.

A stage that is added, left out or resumed therefore changes no other stage's draws.
"""

import hashlib

import jax
import numpy as np
from jaxtyping import Array, Key


def name_id(name: str) -> int:
    """A stable 31-bit number for a name (Python's own `hash` differs between processes)."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") >> 1


def key(seed: int, name: str) -> Key[Array, ""]:
    """The JAX key of the stream `name` under `seed`."""
    return jax.random.fold_in(jax.random.key(seed), name_id(name))


def generator(seed: int, name: str, *numbers: int) -> np.random.Generator:
    """The NumPy generator of the stream `name` under `seed`, at `numbers` (e.g. an epoch)."""
    return np.random.default_rng([seed, name_id(name), *numbers])
