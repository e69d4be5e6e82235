import numpy as np
import pytest
from showing import Looker, evidence, weights

from oilwater_jax.errors import UserError
from oilwater_jax.robustness.loss_band import band
from oilwater_jax.settings.config import checked, default

LOSS = np.array([0.1, 1.0, 2.0, 3.0, 4.0, 5.0, 0.2])
WRONG = np.array([False, True, True, True, True, True, False])


def test_by_hand():
    # Quantiles of 1, 2, 3, 4, 5: a quarter is 2, three quarters 4; strictly between is 3 alone.
    flagged, least, most = band(LOSS, WRONG, 0.25, 0.75)
    assert flagged.tolist() == [False, False, False, True, False, False, False]
    assert (least, most) == (2.0, 4.0)


def test_edge_cases():
    assert band(LOSS, WRONG, 0.0, 1.0)[0].tolist() == WRONG.tolist()  # JTT
    assert band(LOSS, WRONG, 0.0, 0.5)[0].tolist() == [False, True, True, False, False, False, False]
    assert band(LOSS, WRONG, 0.5, 1.0)[0].tolist() == [False, False, False, False, True, True, False]
    nobody, least, most = band(LOSS, np.zeros(7, bool), 0.2, 0.8)
    assert not nobody.any()
    assert (least, most) == (-np.inf, np.inf)
    assert not band(np.ones(7), WRONG, 0.1, 0.9)[0].any()
    assert band(np.ones(7), WRONG, 0.0, 1.0)[0].tolist() == WRONG.tolist()


def test_permuted_samples_permute_the_band():
    rng = np.random.default_rng(0)
    loss, wrong = rng.exponential(size=100), rng.uniform(size=100) < 0.4
    order = rng.permutation(100)
    np.testing.assert_array_equal(
        band(loss[order], wrong[order], 0.1, 0.7)[0], band(loss, wrong, 0.1, 0.7)[0][order]
    )


def test_the_band_is_drawn_lambda_up_times(examples):
    method = Looker("loss_band", {"loss_band.low": 0.25, "loss_band.lambda_up": 7.0})
    found = method.find(evidence(np.zeros(7), {"loss": LOSS, "correct": ~WRONG}))
    assert found.figures == {"band": [2.0, 4.0], "n_wrong": 5}
    treatment = method.treat(examples, {"flagged": np.arange(40) < 3})
    np.testing.assert_array_equal(weights(treatment, examples), np.where(np.arange(40) < 3, 7.0, 1.0))


def test_no_bound_is_no_number():
    method = Looker("loss_band", {"loss_band.low": 0.0, "loss_band.high": 1.0})
    assert method.find(evidence(np.zeros(7), {"loss": LOSS, "correct": ~WRONG})).figures["band"] == [
        None,
        None,
    ]


def test_a_band_without_width():
    with pytest.raises(UserError, match=r"loss_band.low = 0.8 must be less than loss_band.high = 0.75"):
        checked(default(), {"rows": ("loss_band",), "loss_band.low": 0.8})
