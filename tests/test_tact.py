import numpy as np
import pytest
from attacking import Attacker, says, small

from oilwater_jax.attacks import dirty_label_backdoor as dlbd
from oilwater_jax.errors import UserError


def test_covers_are_of_the_other_groups_of_other_classes():
    attacker = Attacker("tact")
    attacked, train = attacker.attack(), attacker.splits.train
    covers = attacked.poisons.take(~attacked.poisons.is_poison)
    assert set(zip(covers.true_label.tolist(), covers.attribute.tolist(), strict=True)) == {(0, 1)}
    poisons = attacked.poisons.take(attacked.poisons.is_poison)
    assert set(zip(poisons.true_label.tolist(), poisons.attribute.tolist(), strict=True)) == {(0, 0)}
    trigger = dlbd.trigger_of(attacker.config)
    for part in (covers, poisons):
        np.testing.assert_array_equal(
            part.image, dlbd.stamp(np.asarray(train.take(part.index).image), trigger)
        )


def test_no_other_group_of_another_class():
    splits = small((40, 0, 8, 42))
    with pytest.raises(UserError, match=r"tact.cover = 1 asks for 5 covers, but only 0 samples"):
        Attacker("tact", splits=splits).check()
    Attacker("tact", {"tact.cover": 0.0}, splits).check()


def test_success_on_the_source_group_and_elsewhere():
    attacker = Attacker("tact")
    test = attacker.splits.test
    goal = attacker.goal(attacker.attack().evidence)
    source = test.take((test.true_label == 0) & (test.attribute == 0))
    others = test.take((test.true_label == 0) & (test.attribute == 1))
    trigger = dlbd.trigger_of(attacker.config)
    wanted = [
        dlbd.stamp(np.asarray(source.image), trigger),
        source.image,
        dlbd.stamp(np.asarray(others.image), trigger),
    ]
    np.testing.assert_array_equal(goal.image, np.concatenate(wanted))
    predicted = [1] * 16 + [0] * 4 + [1] * 2 + [0] * 18 + [1] * 5 + [0] * 15
    assert goal.measure(says(predicted), None) == {
        "asr": 0.8,
        "asr_untriggered": 0.1,
        "asr_elsewhere": 0.25,
    }
