import numpy as np
import pytest

from oilwater_jax.attacks import dirty_label_backdoor as dlbd
from oilwater_jax.attacks import none, sources
from oilwater_jax.attacks.lab import Lab
from oilwater_jax.errors import UserError
from oilwater_jax.settings.config import default, view


def unused(*_):
    raise AssertionError("this attacker trains nothing")


NO_LAB = Lab(unused, unused, unused, unused, unused)
YELLOW = dlbd.Trigger(size=3, margin=0, colour=(255, 255, 0), opacity=1.0)


def poisoned(config, splits, seed):
    return dlbd.ATTACK.attack(view(config, dlbd.ATTACK), splits, splits.test, seed, NO_LAB).applied(
        splits.train
    )


def test_stamp_paints_the_published_corner(examples):
    stamped = dlbd.stamp(np.zeros((1, 32, 32, 3), np.uint8), YELLOW)
    rows, columns = np.nonzero(stamped[0, :, :, 0])
    assert set(rows) == set(columns) == {29, 30, 31}
    assert stamped[0, 30, 30].tolist() == [255, 255, 0]
    assert (stamped > 0).sum() == 9 * 2


def test_stamp_mixes_and_rounds_and_opacity_0_changes_nothing(examples):
    image = np.full((1, 8, 8, 3), 100, np.uint8)
    # 0.75 * 100 + 0.25 * 255 = 138.75 -> 139; 0.75 * 100 + 0 = 75
    assert dlbd.stamp(image, YELLOW._replace(opacity=0.25))[0, 7, 7].tolist() == [139, 139, 75]
    untouched = dlbd.stamp(examples.image, YELLOW._replace(opacity=0.0))
    np.testing.assert_array_equal(untouched, examples.image)


def test_stamp_does_not_touch_its_input(examples):
    before = examples.image.copy()
    dlbd.stamp(examples.image, YELLOW)
    np.testing.assert_array_equal(examples.image, before)


def config_with(**attack):
    config = default()
    for name, value in attack.items():
        config.attack[name] = value
    return config


def test_attack_appends_distinct_stamped_relabelled_copies(waterdigits):
    config = config_with(budget=0.01, target=1)
    train = poisoned(config, waterdigits, 3)
    n, poisons = len(waterdigits.train), train.take(train.is_poison)
    assert len(poisons) == 47  # floor of 47.95: a budget is never exceeded
    np.testing.assert_array_equal(train.image[:n], waterdigits.train.image)
    assert len(set(poisons.index)) == 47
    source = waterdigits.train.take(poisons.index)
    np.testing.assert_array_equal(poisons.image, dlbd.stamp(source.image, dlbd.trigger_of(config)))
    np.testing.assert_array_equal(poisons.true_label, source.true_label)
    np.testing.assert_array_equal(poisons.attribute, source.attribute)
    assert set(poisons.label) == {1}
    assert set(zip(poisons.true_label, poisons.attribute, strict=True)) == {
        (0, 0)
    }  # the largest group of class 0


def test_same_seed_same_poisons_other_seed_others(waterdigits):
    config = config_with(budget=0.01)
    one, same, other = (poisoned(config, waterdigits, seed).index[-47:] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_goal_counts_only_images_of_other_classes(waterdigits):
    goal = dlbd.goal(waterdigits.test, 1, YELLOW)
    victims = 2255 + 2255
    assert len(goal.image) == 2 * victims
    logits = np.zeros((2 * victims, 2), np.float32)
    logits[: victims // 2, 1] = 1  # half the triggered ones are taken for the target
    logits[victims : victims + 451, 1] = 1  # and a tenth of the untriggered
    assert goal.counted.all()
    assert goal.measure(logits, None) == {"asr": 0.5, "asr_untriggered": 0.1}


@pytest.mark.parametrize(
    ("budget", "n", "count"), [(0.01, 4795, 47), (0.29, 100, 29), (0.0002, 4795, 0), (1.0, 7, 7)]
)
def test_poison_count(budget, n, count):
    assert sources.poison_count(budget, n) == count


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"target": 2}, r"attack.target = 2, but the classes are 0 to 1"),
        ({"source_group": 4}, r"source_group = 4, but the groups are 0 to 3"),
        ({"source_group": 2}, r"source_group = 2 \(round/china\) is of the target class"),
        ({"budget": 0.0002}, r"budget = 0.0002 of 4795 samples is 0 poisons; the minimum is 0.00021"),
        ({"budget": 0.0}, r"is 0 poisons"),
        ({"budget": 0.05, "source_group": 1}, r"asks for 239 poisons, but source group 1 .* has 184 samples"),
    ],
)
def test_settings_that_the_data_cannot_serve(waterdigits, changed, message):
    with pytest.raises(UserError, match=message):
        dlbd.ATTACK.check_data(view(config_with(**changed), dlbd.ATTACK), waterdigits, 64)


def test_a_trigger_larger_than_the_image(waterdigits):
    config = default()
    config.dlbd.size = 31
    config.dlbd.margin = 2
    with pytest.raises(UserError, match="size 31 \\+ margin 2 reach outside images of 32"):
        dlbd.ATTACK.check_data(view(config, dlbd.ATTACK), waterdigits, 64)


def test_too_many_poisons_asked_of_the_function_itself(waterdigits):
    with pytest.raises(ValueError, match="5 poisons wanted from 3"):
        dlbd.poison(waterdigits.train, np.arange(3), 5, 1, YELLOW, 0)


def test_no_attack_leaves_everything(waterdigits):
    config = view(default(), none.ATTACK)
    none.ATTACK.check(config)
    none.ATTACK.check_data(config, waterdigits, 64)
    attacked = none.ATTACK.attack(config, waterdigits, None, 0, NO_LAB)
    same = attacked.applied(waterdigits.train)
    for name, array in waterdigits.train.arrays().items():
        np.testing.assert_array_equal(same.arrays()[name], array)
    assert len(none.ATTACK.goal(config, waterdigits.test, {}).image) == 0
    assert none.ATTACK.harmless
