"""Curves, predictions and warnings of a page, by hand."""

import numpy as np
import pytest

from oilwater_jax.reporting import traces

METRICS = [
    [
        {"stage": "seed0/jtt", "epoch": 1, "loss": 1.0, "val_by_group": [0.5, None]},
        {"stage": "seed0/jtt", "epoch": 2, "loss": 0.5, "val_by_group": [0.7, None]},
    ],
    [
        {"stage": "seed1/jtt", "epoch": 1, "loss": 3.0, "val_by_group": [0.7, None]},
        {"stage": "seed1/jtt", "epoch": 2, "loss": 1.5, "val_by_group": [1.0, None]},
    ],
]


def test_means_over_seeds_by_hand():
    assert traces.over_seeds(METRICS, "loss") == [(1, 2.0), (2, 1.0)]
    (one, first), (two, second) = traces.over_seeds(METRICS, "val_by_group", 0)
    assert (one, two) == (1, 2)
    assert [first, second] == pytest.approx([0.6, 0.85])
    assert traces.over_seeds(METRICS, "val_by_group", 1) == [(1, None), (2, None)]
    assert traces.over_seeds(METRICS, "val_by_group", 7) == [(1, None), (2, None)]
    assert traces.over_seeds([[{"epoch": 1, "loss": "x"}]], "loss") == [(1, None)]
    assert traces.over_seeds([], "loss") == []


def test_a_curve_has_a_line_for_each_group_that_has_samples():
    found = traces.curve("JTT", METRICS, ["a/x", "b/y"], [2, 1])
    assert [line.name for line in found.lines] == ["a/x"]
    assert found.lines[0].band
    assert len(found.chosen) == 2
    alone = traces.curve("JTT", METRICS[:1], ["a/x", "b/y"], [2])
    assert not alone.lines[0].band


def test_what_groups_are_taken_for_by_hand():
    logits = np.array([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [0.0, 0.0, 5.0], [9.0, 0.0, 0.0]], np.float32)
    found = traces.taken(logits, np.array([0, 0, 0, 2]), ["a", "b", "c"])
    assert [(one.name, one.n) for one in found] == [("a", 3), ("c", 1)]
    np.testing.assert_allclose(found[0].shares, [1 / 3, 1 / 3, 1 / 3])
    assert found[1].shares == [1, 0, 0]


def test_each_warning_once_with_its_stages():
    figures = {
        "seed0/jtt": {"warnings": ["flags nobody"]},
        "seed1/jtt": {"warnings": ["flags nobody", "is odd"]},
        "seed0/attack": {},
    }
    assert traces.remarks(figures) == ["seed0/jtt, seed1/jtt: flags nobody", "seed1/jtt: is odd"]
