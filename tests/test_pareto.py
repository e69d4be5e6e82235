"""Frontiers of points, held against every pair compared and every bound summed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oilwater_jax.frontier import pareto

COORDINATE = st.integers(0, 5).map(lambda k: k / 5)
POINTS = st.lists(st.tuples(COORDINATE, COORDINATE), min_size=1, max_size=12).map(
    lambda ones: (np.array([a for a, _ in ones]), np.array([b for _, b in ones]))
)


def beaten(wga, success, at):
    """Whether another point is as good in both and better in one, or the same point comes earlier."""
    return any(
        wga[i] >= wga[at]
        and success[i] <= success[at]
        and (wga[i] > wga[at] or success[i] < success[at] or i < at)
        for i in range(len(wga))
        if i != at
    )


@given(POINTS)
def test_the_frontier_is_what_nothing_beats(points):
    wga, success = points
    found = pareto.frontier(wga, success)
    assert sorted(found) == [at for at in range(len(wga)) if not beaten(wga, success, at)]
    assert (np.diff(success[found]) > 0).all()
    assert (np.diff(wga[found]) > 0).all()


@given(POINTS)
def test_the_area_is_the_mean_best_wga_over_all_bounds(points):
    wga, success = points
    bounds = (np.arange(3000) + 0.5) / 3000
    best = [max((w for w, s in zip(wga, success, strict=True) if s <= bound), default=0) for bound in bounds]
    assert pareto.area(wga, success) == pytest.approx(np.mean(best), abs=1e-3)


def test_an_area_by_hand():
    # WGA 0.5 from success 0.2 on, 0.9 from 0.6 on: 0.5 * 0.4 + 0.9 * 0.4
    assert pareto.area(np.array([0.9, 0.5, 0.4]), np.array([0.6, 0.2, 0.3])) == pytest.approx(0.56)
    assert pareto.area(np.array([1.0]), np.array([-0.3])) == 1
    assert pareto.area(np.array([1.0]), np.array([1.0])) == 0
    assert np.isnan(pareto.area(np.zeros(0), np.zeros(0)))


@given(POINTS, COORDINATE)
def test_the_best_within_a_bound(points, bound):
    wga, success = points
    found = pareto.best_within(wga, success, bound)
    able = [at for at in range(len(wga)) if success[at] <= bound]
    if not able:
        assert found is None
        return
    assert found in able
    assert wga[found] == max(wga[at] for at in able)
    assert success[found] == min(success[at] for at in able if wga[at] == wga[found])


def test_what_is_undefined_is_passed_over():
    wga, success = np.array([np.nan, 0.5, 0.9]), np.array([0.0, 0.1, np.nan])
    assert pareto.frontier(wga, success).tolist() == [1]
    assert pareto.best_within(wga, success, 1.0) == 1
    assert pareto.best_within(wga, np.full(3, np.nan), 1.0) is None
