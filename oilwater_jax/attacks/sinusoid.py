"""Sinusoid (SIG): a wave added to samples of the target class, whose labels stay right.

A clean-label backdoor: the wave goes along with the target's label in training, and at test it is added to images of
other classes. Sources are of the target class, whatever their group. The success that is published takes 10% of the
target class and more; 1% of all is a low budget for it.

References: Barni et al. 2019, "A New Backdoor Attack in CNNs by Training Set Corruption without Label Poisoning";
BackdoorBench's sig (delta 40, f 6; backdoor-toolbox: delta 30).
"""

import numpy as np
from jaxtyping import UInt8

from oilwater_jax.attacks import backdoor
from oilwater_jax.attacks.lab import Lab
from oilwater_jax.attacks.sources import budgeted, check_budget, poison_count
from oilwater_jax.entries import Attack, Config
from oilwater_jax.errors import UserError
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Attacked, Examples, Goal, Splits

Image = UInt8[np.ndarray, "m h w c"]


def wave(image: Image, delta: float, periods: int) -> Image:
    """The images plus delta sin(2 pi x periods / w) in column x, in every channel, rounded and kept in 0..255.

    Edge case       Result
    delta 0         the images unchanged
    periods 0       the images unchanged (sin 0)
    """
    w = image.shape[2]
    added = delta * np.sin(2 * np.pi * np.arange(w) * periods / w)
    return np.clip(np.rint(image + added[None, None, :, None]), 0, 255).astype(np.uint8)


def check(config: Config, splits: Splits, width: int) -> None:
    """Raises UserError for a target or budget that the data set cannot serve, or a source group of another class."""
    backdoor.check_target_only(config, splits)
    target, count = config.attack.target, check_budget(config, splits)
    pool = int((splits.train.true_label == target).sum())
    if count > pool:
        raise UserError(
            f"attack.budget = {config.attack.budget:g} asks for {count} poisons, but class {target} "
            f"({splits.class_names[target]}) has {pool} training samples; lower the budget"
        )


def attack(config: Config, splits: Splits, judged: Examples | None, seed: int, lab: Lab) -> Attacked:
    """The poisons replace the training samples that they are made from."""
    s, train = config.sinusoid, splits.train
    pool = np.flatnonzero(train.true_label == config.attack.target)
    rows = backdoor.draw(pool, poison_count(config.attack.budget, len(train)), seed, "sinusoid sources")
    source = train.take(rows).in_memory()
    return Attacked(backdoor.poisoned(source, wave(np.asarray(source.image), s.delta, s.periods)), rows, {})


def make_goal(config: Config, judged: Examples, evidence: dict[str, np.ndarray]) -> Goal:
    """ASR with the wave on images of other classes, rate without."""
    s = config.sinusoid
    return backdoor.goal(judged, config.attack.target, lambda image: wave(image, s.delta, s.periods))


ATTACK = Attack(
    name="sinusoid",
    label="SIG",
    help="clean-label backdoor: a wave added to images of the target class",
    takes=("image",),
    figures=backdoor.FIGURES,
    baseline=backdoor.BASELINE,
    fields={
        "delta": Field(40.0, "amplitude of the wave, on the scale 0..255", 0, 255),
        "periods": Field(6, "periods of the wave across the image", 0, 1024),
    },
    check_data=check,
    attack=attack,
    goal=make_goal,
    passes=2.0,
    count=budgeted,
)
