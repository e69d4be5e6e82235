import numpy as np
import pytest
from attacking import Attacker, small

from oilwater_jax.attacks import dirty_label_backdoor as dlbd
from oilwater_jax.errors import UserError
from oilwater_jax.groups import group_counts


def test_the_poisons_are_the_minority_of_the_target_class():
    attacker = Attacker("hidden_minority")
    attacker.check()
    train, attacked = attacker.splits.train, attacker.attack()
    whole = attacked.applied(train)
    poisons = whole.take(whole.is_poison)
    assert set(zip(poisons.label.tolist(), poisons.attribute.tolist(), strict=True)) == {(1, 0)}
    np.testing.assert_array_equal(whole.label, train.label)
    np.testing.assert_array_equal(
        poisons.image,
        dlbd.stamp(np.asarray(train.take(poisons.index).image), dlbd.trigger_of(attacker.config)),
    )
    # Dropping them is dropping it: 8 - 6 are left.
    assert group_counts(whole, 2, 2).tolist() == [40, 10, 2, 42]


def test_the_whole_minority_and_no_more():
    everyone = Attacker("hidden_minority", {"attack.budget": 0.08})
    everyone.check()
    whole = everyone.attack().applied(everyone.splits.train)
    assert group_counts(whole, 2, 2).tolist() == [40, 10, 0, 42]
    with pytest.raises(
        UserError, match="asks for 9 poisons, but the smallest group of class 1 has 8 samples"
    ):
        Attacker("hidden_minority", {"attack.budget": 0.09}).check()


def test_copies_leave_the_minority():
    attacker = Attacker("hidden_minority", {"attack.budget": 0.08, "hidden_minority.copies": True})
    whole = attacker.attack().applied(attacker.splits.train)
    assert len(whole) == 108
    assert group_counts(whole, 2, 2).tolist() == [40, 10, 8, 42]


def test_an_empty_group_is_no_minority():
    attacker = Attacker("hidden_minority", splits=small((40, 10, 0, 50)))
    poisons = attacker.attack().poisons
    assert set(poisons.attribute.tolist()) == {1}
