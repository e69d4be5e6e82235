import jax
import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st

from oilwater_jax import selectors
from oilwater_jax.defenses.epic import epic
from oilwater_jax.study.recorder import recorder
from oilwater_jax.types import Selector

N = 40
FLAGGED = np.arange(N) < 5
ALL = {
    "everyone": lambda: selectors.everyone(N),
    "upsample": lambda: selectors.upsample(FLAGGED, 7),
    "balanced": lambda: selectors.fixed(selectors.balanced(np.arange(N) % 3)),
    "epic": lambda: epic(ratio=0.2, subset_freq=2, drop_after=10, stop_after=20),
    "recorder": lambda: recorder((1, 4), k=3, ratio=0.2, score="last_layer_gradient"),
    "chain": lambda: selectors.chain(selectors.upsample(FLAGGED, 3), selectors.fixed(np.arange(N) % 2.0)),
}


@pytest.mark.parametrize("name", ALL)
def test_contract(name, examples):
    """Shapes, dtypes and purity that training and checkpoints rely on, of every selector."""
    selector: Selector = ALL[name]()
    state = selector.init(examples)
    assert isinstance(selector.due(1), tuple)
    before = jax.tree.map(np.copy, state)
    new, weights = selector.update(state, 1, None)
    again, same = selector.update(state, 1, None)
    assert weights.shape == (N,)
    assert weights.dtype == np.float64
    assert (weights >= 0).all()
    np.testing.assert_array_equal(weights, same)
    assert jax.tree.structure(new) == jax.tree.structure(state) == jax.tree.structure(again)
    jax.tree.map(np.testing.assert_array_equal, before, state)


def weights_of(selector):
    return selector.update((), 1, None)[1]


def test_upsample_edge_cases():
    np.testing.assert_array_equal(weights_of(selectors.upsample(np.zeros(4, bool), 9)), 1)
    np.testing.assert_array_equal(weights_of(selectors.upsample(np.ones(4, bool), 9)), 9)
    np.testing.assert_array_equal(weights_of(selectors.upsample(FLAGGED, 1)), 1)
    with pytest.raises(ValueError, match=r"not 0\.5"):
        selectors.upsample(FLAGGED, 0.5)


def test_chain_multiplies_and_what_is_eliminated_stays_eliminated(examples):
    kept = (np.arange(N) >= 2).astype(float)
    chained = selectors.chain(selectors.fixed(kept), selectors.upsample(FLAGGED, 20))
    _, weights = chained.update(chained.init(examples), 1, None)
    assert weights[:6].tolist() == [0, 0, 20, 20, 20, 1]
    with pytest.raises(ValueError, match="at least one"):
        selectors.chain()


def test_chain_asks_for_each_score_once():
    asking = selectors.everyone(N)._replace(due=lambda epoch: ("loss",) if epoch == 2 else ())
    chained = selectors.chain(asking, asking)
    assert chained.due(1) == ()
    assert chained.due(2) == ("loss",)


def test_balanced_draws_every_group_equally():
    groups = np.array([0] * 6 + [2] * 2 + [3] * 1)
    weights = selectors.balanced(groups)
    # 9 draws over 3 groups that occur: 3 each
    np.testing.assert_allclose([weights[groups == g].sum() for g in (0, 2, 3)], 3)


def counts(weights, seed):
    draws = selectors.draw_epoch(weights, np.random.default_rng(seed))
    return np.bincount(draws, minlength=len(weights))


def test_whole_weights_are_exact_and_ones_are_a_permutation():
    np.testing.assert_array_equal(counts(np.array([0.0, 1.0, 3.0, 20.0]), 0), [0, 1, 3, 20])
    assert sorted(selectors.draw_epoch(np.ones(9), np.random.default_rng(1))) == list(range(9))


@given(st.lists(st.floats(0, 5), min_size=1, max_size=30), st.integers(0, 1000))
def test_draws_are_floor_or_ceil_and_equal_the_slow_loop(weights, seed):
    weights = np.array([*weights, 1.0])  # something to draw
    got = counts(weights, seed)
    assert (got >= np.floor(weights)).all()
    assert (got <= np.ceil(weights)).all()
    rng = np.random.default_rng(seed)
    walk, start = rng.permutation(len(weights)), rng.uniform()
    expected = reference.systematic_counts(weights, walk, start)
    # the two sum in different orders: a boundary hit may fall to either side
    assert abs(got.sum() - expected.sum()) <= 1
    assert (got != expected).sum() <= 2


def test_fractions_come_out_in_expectation():
    weights = np.array([0.25, 0.5, 1.75, 2.0])
    mean = np.mean([counts(weights, seed) for seed in range(4000)], axis=0)
    np.testing.assert_allclose(mean, weights, atol=0.03)  # 4 standard errors of a share of 4000


@pytest.mark.parametrize(
    ("weights", "message"),
    [([1.0, -1.0], "sample 1 is -1"), ([np.nan], "nan"), ([0.0, 0.0], "nothing is left")],
)
def test_bad_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        selectors.draw_epoch(np.array(weights), np.random.default_rng(0))
