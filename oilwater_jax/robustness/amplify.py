"""Amplification modes (the paper's Table 2): whom the method amplifies, given what its heuristic flagged."""

import numpy as np
from jaxtyping import Bool

from oilwater_jax.fields import MODES


def amplified(
    mode: str, flagged: Bool[np.ndarray, " n"], is_poison: Bool[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """The samples to amplify.

    Mode       Result
    standard   what the heuristic flagged
    ideal      flagged without the poisons (an oracle that knows them)
    worst      flagged and all the poisons

    The mode *none* is ERM. Raises ValueError for another mode.
    """
    if mode == "standard":
        return flagged
    if mode == "ideal":
        return flagged & ~is_poison
    if mode == "worst":
        return flagged | is_poison
    raise ValueError(f"amplification mode {mode!r}; known: {', '.join(MODES)}")
