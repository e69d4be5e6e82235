"""Objectives: from the losses of one batch to the scalar that is differentiated."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from oilwater_jax.types import Objective, State


def masked_mean(values: Float[Array, " b"], mask: Bool[Array, " b"]) -> Float[Array, ""]:
    """Mean of the values where mask is True; 0 where it is False everywhere."""
    kept = jnp.where(mask, values, 0.0)
    return jnp.sum(kept) / jnp.maximum(jnp.sum(mask), 1).astype(values.dtype)


def erm() -> Objective:
    """Empirical risk minimisation: the mean loss of the batch's samples; no state."""

    def update(
        state: State,
        losses: Float[Array, " b"],
        groups: Int[Array, " b"],
        mask: Bool[Array, " b"],
    ) -> tuple[Float[Array, ""], State]:
        return masked_mean(losses, mask), state

    return Objective(init=lambda: (), update=update)
