"""A small table with an attack on it, for the tests of attacks on tables."""

import numpy as np
from attacking import COUNTS

from oilwater_jax.data.own import from_arrays
from oilwater_jax.types import Splits

JOBS = ("clerk", "farmer", "nurse")


def small(counts=COUNTS, seed: int = 0) -> Splits:
    """100 training rows, 40 of validation, 80 of test: an age, hours, a job (of 100, 3 are nurses), a town."""
    rng = np.random.default_rng(seed)
    sizes = [counts, (10,) * 4, (20,) * 4]
    group = np.concatenate([rng.permutation(np.repeat(np.arange(4), one)) for one in sizes])
    n = len(group)
    job = np.array(JOBS)[rng.integers(0, 2, n)]
    job[:3] = "nurse"
    table = {
        "age": rng.integers(20, 61, n).astype(float),
        "job": job,
        "hours": rng.integers(1, 41, n).astype(float),
        "town": np.array(["a", "b"])[rng.integers(0, 2, n)],
    }
    split = np.repeat(["train", "val", "test"], [sum(one) for one in sizes])
    return from_arrays(
        table,
        group // 2,
        attribute=group % 2,
        split=split,
        class_names=("a", "b"),
        attribute_names=("x", "y"),
    )
