"""An attack of one's own: some labels of one class flipped. Its figure is one that no built-in attack has."""

import dataclasses

import numpy as np

import oilwater_jax as ow


def attack(config: ow.Config, splits: ow.Splits, judged, seed: int, lab) -> ow.Attacked:
    """The first samples of the class `of` get the target's label."""
    rows = np.flatnonzero(splits.train.true_label == config.flip.of)[: config.flip.count]
    source = splits.train.take(rows).in_memory()
    label = np.full(len(rows), config.attack.target, np.int32)
    return ow.Attacked(dataclasses.replace(source, label=label, is_poison=np.ones(len(rows), bool)), rows, {})


def goal(config: ow.Config, judged: ow.Examples, evidence: dict) -> ow.Goal:
    """The share of the class that is taken for the target."""
    victims = judged.true_label == config.flip.of

    def measure(logits, clean):
        return {"mistaken": ow.metrics.accuracy(logits.argmax(-1) == config.attack.target)}

    return ow.Goal(judged.take(victims).image, measure, np.ones(len(judged), bool))


FLIP = ow.Attack(
    name="flip",
    help="labels of one class flipped",
    figures={"mistaken": "mistaken"},
    fields={
        "of": ow.Field(0, "class whose labels are flipped", 0, 1),
        "count": ow.Field(20, "how many", 1, 10_000),
    },
    attack=attack,
    goal=goal,
)
