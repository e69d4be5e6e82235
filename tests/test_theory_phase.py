"""The phase diagram's figures, and what its last panel searches."""

import numpy as np
import pytest

from oilwater_jax.theory.amplification import amplified
from oilwater_jax.theory.figures import figures
from oilwater_jax.theory.model import MIN, POI, Model, erm, margins
from oilwater_jax.theory.phase import best_rules, phase, signs

DEFAULTS = Model()


@pytest.fixture(scope="module")
def found():
    return phase(DEFAULTS, thresholds=4)


def test_shares_of_the_plane(found):
    shares = {name: round(100 * float(mask.mean())) for name, mask in signs(found).items()}
    assert shares == {"both": 61, "asr_only": 26, "wga_only": 5, "neither": 8}


def test_who_is_flagged_more_is_who_is_harder_everywhere(found):
    difference = found.flagged[..., POI] - found.flagged[..., MIN]
    np.testing.assert_array_equal(np.sign(difference), np.sign(found.auroc - 0.5))


def test_overshooting_above_a_minority_share_of_some_17_per_cent(found):
    """Lambda 50 makes a minority of that size the majority: the former majority is then the worst group."""
    raised = found.wga_jtt - found.wga > 0.01
    for budget, share in ((1e-4, 0.17), (0.015, 0.10), (0.11, 0.06)):
        column = np.argmin(np.abs(found.beta - budget))
        assert found.share[~raised[:, column]].min() == pytest.approx(share, abs=0.01)


def test_a_point_is_the_models_own(found):
    row, column = 20, 30
    model = DEFAULTS._replace(beta=float(found.beta[column]), p=float(1 - found.share[row]))
    w = erm(model)
    after = figures(model, amplified(model, w))
    assert found.auroc[row, column] == pytest.approx(figures(model, w).auroc, abs=1e-12)
    assert (found.wga_jtt[row, column], found.asr_jtt[row, column]) == pytest.approx((after.wga, after.asr))


def test_best_rules_are_the_best_of_a_loop():
    line = DEFAULTS._replace(beta=np.array([1e-3, 0.01, 0.2]))
    w, thresholds = erm(line), 5
    tail, band = best_rules(line, w, thresholds=thresholds)
    for at, beta in enumerate(line.beta):
        model = DEFAULTS._replace(beta=float(beta))
        mean = margins(model, w[at])
        sd = np.linalg.norm(w[at])
        cuts = [-np.inf, *np.linspace(mean.min() - 3 * sd, mean.max() + sd, thresholds)]
        rules = [(low, high) for low in cuts for high in cuts if low < high] + [(-np.inf, -np.inf)]
        tried = {rule: figures(model, amplified(model, w[at], low=rule[0], high=rule[1])) for rule in rules}
        allowed = {rule: one.wga for rule, one in tried.items() if one.asr <= 0.1}
        tails = [wga for rule, wga in allowed.items() if rule[0] == -np.inf]
        np.testing.assert_allclose(band[at], max(allowed.values(), default=np.nan), atol=1e-9)
        np.testing.assert_allclose(tail[at], max(tails, default=np.nan), atol=1e-9)


def test_more_thresholds_never_lose_what_nobody_flagged_has():
    line = DEFAULTS._replace(beta=np.geomspace(1e-4, 0.01, 5))
    w = erm(line)
    tail, band = best_rules(line, w, thresholds=8)
    plain = figures(line, w)
    kept = plain.asr <= 0.1
    assert (tail[kept] >= plain.wga[kept] - 1e-12).all()
    assert (band[kept] >= tail[kept]).all()
