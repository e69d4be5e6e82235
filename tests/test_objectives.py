import jax
import jax.numpy as jnp
import numpy as np
import pytest
from counting import compilations

from oilwater_jax import objectives

ALL = {"erm": objectives.erm}
LOSSES = jnp.array([1.0, 2.0, 6.0, 99.0])
GROUPS = jnp.array([0, 1, 1, 0])
MASK = jnp.array([True, True, True, False])


@pytest.mark.parametrize("name", ALL)
def test_contract(name):
    """Scalar out, state of one structure, no compilation on the second call, of every objective."""
    objective = ALL[name]()
    update = jax.jit(objective.update)
    loss, state = update(objective.init(), LOSSES, GROUPS, MASK)
    more, other = LOSSES + 1, ~MASK
    with compilations() as compiled:
        update(state, more, GROUPS, other)
    assert compiled == []
    assert loss.shape == ()
    assert loss.dtype == jnp.float32
    assert jax.tree.structure(state) == jax.tree.structure(objective.init())


@pytest.mark.parametrize("name", ALL)
def test_padding_counts_for_nothing(name):
    objective = ALL[name]()
    whole = objective.update(objective.init(), LOSSES, GROUPS, MASK)
    subset = objective.update(objective.init(), LOSSES[:3], GROUPS[:3], MASK[:3])
    jax.tree.map(np.testing.assert_allclose, whole, subset)


def test_erm_is_the_mean():
    loss, _ = objectives.erm().update((), LOSSES, GROUPS, MASK)
    assert float(loss) == 3.0  # (1 + 2 + 6) / 3


def test_masked_mean_of_nothing_is_zero():
    assert float(objectives.masked_mean(LOSSES, jnp.zeros(4, bool))) == 0.0
