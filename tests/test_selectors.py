import jax
import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st

from oilwater_jax import selectors
from oilwater_jax.defenses.epic import epic
from oilwater_jax.errors import UserError
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


def acting(change, *, due=(), first=None):
    """All 1 until `change`, from then on sample 0 is eliminated; it asks for scores at the epochs `due`."""

    def update(state, epoch, scores):
        state = state if epoch < change else np.where(np.arange(len(state)) == 0, 0.0, 1.0)
        return state, state

    asks = lambda epoch: ("loss",) if epoch in due else ()  # noqa: E731
    return Selector(lambda examples: np.ones(len(examples)), asks, update, first)


def test_rounds_are_the_epochs_at_whose_start_scores_are_asked_for():
    assert selectors.rounds(acting(2, due=(2, 4, 9)), 8) == [2, 4]
    assert selectors.rounds(selectors.everyone(N), 8) == []
    assert selectors.rounds(epic(ratio=0.2, subset_freq=2, drop_after=3, stop_after=8), 10) == [4, 6]


@pytest.mark.parametrize(
    ("selector", "epochs", "expected"),
    [
        (selectors.everyone(N), 5, 1),
        (acting(2, due=(2, 4)), 5, 4),  # its last round
        (acting(2, due=(2, 4)), 3, 2),  # of those that take place
        (
            acting(2, due=range(1, 100), first=lambda epochs: 3),
            5,
            3,
        ),  # judges anew in every epoch, and says so
        (acting(2, first=lambda epochs: epochs // 2), 8, 4),
        (acting(2, first=lambda epochs: 9), 5, 5),  # a model there must be
        (acting(2, first=lambda epochs: 0), 5, 1),
    ],
)
def test_the_earliest_epoch_that_may_be_reported(selector, epochs, expected):
    assert selectors.earliest(selector, epochs) == expected


def test_a_chain_may_be_reported_when_the_latest_of_it_may():
    early, late, own = (
        acting(2, due=(2,)),
        acting(4, due=(4,)),
        acting(1, due=range(99), first=lambda epochs: 3),
    )
    assert selectors.earliest(selectors.chain(early, late, own), 9) == 4
    assert selectors.earliest(selectors.chain(own, early), 9) == 3
    assert selectors.earliest(selectors.chain(early, selectors.chain(selectors.everyone(N), late)), 9) == 4
    assert selectors.earliest(selectors.chain(selectors.everyone(N)), 9) == 1


def test_weights_are_foreseen_where_no_model_is_looked_at(examples):
    upsampled = selectors.foreseen(selectors.upsample(FLAGGED, 7), examples, 5)
    np.testing.assert_array_equal(upsampled, np.where(FLAGGED, 7.0, 1.0))
    for epochs, first in ((2, 1.0), (3, 0.0), (9, 0.0)):  # those of the last epoch
        weights = selectors.foreseen(selectors.chain(acting(3), selectors.everyone(N)), examples, epochs)
        assert weights is not None
        assert weights.tolist() == [first] + [1.0] * (N - 1)
    assert selectors.foreseen(acting(3, due=(3,)), examples, 5) is None
    assert selectors.foreseen(acting(3, due=(6,)), examples, 5) is not None  # a round that never takes place


@pytest.mark.parametrize("weights", [np.ones(N - 1), 2.0, np.ones((N, 1))])
def test_a_chain_refuses_weights_that_are_not_one_a_sample(weights, examples):
    wrong = selectors.everyone(N)._replace(update=lambda state, epoch, scores: (state, weights))
    chained = selectors.chain(selectors.everyone(N), wrong)
    given = "a single number" if np.ndim(weights) == 0 else len(weights)
    with pytest.raises(UserError, match=f"gave {given} weights for 40 training samples in epoch 3"):
        chained.update(chained.init(examples), 3, None)


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
