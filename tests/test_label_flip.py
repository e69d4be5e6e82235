import numpy as np
import pytest
from attacking import Attacker, says

from oilwater_jax.errors import UserError


def test_flipped_samples_take_the_place_of_the_groups():
    attacker = Attacker("label_flip", {"attack.source_group": 1, "attack.budget": 0.04})
    attacker.check()
    train, attacked = attacker.splits.train, attacker.attack()
    whole = attacked.applied(train)
    assert len(whole) == 100
    np.testing.assert_array_equal(whole.image, train.image)
    np.testing.assert_array_equal(whole.true_label, train.true_label)
    np.testing.assert_array_equal(whole.label != train.label, whole.is_poison)
    poisons = whole.take(whole.is_poison)
    assert len(poisons) == 4
    assert set(poisons.true_label.tolist()) == {0}
    assert set(poisons.attribute.tolist()) == {1}
    assert set(poisons.label.tolist()) == {1}


def test_the_whole_group_may_be_flipped_and_no_more():
    whole = Attacker("label_flip", {"attack.source_group": 1, "attack.budget": 0.1})
    whole.check()
    assert whole.attack().applied(whole.splits.train).is_poison.sum() == 10
    with pytest.raises(UserError, match=r"asks for 11 poisons, but source group 1 \(a/y\) has 10 samples"):
        Attacker("label_flip", {"attack.source_group": 1, "attack.budget": 0.11}).check()


def test_success_is_damage_in_the_group():
    attacker = Attacker("label_flip", {"attack.source_group": 1})
    test = attacker.splits.test
    goal = attacker.goal(attacker.attack().evidence)
    assert attacker.entry.needs_clean
    inside = (test.true_label == 0) & (test.attribute == 1)  # 20 of 80
    clean = test.true_label.copy()
    clean[np.flatnonzero(inside)[:2]] = 1  # 18 of 20 right
    now = test.true_label.copy()
    now[np.flatnonzero(inside)[:12]] = 1  # 8 of 20 right
    now[np.flatnonzero(~inside)[:3]] ^= 1  # 57 of 60 right outside, where clean had all
    assert goal.measure(says(now), says(clean)) == {
        "target_damage": pytest.approx(0.5),
        "collateral": pytest.approx(0.05),
        "target_acc": pytest.approx(0.4),
    }
    same = goal.measure(says(clean), says(clean))
    assert (same["target_damage"], same["collateral"]) == (0.0, 0.0)
