"""`skeleton` by hand, and in a smoke run. Its contract: oilwater check skeleton.py"""

from pathlib import Path

import numpy as np
from skeleton import draw

import oilwater_jax as ow

FILE = str(Path(__file__).with_name("skeleton.py"))


def test_the_ground_agrees_as_often_as_asked():
    examples = draw(1000, 0.95, 0)
    agrees = (examples.label == examples.attribute).mean()
    assert abs(agrees - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 1000)  # four standard deviations
    bright = np.asarray(examples.image).mean((1, 2, 3)) > 100
    assert (bright == examples.attribute).all()


def test_erm_trains_on_it(tmp_path):
    changes = {
        "smoke": True,
        "data.name": "skeleton",
        "pretrain.epochs": 0,
        "attack.name": "none",
        "rows": "erm",
    }
    with ow.walk(ow.checked(ow.default([FILE]), changes), tmp_path / "run") as seed:
        assert seed.splits.class_names == ("upright", "level")
        assert 0 <= seed.figures("erm")["wga"] <= 1
