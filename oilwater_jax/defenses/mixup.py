"""Mixup: train on mixtures of two images and of their labels, so that single samples are not memorised.

Nobody is chosen. One share per batch, drawn from Beta(alpha, alpha); each row is mixed with another row of its batch.

References: Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization", section 2 and its code (one share per
batch, alpha 1); Borgnia et al. 2021, "Strong Data Augmentation Sanitizes Poisoning and Backdoor Attacks Without an
Accuracy Tradeoff", for mixup as a defence.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from oilwater_jax import selectors
from oilwater_jax.entries import Config, Method
from oilwater_jax.objectives import erm_update
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Case, Mixed, Objective, Rows, State, Treatment


def partners(key: Key[Array, ""], mask: Bool[Array, " b"]) -> Int[Array, " b"]:
    """The row that each row is mixed with: a random permutation of the rows where mask is True; padding gets any."""
    order = jnp.argsort(jnp.where(mask, jax.random.uniform(key, mask.shape), 2.0))
    return order[jnp.maximum(jnp.cumsum(mask) - 1, 0)]


def mix(state: State, key: Key[Array, ""], image: Float[Array, "b ..."], rows: Rows) -> Mixed:
    """Ratio x image + (1 - ratio) x its partner's, ratio ~ Beta(alpha, alpha); the state is alpha.

    Edge case                  Result
    alpha = 0                  ratio 1: the batch as it is
    one row                    mixed with itself: as it is
    rows of padding            never anybody's partner
    """
    share, other = jax.random.split(key)
    alpha = jnp.maximum(state, 1e-3)
    ratio = jnp.where(state > 0, jax.random.beta(share, alpha, alpha), 1.0)
    partner = partners(other, rows.mask)
    return Mixed(ratio * image + (1 - ratio) * image[partner], rows.label[partner], ratio)


def mixup(alpha: float) -> Objective:
    """The mean loss of a mixed batch. Raises ValueError for a negative alpha."""
    if alpha < 0:
        raise ValueError(f"mixup: alpha must be at least 0, not {alpha}")
    return Objective(lambda: jnp.float32(alpha), erm_update, mix=mix)


def treat(config: Config, case: Case) -> Treatment:
    """Every sample once per epoch, in mixtures; with alpha = 0 a warning."""
    alpha = config.mixup.alpha
    return Treatment(
        selectors.everyone(len(case.train)),
        objective=mixup(alpha),
        warnings=() if alpha else ("mixup.alpha = 0: nothing is mixed, this is plain training",),
    )


METHOD = Method(
    name="mixup",
    label="mixup",
    help="train on mixtures of two images and of their labels",
    aim="train",
    sole=True,
    fields={"alpha": Field(1.0, "mixing shares come from Beta(alpha, alpha); 0: no mixing (ERM)", 0, 1000)},
    dials={"alpha": (0.2, 1.0, 4.0)},
    treat=treat,
    largest=lambda config, n_classes: mixup(config.mixup.alpha),
)
