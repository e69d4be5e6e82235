"""TaCT: a trigger that works from one group only; covers of other groups carry it under their true labels.

Made against defences that look for two separate clusters in the target's features: where the trigger alone decides,
poisons lie far from the class; where it matters only on one group, closer. The trigger is `dlbd`'s square.

Covers are of the groups on which it must mean nothing: those of other classes than the target's, but the source
group. They are clean samples in every figure (`backdoor`).

References: Tang et al. 2021, "Demon in the Variant" (target-contaminated attack); backdoor-toolbox's TaCT, where
sources and covers are classes and replaced in place (here the poisons are appended).
"""

import numpy as np
from jaxtyping import Bool

from oilwater_jax import images, metrics
from oilwater_jax.attacks import backdoor
from oilwater_jax.attacks import dirty_label_backdoor as dlbd
from oilwater_jax.attacks.lab import Lab
from oilwater_jax.attacks.sources import budgeted, source_group
from oilwater_jax.entries import Attack, Config
from oilwater_jax.groups import group_ids
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Attacked, Examples, Goal, Splits


def coverable(config: Config, splits: Splits) -> Bool[np.ndarray, " n"]:
    """The training samples that covers are made of."""
    groups = group_ids(splits.train, len(splits.attribute_names))
    return (splits.train.true_label != config.attack.target) & (groups != source_group(config, splits))


def check(config: Config, splits: Splits, width: int) -> None:
    """Raises UserError for a target, source group, budget, trigger or covers that the data set cannot serve."""
    count, cover = backdoor.check_sources(config, splits), config.tact.cover
    dlbd.check_trigger(config, splits)
    has = int(coverable(config, splits).sum())
    backdoor.check_covers(backdoor.cover_count(cover, count), has, "tact.cover", cover)


def attack(config: Config, splits: Splits, judged: Examples | None, seed: int, lab: Lab) -> Attacked:
    """The poisons are appended, the covers replace the samples that they are made from.

    Edge case                          Result
    cover 0                            `dlbd` from one group, but for the draw of its sources
    no other group of another class    UserError unless cover is 0, before anything runs
    """
    train, trigger = splits.train, dlbd.trigger_of(config)
    source = train.take(backdoor.sources(config, splits, seed, "tact sources")).in_memory()
    poisons = backdoor.poisoned(source, dlbd.stamp(np.asarray(source.image), trigger), config.attack.target)
    count = backdoor.cover_count(config.tact.cover, len(poisons))
    rows = backdoor.draw(np.flatnonzero(coverable(config, splits)), count, seed, "tact covers")
    cover = train.take(rows).in_memory()
    covers = backdoor.covering(cover, dlbd.stamp(np.asarray(cover.image), trigger))
    label, attribute = divmod(source_group(config, splits), len(splits.attribute_names))
    attacked = backdoor.appended(train, poisons)._replace(evidence={"group": np.array([label, attribute])})
    return backdoor.with_covers(attacked, covers, rows)


def make_goal(config: Config, judged: Examples, evidence: dict[str, np.ndarray]) -> Goal:
    """ASR and untriggered rate on the source group; beside them ASR on the other groups of other classes."""
    target, trigger = config.attack.target, dlbd.trigger_of(config)
    label, attribute = evidence["group"].tolist()
    inside = (judged.true_label == label) & (judged.attribute == attribute)
    others = judged.take(~inside & (judged.true_label != target))
    own = backdoor.goal(judged, target, lambda image: dlbd.stamp(image, trigger), inside)
    n = len(own.image)

    def measure(logits: np.ndarray, clean: np.ndarray | None) -> dict[str, float]:
        predicted = np.argmax(logits[n:], axis=-1)
        elsewhere = metrics.attack_success_rate(predicted, others.true_label, target)
        return {**own.measure(logits[:n], None), "asr_elsewhere": elsewhere}

    stamped = images.changed(others.image, lambda image: dlbd.stamp(image, trigger))
    return Goal(images.join(own.image, stamped), measure, own.counted)


ATTACK = Attack(
    name="tact",
    label="TaCT",
    help="dirty-label backdoor on one group only, with covers from the others",
    takes=("image",),
    figures={**backdoor.FIGURES, "asr_elsewhere": "ASR elsewhere"},
    baseline=backdoor.BASELINE,
    reads=("dlbd",),
    fields={"cover": Field(1.0, "covers / poisons; triggered samples of other groups, true labels", 0, 1000)},
    check_data=check,
    attack=attack,
    goal=make_goal,
    passes=2.0,
    count=budgeted,
)
