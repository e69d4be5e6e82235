"""`skeleton` by hand, and in a smoke run. Its contract: oilwater check skeleton.py"""

from pathlib import Path

import numpy as np
from skeleton import highest

import oilwater_jax as ow

FILE = str(Path(__file__).with_name("skeleton.py"))


def test_by_hand():
    # The quantile 0.75 of 1, 2, 3, 6 is 3 + 0.25 (6 - 3) = 3.75: one loss is above it.
    assert highest(np.array([3.0, 1.0, 6.0, 2.0]), 0.25).tolist() == [False, False, True, False]


def test_flagged_samples_are_drawn_more_often(tmp_path):
    changes = {"smoke": True, "rows": "erm,skeleton", "skeleton.times": 3.0}
    config = ow.checked(ow.default([FILE]), changes)
    with ow.walk(config, tmp_path / "run") as seed:
        flagged, weights = seed.found("skeleton")["flagged"], seed.trained("skeleton").weights
    assert abs(flagged.mean() - 0.1) < 0.01
    assert set(weights[flagged]) == {3.0}
    assert set(weights[~flagged]) == {1.0}
