"""CVaR: minimise the mean loss of the worst share of every batch.

References: Levy et al. 2020, "Large-Scale Methods for Distributionally Robust Optimization", equation 28; SubpopBench's
CVaRDRO (alpha 0.1).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from oilwater_jax import selectors
from oilwater_jax.entries import Config, Method
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Case, Objective, Rows, State, Treatment


class CvarState(NamedTuple):
    """The share alpha; it never changes."""

    alpha: Float[Array, ""]


def cvar_update(state: State, losses: Float[Array, "k b"], rows: Rows) -> tuple[Float[Array, ""], State]:
    """Mean of the alpha b largest losses; where that is no whole number, the last one counts in part."""
    share = state.alpha * jnp.sum(rows.mask)
    order = jnp.argsort(jnp.where(rows.mask, -jax.lax.stop_gradient(losses[0]), jnp.inf))
    counted = jnp.clip(share - jnp.arange(len(order)), 0.0, 1.0)
    worst = jnp.where(rows.mask[order], losses[0][order], 0.0)
    return jnp.sum(counted * worst) / jnp.maximum(share, 1e-12), state


def cvar(alpha: float) -> Objective:
    """The worst share alpha of the batch.

    Edge case                              Result
    alpha = 1                              the mean loss: ERM
    alpha of the batch below one sample    the largest loss
    equal losses                           that loss
    a batch of padding alone               0
    alpha not in (0, 1]                    ValueError naming it
    """
    if not 0 < alpha <= 1:
        raise ValueError(f"cvar: alpha must be in (0, 1], not {alpha}")
    return Objective(lambda: CvarState(jnp.float32(alpha)), cvar_update)


def treat(config: Config, case: Case) -> Treatment:
    """Every sample once per epoch, the worst share of each batch."""
    return Treatment(selectors.everyone(len(case.train)), objective=cvar(config.cvar.alpha))


METHOD = Method(
    name="cvar",
    label="CVaR",
    help="minimise the mean of the highest losses of each batch",
    aim="amplify",
    sole=True,
    fields={
        "alpha": Field(0.1, "share of each batch that counts: the highest losses; 1: ERM", above=0, high=1)
    },
    dials={"alpha": (0.1, 0.3, 0.7)},
    treat=treat,
    largest=lambda config, n_classes: cvar(config.cvar.alpha),
)
