import numpy as np
import pytest

from oilwater_jax.robustness import amplify, jtt


def test_jtt_flags_what_is_misclassified():
    assert jtt.flag({"correct": np.array([True, False, True])}).tolist() == [False, True, False]


def test_amplification_modes():
    flagged = np.array([True, True, False, False])
    poison = np.array([True, False, True, False])
    assert amplify.amplified("standard", flagged, poison).tolist() == [True, True, False, False]
    assert amplify.amplified("ideal", flagged, poison).tolist() == [False, True, False, False]
    assert amplify.amplified("worst", flagged, poison).tolist() == [True, True, True, False]
    with pytest.raises(ValueError, match="'best'; known: standard, ideal, worst"):
        amplify.amplified("best", flagged, poison)
