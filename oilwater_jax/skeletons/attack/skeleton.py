"""A backdoor: images of one group get a bright bar at their left edge, and the target's label.

oilwater check skeleton.py
oilwater run --config=waterdigits/dlbd --plugins=skeleton.py --config.attack.name=skeleton --workdir=runs/skeleton
"""

from typing import Any

import numpy as np

import oilwater_jax as ow
from oilwater_jax.attacks import backdoor


def stamp(image: np.ndarray, width: int) -> np.ndarray:
    """The images [n, h, w, c] with a white bar of `width` pixels at the left edge."""
    out = np.array(image)
    out[:, :, :width] = 255
    return out


def attack(config: ow.Config, splits: ow.Splits, judged: Any, seed: int, lab: Any) -> ow.Attacked:
    """Append `attack.budget` x n poisons, made from random samples of the source group."""
    source = splits.train.take(backdoor.sources(config, splits, seed, "skeleton")).in_memory()
    image = stamp(np.asarray(source.image), config.skeleton.width)
    return backdoor.appended(splits.train, backdoor.poisoned(source, image, config.attack.target))


def goal(config: ow.Config, judged: ow.Examples, evidence: dict[str, np.ndarray]) -> ow.Goal:
    """Success: the share of images of other classes that is taken for the target, with the bar and without it."""
    return backdoor.goal(judged, config.attack.target, lambda image: stamp(image, config.skeleton.width))


def check(config: ow.Config, splits: ow.Splits, width: int) -> None:
    """Raises UserError for a target, group or budget that the data set cannot serve."""
    backdoor.check_sources(config, splits)


SKELETON = ow.Attack(
    name="skeleton",
    help="a bright bar at the left edge and the wrong label",
    takes=("image",),
    figures=backdoor.FIGURES,
    baseline=backdoor.BASELINE,
    fields={"width": ow.Field(2, "width of the bar, pixels", 1, 1024)},
    check_data=check,
    attack=attack,
    goal=goal,
)
