"""What a method may look at: the identification model's scores and last layer; true groups and poisons it may not."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from oilwater_jax.types import Scores


class Evidence(NamedTuple):
    """Given labels and scores (by the names of the method's SCORES) of both splits; the last layer's weights."""

    label: Int[np.ndarray, " n"]
    scores: Scores
    val_label: Int[np.ndarray, " m"]
    val_scores: Scores
    kernel: Float[np.ndarray, "d k"]


class Found(NamedTuple):
    """What a method found: named arrays, `flagged` [n] among them, and figures (JSON)."""

    arrays: dict[str, np.ndarray]
    figures: dict[str, Any]
