"""Random settings of the theory's model, for its tests."""

import numpy as np
from hypothesis import strategies as st

from oilwater_jax.theory.model import Model

RANGES = {
    "mu_c": (0.3, 3.0),
    "mu_s": (0.3, 4.0),
    "tau": (0.3, 8.0),
    "sigma": (0.3, 2.0),
    "p": (0.5, 0.995),
    "beta": (1e-4, 0.4),
    "lambda_up": (1.0, 100.0),
}
MODELS = st.builds(Model, **{name: st.floats(*ends) for name, ends in RANGES.items()})


def many(n: int, seed: int = 0) -> Model:
    """n settings at once; budgets evenly in their logarithm."""
    rng = np.random.default_rng(seed)
    drawn = {name: rng.uniform(*ends, n) for name, ends in RANGES.items()}
    least, most = RANGES["beta"]
    drawn["beta"] = least * (most / least) ** rng.uniform(size=n)
    return Model(**drawn)
