import pytest

from oilwater_jax.reporting.grid import Estimate, estimate, latex


def test_the_interval_is_students():
    # mean 3, s = sqrt(2.5), t(4 degrees, 97.5%) = 2.776: 2.776 * sqrt(2.5 / 5) = 1.963
    found = estimate([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found is not None
    assert found.mean == 3
    assert found.half == pytest.approx(1.963, abs=1e-3)
    assert found.n == 5


def test_one_seed_has_no_interval_and_a_missing_one_no_mean():
    assert estimate([0.5]) == Estimate(0.5, None, 1)
    assert str(Estimate(0.5, None, 1)) == "50.0"
    assert estimate([0.5, None]) is None
    assert estimate([]) is None


def test_latex_is_escaped():
    text = latex(["run", "training", "a_b"], [["x_1", "y", "1.0 ± 0.2"]])
    assert r"x\_1 & y & 1.0 $\pm$ 0.2 \\" in text
    assert r"\begin{tabular}{llr}" in text
