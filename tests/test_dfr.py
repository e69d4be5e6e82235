import numpy as np
import pytest
from showing import Looker, evidence, weights

from oilwater_jax.robustness import dfr, held_out
from oilwater_jax.types import Examples, Recipe


def table(n=100, lacking=None) -> Examples:
    """Class and attribute by turns; of the group `lacking` only the samples that are not held out are left."""
    at = np.arange(n)
    label, attribute = (at // 2 % 2).astype(np.int32), (at % 2).astype(np.int32)
    if lacking is not None:
        gone = held_out.part(n, 0.2) & (label == lacking[0]) & (attribute == lacking[1])
        attribute = np.where(gone, 1 - attribute, attribute).astype(np.int32)
    return Examples(
        np.zeros((n, 1, 1, 3), np.uint8), label, label, attribute, np.zeros(n, bool), at.astype(np.int32)
    )


def test_draws_by_hand():
    group = np.array([0, 0, 0, 1, 2, 2, 0])
    held = np.array([True, True, True, True, True, False, False])
    # 5 held out in 3 groups of 3, 1 and 1: each group is drawn 5/3 times
    np.testing.assert_allclose(dfr.draws(group, held), [5 / 9, 5 / 9, 5 / 9, 5 / 3, 5 / 3, 0, 0])
    assert not dfr.draws(group, np.zeros(7, bool)).any()


def test_find_and_treat():
    train = table()
    method = Looker("dfr", {"dfr.learning_rate": 0.3, "dfr.epochs": 7, "dfr.pull": 0.1})
    found = method.find(evidence(train.label, {}))
    held = held_out.part(100, 0.2)
    np.testing.assert_array_equal(found.arrays["flagged"], held)
    assert found.figures == {"n_held_out": 20}
    treatment = method.treat(train, found.arrays)
    drawn = weights(treatment, train)
    np.testing.assert_array_equal(drawn > 0, held)
    group = 2 * train.label + train.attribute
    np.testing.assert_allclose(np.bincount(group, weights=drawn), 5.0)  # each group a quarter of 20
    assert (treatment.start, treatment.trained) == ("reference", "head")
    assert treatment.recipe == Recipe(0.3, 0.0, 7, 0.1)
    assert treatment.warnings == ()
    assert method.entry.modes == ("standard",)


def test_a_poison_is_of_the_group_of_its_label():
    train = table()
    flipped = np.array(train.label)
    row = int(np.flatnonzero(held_out.part(100, 0.2))[0])
    flipped[row] = 1 - flipped[row]
    poisoned = Examples(**train.arrays() | {"label": flipped, "is_poison": np.arange(100) == row})
    method = Looker("dfr")
    drawn = weights(method.treat(poisoned, method.find(evidence(flipped, {})).arrays), poisoned)
    np.testing.assert_allclose(np.bincount(2 * flipped + train.attribute, weights=drawn), 5.0)


def test_a_group_that_is_not_held_out_is_a_warning():
    train, method = table(lacking=(1, 0)), Looker("dfr")
    treatment = method.treat(train, method.find(evidence(train.label, {})).arrays)
    assert treatment.warnings == (
        "no sample of class 1 with attribute 0 is held out: the last layer is trained without that group; raise "
        "dfr.held_out",
    )
    assert weights(treatment, train).sum() == pytest.approx(20)


def test_the_reference_is_trained_on_the_rest_by_erms_recipe():
    train = table()
    method = Looker("dfr", {"erm.learning_rate": 0.07, "erm.epochs": 11, "dfr.held_out": 0.3})
    assert method.entry.reference is not None
    treatment = method.entry.reference(method.config, train)
    np.testing.assert_array_equal(weights(treatment, train) == 0, held_out.part(100, 0.3))
    assert treatment.recipe is not None
    assert (treatment.recipe.learning_rate, treatment.recipe.epochs) == (0.07, 11)
