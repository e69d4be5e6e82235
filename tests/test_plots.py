import numpy as np
import pytest

from oilwater_jax.reporting import plots
from oilwater_jax.types import Splits


def test_the_image_that_a_poison_was_made_from_may_be_the_attackers_own(examples):
    train, held = examples.take(examples.index < 30), examples.take(examples.index >= 30)
    splits = Splits(train, train, train, ("a", "b"), ("x", "y"), auxiliary=held)
    for index in (0, 29, 30, 39):
        np.testing.assert_array_equal(plots.original(splits, index), examples.image[index])
    with pytest.raises(KeyError):
        plots.original(splits, 40)
