"""What the house says of a method that found nobody in particular, and who has modes."""

import numpy as np
import pytest

from oilwater_jax import selectors
from oilwater_jax.entries import Method
from oilwater_jax.rooms import nobody_or_all
from oilwater_jax.types import Found, Treatment


def test_nobody_and_nearly_everybody_flagged_is_said():
    assert "flags 0 of 40 training samples" in nobody_or_all(np.zeros(40, bool))[0]
    assert "flags 37 of 40 training samples" in nobody_or_all(np.arange(40) < 37)[0]
    assert nobody_or_all(np.arange(40) < 36) == ()
    assert nobody_or_all(np.arange(40) < 1) == ()


@pytest.mark.parametrize(
    ("aim", "finds", "oracle", "modes"),
    [
        ("amplify", True, False, 3),
        ("amplify", False, False, 1),  # nobody is chosen: CVaR, LfF
        ("amplify", True, True, 1),
        ("eliminate", True, False, 3),
        ("eliminate", False, False, 3),  # in rounds
        ("train", True, False, 1),
    ],
)
def test_who_chooses_has_modes(aim, finds, oracle, modes):
    method = Method(
        name="x",
        help="",
        aim=aim,
        treat=lambda config, case: Treatment(selectors.everyone(len(case.train))),
        find=(lambda config, evidence: Found({}, {})) if finds else None,
        oracle=oracle,
    )
    assert len(method.modes) == modes
