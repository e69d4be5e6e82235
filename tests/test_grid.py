from oilwater_jax.reporting.grid import latex


def test_latex_is_escaped():
    text = latex(["run", "training", "a_b"], [["x_1", "y", "1.0 ± 0.2"]])
    assert r"x\_1 & y & 1.0 $\pm$ 0.2 \\" in text
    assert r"\begin{tabular}{llr}" in text
