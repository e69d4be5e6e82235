import numpy as np

from oilwater_jax import selectors, treatments
from oilwater_jax.settings.config import default
from oilwater_jax.types import Splits


def weights(treatment, examples):
    return treatment.selector.update(treatment.selector.init(examples), 1, None)[1]


def test_group_dro_counts_a_poison_to_the_group_of_its_label(examples):
    splits = Splits(examples, examples, examples, examples.take(np.arange(0)), ("a", "b"), ("x", "y"))
    config = default()
    config.group_dro.adjustment = 6.0
    poisoned = treatments.reference("group_dro_poisoned", config, examples, splits)
    # Rows 37 to 39 are of class 1, attributes 1, 0, 1, and are labelled 0: groups of 11, 12, 9 and 8 samples.
    sizes = np.array([11, 12, 9, 8])
    np.testing.assert_array_equal(np.bincount(poisoned.group), sizes)
    assert poisoned.group[37:].tolist() == [1, 0, 1]
    np.testing.assert_allclose(weights(poisoned, examples), (10 / sizes)[poisoned.group])
    np.testing.assert_allclose(poisoned.objective.init().margin, 6 / np.sqrt(sizes), rtol=1e-6)


def test_group_dro_on_clean_data_draws_as_the_oracle_does(examples):
    clean = examples.take(np.arange(37))
    splits = Splits(clean, clean, clean, clean.take(np.arange(0)), ("a", "b"), ("x", "y"))
    treatment = treatments.reference("group_dro", default(), clean, splits)
    assert np.bincount(treatment.group).tolist() == [10, 10, 9, 8]
    oracle = treatments.reference("oracle", default(), clean, splits)
    np.testing.assert_array_equal(weights(treatment, clean), weights(oracle, clean))
    np.testing.assert_array_equal(weights(treatment, clean), selectors.balanced(treatment.group))
