"""The closed forms at finite size: least squares on drawn samples."""

import numpy as np
import pytest

from oilwater_jax.theory.figures import figures
from oilwater_jax.theory.model import MIN, POI, Model, erm
from oilwater_jax.theory.sample import amplify, draw, least_squares, measure

DEFAULTS = Model()


def test_a_waterdigits_sized_sample_with_50_noise_coordinates():
    found = [measure(DEFAULTS, 4842, 50, np.random.default_rng(seed)) for seed in range(5)]
    assert np.mean([one.auroc for one in found]) == pytest.approx(0.842, abs=0.03)
    assert np.mean([one.plain.wga for one in found]) == pytest.approx(0.447, abs=0.03)
    assert np.mean([one.plain.asr for one in found]) == pytest.approx(0.052, abs=0.01)
    np.testing.assert_allclose(
        np.mean([one.flagged for one in found], axis=0), (0.004812, 0.566353, 0.949574), atol=0.03
    )


def test_jtt_on_100000_samples():
    found = measure(DEFAULTS, 100_000, 50, np.random.default_rng(0)).amplified
    for mode, wga, asr in (("standard", 0.792, 0.919), ("ideal", 0.881, 0.047)):
        assert found[mode].wga == pytest.approx(wga, abs=0.01)
        assert found[mode].asr == pytest.approx(asr, abs=0.01)


def test_many_samples_are_the_population():
    sample = draw(DEFAULTS, 400_000, 0, np.random.default_rng(0))
    np.testing.assert_allclose(least_squares(sample.v), erm(DEFAULTS), atol=0.005)


def test_group_sizes_are_waterdigits_own():
    sample = draw(DEFAULTS, 4842, 2, np.random.default_rng(0))
    assert sample.v.shape == (4842, 5)
    assert [int((sample.group == g).sum()) for g in (MIN, POI)] == [240, 48]
    with pytest.raises(ValueError, match="leaves a group empty"):
        draw(DEFAULTS, 40, 0, np.random.default_rng(0))


def test_drawing_the_flagged_twice_is_writing_them_twice():
    model = DEFAULTS._replace(lambda_up=2.0)
    sample = draw(model, 500, 1, np.random.default_rng(0))
    flags = np.arange(500) % 3 == 0
    twice = np.concatenate([sample.v, sample.v[flags]])
    np.testing.assert_allclose(amplify(model, sample, flags, "standard"), least_squares(twice), atol=1e-12)
    ideal = amplify(model, sample, flags, "ideal")
    np.testing.assert_allclose(ideal, amplify(model, sample, flags & (sample.group != POI), "standard"))
    assert figures(model, ideal).wga > 0
