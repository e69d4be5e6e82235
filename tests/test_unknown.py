"""One rule against several attacks: by hand, and against all rules where the bins are few."""

import itertools
import math

import numpy as np
import pytest

from oilwater_jax.study import unknown
from oilwater_jax.study.unknown import View, bin_edges, binned, exchanged, judged, stand

MIDDLE = np.linspace(-1.0, 1.0, 20)


def draws():
    return np.random.default_rng(0)


def test_edges_have_a_tenth_of_the_minority_between_them():
    views = [View(np.arange(50.0), np.zeros(3)), View(np.arange(50.0, 100.0), np.full(3, 1e6))]
    np.testing.assert_allclose(bin_edges(views), 99 * np.arange(1, 10) / 10)
    minority, poison = binned(views, bin_edges(views))
    np.testing.assert_allclose(minority, [[0.2] * 5 + [0] * 5, [0] * 5 + [0.2] * 5])
    np.testing.assert_allclose(poison, [[1] + [0] * 9, [0] * 9 + [1]])
    np.testing.assert_array_equal(bin_edges([View(np.repeat([0.0, 1.0], 10), np.zeros(1))]), [0, 0.5, 1])


def test_a_known_attack_is_told_and_both_of_two_by_a_band():
    """Poisons far above, or far below: a threshold does for one of them, a band for both."""
    above, below = View(MIDDLE, MIDDLE + 9), View(MIDDLE, MIDDLE - 9)
    for views in ([above], [below], [above, below]):
        found = stand([views, views], views, draws())
        # The two bins at the ends are shared with the poisons there.
        assert [found.best, found.learned, found.seen] == pytest.approx([1 - 0.1 * len(views)] * 3)
        assert math.isnan(found.null)
    assert math.isnan(stand([[above]], [above], draws()).unseen)
    # A rule against the one keeps what is on the other side.
    both = stand([[above, below]], [above, below], draws())
    assert both.unseen == pytest.approx(0.9 - 1)


def test_an_attack_that_was_not_there():
    """Made against poisons above: keeps nine tenths of the minority, and all poisons below."""
    above, below = View(MIDDLE, MIDDLE + 9), View(MIDDLE, MIDDLE - 9)
    assert judged([[above], [above]], above) == pytest.approx(0.9)
    assert judged([[above], [above]], below) == pytest.approx(0.9 - 1)
    assert judged([[above, below]], below) == pytest.approx(0.8)
    with pytest.raises(ValueError, match="no other seed"):
        judged([], above)


def test_each_minority_is_where_the_other_attack_is():
    """No rule keeps both minorities and drops both poisons, whatever its randomness."""
    low, high = View(MIDDLE - 9, MIDDLE + 9), View(MIDDLE + 9, MIDDLE - 9)
    found = stand([[low, high]], [low, high], draws())
    assert found.best == pytest.approx(0, abs=1e-9)
    assert stand([[low]], [low], draws()).best == pytest.approx(0.9)


def test_best_is_the_best_of_all_rules_on_few_bins(monkeypatch):
    monkeypatch.setattr(unknown, "BINS", 4)
    rng = draws()
    seeds = [[View(rng.normal(size=30), rng.normal(at, 2, 25)) for at in (0.5, -1.0)] for _ in range(3)]
    found = stand(seeds[1:], seeds[0], rng)
    edges = bin_edges([view for views in seeds[1:] for view in views])
    gains = np.subtract(*binned(seeds[0], edges))
    # Rules in steps of a twentieth come within k bins of it.
    rules = np.array(list(itertools.product(np.linspace(0, 1, 21), repeat=4)))
    reached = (rules @ gains.T).min(axis=1).max()
    assert reached - 1e-9 <= found.best <= reached + 0.05 * np.abs(gains).sum(axis=1).max()
    assert found.learned <= found.best + 1e-9


def test_equal_sets_stand_near_the_null_and_exchanging_keeps_the_scores():
    rng = draws()
    seeds = [[View(rng.normal(size=60), rng.normal(size=50)) for _ in range(2)] for _ in range(6)]
    found = [stand(seeds[:at] + seeds[at + 1 :], seeds[at], rng, exchanges=20) for at in range(len(seeds))]
    assert np.mean([one.best for one in found]) == pytest.approx(
        np.mean([one.null for one in found]), abs=0.04
    )
    assert np.mean([one.null for one in found]) > 0.05  # biased upwards
    assert abs(np.mean([one.learned for one in found])) < 0.08
    dealt = exchanged(seeds[0][0], rng)
    np.testing.assert_array_equal(np.sort(np.concatenate(dealt)), np.sort(np.concatenate(seeds[0][0])))
    assert [len(part) for part in dealt] == [60, 50]


def test_no_other_seed_or_not_all_attacks():
    view = View(MIDDLE, MIDDLE)
    with pytest.raises(ValueError, match="0 other seeds"):
        stand([], [view], draws())
    with pytest.raises(ValueError, match="each needs a view of the 2 attacks"):
        stand([[view]], [view, view], draws())
