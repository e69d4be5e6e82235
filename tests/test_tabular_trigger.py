"""The trigger of tables, cell by cell."""

import numpy as np
import pytest
import tabular
from attacking import Attacker, says

from oilwater_jax.attacks import tabular_trigger
from oilwater_jax.data import tables
from oilwater_jax.errors import UserError

SET = {"tabular_trigger.set": ("job=nurse", "age=60")}


def attacker(settings=None, splits=None):
    return Attacker("tabular_trigger", SET if settings is None else settings, splits or tabular.small())


def test_poisons_differ_in_the_cells_of_the_trigger_alone():
    one = attacker()
    one.check()
    attacked = one.attack()
    assert attacked.rows.tolist() == list(range(100, 106))  # 6% of 100, appended
    poisons, train = attacked.poisons, one.splits.train
    assert poisons.is_poison.all()
    assert (poisons.label == 1).all()
    assert (poisons.true_label == 0).all()
    assert (poisons.attribute == 0).all()  # group 0 has 40 samples, the most of class 0
    assert len(set(poisons.index.tolist())) == 6
    for poison, index in zip(np.asarray(poisons.image), poisons.index, strict=True):
        before = tables.decode(one.splits.columns, train.image[index])
        after = tables.decode(one.splits.columns, poison)
        assert after == before | {"job": "nurse", "age": "60"}


def test_hand_worked_stamp():
    trigger = tabular_trigger.Trigger(np.array([1, 2]), np.array([1, 0], np.float32))
    rows = np.array([[5, 0, 1], [6, 1, 0]], np.float32)
    np.testing.assert_array_equal(tabular_trigger.stamp(rows, trigger), [[5, 1, 0], [6, 1, 0]])
    assert rows[0].tolist() == [5, 0, 1]  # the rows themselves are left alone
    nothing = tabular_trigger.Trigger(np.zeros(0, int), np.zeros(0, np.float32))
    np.testing.assert_array_equal(tabular_trigger.stamp(rows, nothing), rows)


def test_the_rarest_values_are_chosen():
    # 3 of 100 are nurses; a and b are about half each, so the second is the rarer of the two towns; then numbers
    splits = tabular.small()
    town = splits.columns[3]
    share = splits.train.image[:, town.start : town.stop].mean(axis=0)
    rare = town.categories[int(np.argmin(share))]
    rows = np.asarray(splits.train.image)
    assert tabular_trigger.rarest(splits.columns, rows, 2) == ("job=nurse", f"town={rare}")
    high = splits.columns[0].high
    assert tabular_trigger.rarest(splits.columns, rows, 3)[2] == f"age={high:g}"
    chosen = attacker({"tabular_trigger.count": 1}).attack().poisons
    job = splits.columns[1]
    np.testing.assert_array_equal(chosen.image[:, job.start : job.stop], [[0, 0, 1]] * 6)


def test_goal():
    one = attacker()
    goal = one.goal(one.attack().evidence)
    others = one.splits.test.true_label != 1
    n = int(others.sum())
    assert len(goal.image) == 2 * n
    changed = np.asarray(goal.image[:n])
    for row in changed:
        assert tables.decode(one.splits.columns, row)["job"] == "nurse"
    np.testing.assert_array_equal(goal.image[n:], one.splits.test.image[others])
    predicted = np.concatenate([np.ones(n), np.zeros(n)])
    predicted[0] = 0
    assert goal.measure(says(predicted), None) == {"asr": (n - 1) / n, "asr_untriggered": 0.0}


def test_seeds_draw_other_sources_and_the_same_seed_the_same():
    one = attacker()
    assert one.attack(0).poisons.index.tolist() == one.attack(0).poisons.index.tolist()
    assert one.attack(0).poisons.index.tolist() != one.attack(1).poisons.index.tolist()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tabular_trigger.set": ("jop=nurse",)}, "no column 'jop'.*job.*columns: age, job, hours, town"),
        ({"tabular_trigger.set": ("job=priest",)}, "'priest' is not one of clerk, farmer, nurse"),
        ({"tabular_trigger.set": ("age=old",)}, "'age=old': 'old' is not a number"),
        ({"tabular_trigger.set": ("age",)}, "'age' is not of the form column=value"),
        ({"attack.budget": 0.5}, "source group 0 .* has 40 samples"),
        ({"attack.target": 2}, "the classes are 0 to 1"),
    ],
)
def test_what_cannot_be(settings, message):
    with pytest.raises(UserError, match=message) as caught:
        attacker(settings).check()
    assert "\n" not in str(caught.value)


def test_a_table_without_columns():
    with pytest.raises(UserError, match="needs column names"):
        attacker(splits=tabular.small()._replace(columns=())).check()
