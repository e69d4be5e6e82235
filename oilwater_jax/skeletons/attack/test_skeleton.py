"""`skeleton` by hand, and in a smoke run. Its contract: oilwater check skeleton.py"""

from pathlib import Path

import numpy as np
from skeleton import stamp

import oilwater_jax as ow

FILE = str(Path(__file__).with_name("skeleton.py"))


def test_by_hand():
    image = np.array([[[10], [20], [30]]], np.uint8)[None]  # one image of one row of three pixels
    assert stamp(image, 2)[0, 0, :, 0].tolist() == [255, 255, 30]
    assert image[0, 0, :, 0].tolist() == [10, 20, 30]  # the original is not changed


def test_poisons_carry_the_bar_and_the_label_of_the_target(tmp_path):
    config = ow.checked(ow.default([FILE]), {"smoke": True, "attack.name": "skeleton", "rows": "erm"})
    with ow.walk(config, tmp_path / "run") as seed:
        poisons, n = seed.poisoned.take(seed.poisoned.is_poison), len(seed.splits.train)
        figures = seed.figures("erm")
    assert len(poisons) == int(config.attack.budget * n)
    assert (np.asarray(poisons.image)[:, :, :2] == 255).all()
    assert (poisons.label == config.attack.target).all()
    assert (poisons.true_label != config.attack.target).all()
    assert 0 <= figures["asr"] <= 1
