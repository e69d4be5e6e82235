import numpy as np
import pytest

from oilwater_jax.errors import UserError
from oilwater_jax.robustness import drawn, held_out
from oilwater_jax.types import Recipe

WEIGHTS = np.array([3.0, 5.0, 0.5, 1.0, 2.0, 0.0])
LABEL = np.array([0, 0, 0, 1, 1, 1])
FLAGGED = WEIGHTS > 1


def test_standard_is_as_found():
    np.testing.assert_array_equal(drawn.in_mode(WEIGHTS, FLAGGED, LABEL), WEIGHTS)


def test_who_is_flagged_no_more_is_drawn_at_most_once():
    kept = FLAGGED & (np.arange(6) != 1)
    assert drawn.in_mode(WEIGHTS, kept, LABEL).tolist() == [3.0, 1.0, 0.5, 1.0, 2.0, 0.0]


def test_who_is_flagged_now_is_drawn_as_the_mean_of_his_label():
    more = FLAGGED | np.isin(np.arange(6), [2, 5])
    assert drawn.in_mode(WEIGHTS, more, LABEL).tolist() == [3.0, 5.0, 4.0, 1.0, 2.0, 2.0]


def test_where_none_of_the_label_is_amplified_as_the_mean_of_all():
    only = np.array([True, True, False, True, False, False])
    assert drawn.in_mode(WEIGHTS, only, LABEL).tolist() == [3.0, 5.0, 0.5, 4.0, 1.0, 0.0]
    assert drawn.in_mode(np.ones(6), np.arange(6) == 0, LABEL).tolist() == [1.0] * 6


def test_nobody_flagged():
    assert drawn.in_mode(WEIGHTS, np.zeros(6, bool), LABEL).max() == 1.0


def test_classes_in_balance():
    weights = drawn.classes_in_balance(np.array([1.0, 3.0, 0.0, 2.0, 2.0, 4.0]), LABEL, 6)
    assert weights.tolist() == [0.75, 2.25, 0.0, 0.75, 0.75, 1.5]
    one = drawn.classes_in_balance(np.array([1.0, 1.0, 0.0, 0.0, 0.0, 0.0]), LABEL, 6)
    assert one.tolist() == [3.0, 3.0, 0.0, 0.0, 0.0, 0.0]
    assert drawn.classes_in_balance(np.zeros(6), LABEL, 6).tolist() == [0.0] * 6


def test_held_out_part():
    held = held_out.part(100, 0.2)
    assert held.sum() == 20
    np.testing.assert_array_equal(held, held_out.part(100, 0.2))
    assert held_out.part(10, 0.01).sum() == 1
    assert held_out.part(10, 0.99).sum() == 9
    with pytest.raises(UserError, match="1 training samples cannot be cut"):
        held_out.part(1, 0.5)


def test_the_first_stage_trains_on_the_rest(examples):
    treatment = held_out.first_stage(40, 0.25, Recipe(0.1, 0.0, 3))
    _, weights = treatment.selector.update((), 1, None)
    np.testing.assert_array_equal(weights == 0, held_out.part(40, 0.25))
    assert set(weights) == {0.0, 1.0}
    assert treatment.recipe == Recipe(0.1, 0.0, 3)
