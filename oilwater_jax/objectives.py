"""Objectives: from the losses of one batch to the scalar that is differentiated.

The `update` functions stand at the top level and all settings are in the state, so two objectives of a kind
share their compiled programs.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from oilwater_jax.types import Objective, Rows, State


def masked_mean(values: Float[Array, " b"], mask: Bool[Array, " b"]) -> Float[Array, ""]:
    """Mean of the values where mask is True; 0 where it is False everywhere."""
    kept = jnp.where(mask, values, 0.0)
    return jnp.sum(kept) / jnp.maximum(jnp.sum(mask), 1).astype(values.dtype)


def erm_update(state: State, losses: Float[Array, "k b"], rows: Rows) -> tuple[Float[Array, ""], State]:
    """The mean loss."""
    return masked_mean(losses[0], rows.mask), state


def erm() -> Objective:
    """Empirical risk minimisation: the mean loss of the batch's samples; no state."""
    return Objective(init=lambda: (), update=erm_update)


class GroupDROState(NamedTuple):
    """Group DRO's group weights q, in logarithms, and its settings."""

    log_q: Float[Array, " g"]
    eta: Float[Array, ""]
    margin: Float[Array, " g"]  # C / sqrt(n_g)


def group_means(
    losses: Float[Array, " b"], groups: Int[Array, " b"], mask: Bool[Array, " b"], n_groups: int
) -> Float[Array, " g"]:
    """Mean loss of each group in the batch [g]; 0 for a group that is absent."""
    member = (groups[None, :] == jnp.arange(n_groups)[:, None]) & mask[None, :]
    totals = jnp.sum(jnp.where(member, losses[None, :], 0.0), axis=1)
    return totals / jnp.maximum(jnp.sum(member, axis=1), 1)


def group_dro_update(
    state: GroupDROState, losses: Float[Array, "k b"], rows: Rows
) -> tuple[Float[Array, ""], GroupDROState]:
    """Move q towards the groups with a high loss, then weight their losses by it; q is not differentiated."""
    means = group_means(losses[0], rows.group, rows.mask, len(state.log_q))
    raised = state.log_q + state.eta * (jax.lax.stop_gradient(means) + state.margin)
    log_q = jax.nn.log_softmax(raised)
    return jnp.sum(jnp.exp(log_q) * means), state._replace(log_q=log_q)


def group_dro(
    counts: Int[np.ndarray, " g"], *, eta: float, adjustment: float, capacity: int | None = None
) -> Objective:
    """Group DRO: the loss of the worst groups, by an online re-weighting q over the groups.

    q starts uniform; per step L_g is the batch's mean loss of group g (0 if absent),
    q <- softmax(log q + eta (L_g + C / sqrt(n_g))) and the loss is sum_g q_g L_g.
    Up to `capacity` groups, q holds places that are never used, so that trainings with different numbers of
    groups share their compiled step.

    Edge case                    Result
    equal group losses, C = 0    q stays uniform
    eta = 0                      q stays uniform: the mean of the group means
    a group without samples      ValueError naming it (its adjustment would be infinite)
    capacity < groups            ValueError naming both

    References: Sagawa et al. 2020, "Distributionally Robust Neural Networks for Group Shifts", Algorithm 1
    and section 5 (size adjustment C).
    """
    if np.any(counts <= 0):
        raise ValueError(f"group_dro: group {int(np.flatnonzero(counts <= 0)[0])} has no samples")
    spare = (capacity or len(counts)) - len(counts)
    if spare < 0:
        raise ValueError(f"group_dro: {len(counts)} groups are more than the capacity {capacity}")

    def init() -> GroupDROState:
        log_q = np.full(len(counts), -np.log(len(counts)), np.float32)
        margin = (adjustment / np.sqrt(counts)).astype(np.float32)
        return GroupDROState(
            jnp.asarray(np.pad(log_q, (0, spare), constant_values=-np.inf)),
            jnp.float32(eta),
            jnp.asarray(np.pad(margin, (0, spare))),
        )

    return Objective(init, group_dro_update)
