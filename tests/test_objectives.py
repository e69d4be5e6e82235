import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from counting import compilations

from oilwater_jax import objectives
from oilwater_jax.types import Rows

COUNTS = np.array([100, 25])
ALL = {
    "erm": objectives.erm,
    "group_dro": lambda: objectives.group_dro(COUNTS, eta=0.1, adjustment=2.0),
}
LOSSES = jnp.array([1.0, 2.0, 6.0, 99.0])
GROUPS = jnp.array([0, 1, 1, 0])
MASK = jnp.array([True, True, True, False])


def rows(groups, mask):
    return Rows(jnp.zeros(len(mask), jnp.int32), groups, jnp.arange(len(mask)), mask)


ROWS = rows(GROUPS, MASK)


@pytest.mark.parametrize("name", ALL)
def test_contract(name):
    """Scalar out, state of one structure, no compilation on the second call, of every objective."""
    objective = ALL[name]()
    update = jax.jit(objective.update)
    assert objective.networks == 1
    loss, state = update(objective.init(), LOSSES[None], ROWS)
    more, other = LOSSES[None] + 1, rows(GROUPS, ~MASK)
    with compilations() as compiled:
        update(state, more, other)
    assert compiled == []
    assert loss.shape == ()
    assert loss.dtype == jnp.float32
    assert jax.tree.structure(state) == jax.tree.structure(objective.init())


@pytest.mark.parametrize("name", ALL)
def test_padding_counts_for_nothing(name):
    objective = ALL[name]()
    whole = objective.update(objective.init(), LOSSES[None], ROWS)
    subset = objective.update(objective.init(), LOSSES[None, :3], rows(GROUPS[:3], MASK[:3]))
    jax.tree.map(np.testing.assert_allclose, whole, subset)


def test_erm_is_the_mean():
    loss, _ = objectives.erm().update((), LOSSES[None], ROWS)
    assert float(loss) == 3.0  # (1 + 2 + 6) / 3


def test_masked_mean_of_nothing_is_zero():
    assert float(objectives.masked_mean(LOSSES, jnp.zeros(4, bool))) == 0.0


def test_group_dro_golden_values():
    # L = (1, (2 + 6) / 2 = 4); C = 0, eta = ln 2 / 3: q is proportional to (2^(1/3), 2^(4/3)), so (1/3, 2/3)
    objective = objectives.group_dro(COUNTS, eta=float(np.log(2) / 3), adjustment=0.0)
    loss, state = objective.update(objective.init(), LOSSES[None], ROWS)
    np.testing.assert_allclose(np.exp(state.log_q), [1 / 3, 2 / 3], rtol=1e-6)
    assert float(loss) == pytest.approx(3.0)  # 1/3 * 1 + 2/3 * 4


def test_equal_group_losses_leave_q_uniform():
    objective = objectives.group_dro(np.array([10, 20, 30, 40]), eta=0.5, adjustment=0.0)
    groups, mask = jnp.arange(4), jnp.ones(4, bool)
    state = objective.init()
    for _ in range(50):
        _, state = objective.update(state, jnp.full((1, 4), 1.7), rows(groups, mask))
    np.testing.assert_allclose(np.exp(state.log_q), 0.25, rtol=1e-5)


def test_size_adjustment_favours_small_groups_and_eta_0_keeps_q():
    groups, losses, mask = jnp.array([0, 1]), jnp.ones(2), jnp.ones(2, bool)
    adjusted = objectives.group_dro(COUNTS, eta=1.0, adjustment=3.0)
    _, state = adjusted.update(adjusted.init(), losses[None], rows(groups, mask))
    # margins 3 / 10 and 3 / 5: q1 / q0 = exp(0.3)
    assert float(state.log_q[1] - state.log_q[0]) == pytest.approx(0.3, rel=1e-5)
    still = objectives.group_dro(COUNTS, eta=0.0, adjustment=3.0)
    loss, state = still.update(still.init(), LOSSES[None], ROWS)
    np.testing.assert_allclose(np.exp(state.log_q), 0.5)
    assert float(loss) == pytest.approx(2.5)  # (1 + 4) / 2


def test_q_is_not_differentiated():
    objective = objectives.group_dro(COUNTS, eta=0.7, adjustment=0.0)
    gradient = jax.grad(lambda losses: objective.update(objective.init(), losses[None], ROWS)[0])(LOSSES)
    _, state = objective.update(objective.init(), LOSSES[None], ROWS)
    q = np.exp(state.log_q)
    np.testing.assert_allclose(gradient, [q[0], q[1] / 2, q[1] / 2, 0.0], rtol=1e-6)


def test_group_dro_equals_the_slow_loop_over_200_random_steps():
    """float32 against a float64 loop, with absent groups and padding."""
    rng = np.random.default_rng(0)
    counts = np.array([3498, 184, 56, 1057, 9])
    objective = objectives.group_dro(counts, eta=0.05, adjustment=2.0)
    update, state = jax.jit(objective.update), objective.init()
    q = np.full(5, 0.2)
    for _ in range(200):
        losses = rng.exponential(1.0, 16).astype(np.float32)
        groups = rng.choice(5, 16, p=[0.6, 0.1, 0.03, 0.26, 0.01])
        mask = np.arange(16) < rng.integers(1, 17)
        loss, state = update(state, jnp.array(losses)[None], rows(jnp.array(groups), jnp.array(mask)))
        q, expected = reference.group_dro_step(q, losses, groups, mask, counts, 0.05, 2.0)
        assert float(loss) == pytest.approx(expected, rel=1e-4)
        np.testing.assert_allclose(np.exp(state.log_q), q, rtol=1e-4)


def test_group_dro_refuses_an_empty_group():
    with pytest.raises(ValueError, match="group 1 has no samples"):
        objectives.group_dro(np.array([3, 0]), eta=0.1, adjustment=0.0)


def test_spare_capacity_changes_nothing_and_shares_the_compilation():
    exact = objectives.group_dro(COUNTS, eta=0.1, adjustment=2.0)
    spare, other = (
        objectives.group_dro(counts, eta=0.1, adjustment=2.0, capacity=16)
        for counts in (COUNTS, np.array([10, 20, 30]))
    )
    update = jax.jit(spare.update)
    state, padded = exact.init(), spare.init()
    for step in range(5):
        loss, state = exact.update(state, LOSSES[None] * step, ROWS)
        padded_loss, padded = update(padded, LOSSES[None] * step, ROWS)
        np.testing.assert_allclose(padded_loss, loss, rtol=1e-6)
    np.testing.assert_allclose(padded.log_q[:2], state.log_q, rtol=1e-6)
    assert np.all(np.exp(padded.log_q[2:]) == 0)
    with compilations() as compiled:
        update(other.init(), LOSSES[None], ROWS)
    assert compiled == []


def test_more_groups_than_capacity_are_refused():
    with pytest.raises(ValueError, match="2 groups are more than the capacity 1"):
        objectives.group_dro(COUNTS, eta=0.1, adjustment=0.0, capacity=1)
