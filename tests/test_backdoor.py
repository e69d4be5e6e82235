"""What all attacks with a trigger keep to: poisons and covers, labels, budgets, groups, and what changes nothing."""

import dataclasses

import numpy as np
import pytest
from attacking import Attacker, same, says, small

from oilwater_jax.attacks import backdoor
from oilwater_jax.errors import UserError
from oilwater_jax.groups import group_counts, report_sets
from oilwater_jax.images import Images, Part

DIRTY = ("dlbd", "blended", "warp", "tact", "adaptive_blend")
CLEAN_LABEL = ("sinusoid", "hidden_minority")
ALL = (*DIRTY, *CLEAN_LABEL)
WITH_COVERS = {"warp": "warp.cover", "tact": "tact.cover", "adaptive_blend": "adaptive_blend.cover"}
INVISIBLE = {
    "dlbd": {"dlbd.opacity": 0.0},
    "blended": {"blended.ratio": 0.0},
    "sinusoid": {"sinusoid.delta": 0.0},
    "warp": {"warp.strength": 0.0, "warp.noise": 0.0},
    "tact": {"dlbd.opacity": 0.0},
    "adaptive_blend": {"adaptive_blend.ratio": 0.0},
    "hidden_minority": {"dlbd.opacity": 0.0},
}


@pytest.mark.parametrize("name", ALL)
def test_poisons(name):
    attacker = Attacker(name)
    attacker.check()
    attacked, train = attacker.attack(), attacker.splits.train
    poisons = attacked.poisons.take(attacked.poisons.is_poison)
    assert len(poisons) == 6
    assert len(set(poisons.index.tolist())) == 6
    source = train.take(poisons.index)
    np.testing.assert_array_equal(poisons.true_label, source.true_label)
    np.testing.assert_array_equal(poisons.attribute, source.attribute)
    assert (np.asarray(poisons.image) != np.asarray(source.image)).any(axis=(1, 2, 3)).all()
    assert set(poisons.label.tolist()) == {1}
    assert set(poisons.true_label.tolist()) == ({1} if name in CLEAN_LABEL else {0})
    whole = attacked.applied(train)
    assert len(whole) == 100 + (6 if name in DIRTY else 0)
    assert whole.is_poison.sum() == 6


@pytest.mark.parametrize("name", ALL)
def test_same_seed_same_poisons_other_seed_others(name):
    attacker = Attacker(name)
    one, again, other = attacker.attack(3), attacker.attack(3), attacker.attack(4)
    same(one.poisons, again.poisons)
    np.testing.assert_array_equal(one.rows, again.rows)
    assert (one.poisons.index != other.poisons.index).any()


@pytest.mark.parametrize("name", ALL)
def test_the_goal_is_of_images_of_other_classes_with_and_without_the_trigger(name):
    attacker = Attacker(name)
    goal = attacker.goal(attacker.attack().evidence)
    assert goal.counted.all()
    n = 20 if name == "tact" else 40
    tried = goal.image[n : 2 * n]
    victims = attacker.splits.test.take(attacker.splits.test.true_label == 0)
    assert {image.tobytes() for image in tried} <= {image.tobytes() for image in victims.image}
    assert (np.asarray(goal.image[:n]) != tried).any(axis=(1, 2, 3)).all()
    predicted = np.zeros(len(goal.image))
    predicted[: n // 2], predicted[n : n + n // 10] = 1, 1
    figures = goal.measure(says(predicted), None)
    assert (figures["asr"], figures["asr_untriggered"]) == (0.5, 0.1)
    assert tuple(figures) == tuple(attacker.entry.figures)


@pytest.mark.parametrize("name", ALL)
def test_what_is_invisible_changes_no_pixel(name):
    attacker = Attacker(name, INVISIBLE[name])
    attacked, train = attacker.attack(), attacker.splits.train
    np.testing.assert_array_equal(attacked.poisons.image, train.take(attacked.poisons.index).image)
    goal = attacker.goal(attacked.evidence)
    n = 20 if name == "tact" else 40
    np.testing.assert_array_equal(goal.image[:n], goal.image[n : 2 * n])


@pytest.mark.parametrize("name", WITH_COVERS)
def test_covers_are_clean_samples_of_their_group(name):
    attacker = Attacker(name)
    attacked, train = attacker.attack(), attacker.splits.train
    covers = attacked.poisons.take(~attacked.poisons.is_poison)
    assert len(covers) == (12 if name == "warp" else 6)
    np.testing.assert_array_equal(covers.label, covers.true_label)
    whole = attacked.applied(train)
    poisons = attacked.poisons.take(attacked.poisons.is_poison)
    assert not set(covers.index.tolist()) & set(poisons.index.tolist())
    # In place: as many clean samples of each group as before, and each cover where its original was.
    np.testing.assert_array_equal(group_counts(whole, 2, 2), group_counts(train, 2, 2))
    np.testing.assert_array_equal(whole.index[:100], np.arange(100))
    changed = (whole.image[:100] != train.image).any(axis=(1, 2, 3))
    assert set(np.flatnonzero(changed).tolist()) == set(covers.index.tolist())
    sets = report_sets(whole, 2, 2)
    assert sum(int(members[covers.index].sum()) for members in sets.values()) == len(covers)
    assert not sets["poison"][:100].any()


@pytest.mark.parametrize(("name", "field"), WITH_COVERS.items())
def test_no_covers_and_too_many(name, field):
    without = Attacker(name, {field: 0.0})
    without.check()
    assert without.attack().poisons.is_poison.all()
    with pytest.raises(UserError, match=rf"{field} = 500 asks for 3000 covers, but only \d+ samples"):
        Attacker(name, {field: 500.0}).check()


@pytest.mark.parametrize("name", ALL)
def test_settings_that_the_data_cannot_serve(name):
    with pytest.raises(UserError, match=r"attack.target = 2, but the classes are 0 to 1"):
        Attacker(name, {"attack.target": 2}).check()
    with pytest.raises(UserError, match="is 0 poisons"):
        Attacker(name, {"attack.budget": 0.001}).check()
    with pytest.raises(UserError, match="asks for 60 poisons, but"):
        Attacker(name, {"attack.budget": 0.6}).check()


@pytest.mark.parametrize("name", CLEAN_LABEL)
def test_a_source_group_has_no_say_where_poisons_are_of_the_target_class(name):
    with pytest.raises(UserError, match=rf"the poisons of attack.name = '{name}' are of the target class"):
        Attacker(name, {"attack.source_group": 0}).check()


@pytest.mark.parametrize(("per_poison", "poisons", "count"), [(0.0, 5, 0), (0.29, 100, 29), (1.5, 3, 4)])
def test_cover_count_rounds_down(per_poison, poisons, count):
    assert backdoor.cover_count(per_poison, poisons) == count


def test_more_poisons_than_sources():
    with pytest.raises(ValueError, match="5 poisons wanted from 3 sources"):
        backdoor.draw(np.arange(3), 5, 0, "x")


def test_a_goal_of_some_victims_counts_no_image_of_the_target_class():
    test = small().test
    goal = backdoor.goal(test, 1, lambda image: 255 - image, np.ones(len(test), bool))
    assert len(goal.image) == 80  # 40 of class 0, twice


@pytest.mark.parametrize("name", ALL)
def test_images_that_are_read_when_they_are_asked_for(name):
    """As on disk: the same poisons, the same inputs of the goal."""
    splits = small()
    lazy = splits._replace(
        train=dataclasses.replace(splits.train, image=Images([Part(np.asarray(splits.train.image))])),
        test=dataclasses.replace(splits.test, image=Images([Part(np.asarray(splits.test.image))])),
    )
    here, there = Attacker(name, splits=splits), Attacker(name, splits=lazy)
    there.check()
    one, other = here.attack(), there.attack()
    same(one.poisons, other.poisons)
    inputs = there.goal(other.evidence).image
    assert isinstance(inputs, Images)
    np.testing.assert_array_equal(here.goal(one.evidence).image, np.asarray(inputs))
