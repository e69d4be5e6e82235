"""Advantage of upper tails, half-lines, bands and fixed rules; radii, nulls, the probit law, the unknown attack."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri
from scipy.stats import binomtest, ks_2samp

from oilwater_jax.intervals import clopper_pearson
from oilwater_jax.study import advantage as study
from oilwater_jax.study.advantage import Advantage, advantage, difference, minimax, permuted, radius
from oilwater_jax.study.auroc import auroc
from oilwater_jax.study.rules import cross_fitted, threshold
from oilwater_jax.theory.amplification import flagged_moments
from oilwater_jax.theory.figures import figures
from oilwater_jax.theory.model import MIN, POI, Model, erm, margins

FEW = st.lists(st.integers(0, 5), min_size=1, max_size=12).map(lambda xs: np.array(xs, float))


def kolmogorov_smirnov(first, second) -> Any:
    return ks_2samp(first, second, method="asymp")[0]


def recall(scores, low, high):
    return np.mean((scores > low) & (scores <= high))


@pytest.mark.filterwarnings("ignore:divide by zero")  # ks_2samp's own p-value
@settings(max_examples=60)
@given(FEW, FEW)
def test_the_figures_are_the_best_of_all_rules(first, second):
    cuts = [-np.inf, *np.unique(np.concatenate([first, second])), np.inf]
    gains = [
        (low, high, recall(first, low, high) - recall(second, low, high))
        for low in cuts
        for high in cuts
        if low <= high
    ]
    found = advantage(first, second)
    assert found.upper == pytest.approx(max(gain for low, high, gain in gains if high == np.inf), abs=1e-12)
    assert found.half_lines == pytest.approx(
        max(abs(gain) for low, high, gain in gains if np.inf in (-low, high)), abs=1e-12
    )
    assert found.band == pytest.approx(max(abs(gain) for _, _, gain in gains), abs=1e-12)
    lower = max(gain for low, _, gain in gains if low == -np.inf)
    assert found.dominance == pytest.approx(-lower, abs=1e-12)
    assert found.half_lines == pytest.approx(kolmogorov_smirnov(first, second), abs=1e-12)


def test_edge_cases():
    same = np.arange(5.0)
    assert advantage(same, same) == Advantage(0, 0, 0, 0)
    assert advantage(same + 10, same) == Advantage(1, 1, 1, 0)
    assert advantage(same - 10, same) == Advantage(0, 1, 1, -1)
    assert advantage(np.zeros(3), np.zeros(4)) == Advantage(0, 0, 0, 0)
    assert advantage(np.ones(1), np.zeros(1)).upper == 1
    np.testing.assert_allclose(difference(np.array([1.0, 2.0]), np.array([2.0, 3.0])), [0, 0.5, 0.5, 0])
    with pytest.raises(ValueError, match="0 and 3 samples"):
        advantage(np.zeros(0), np.zeros(3))
    with pytest.raises(ValueError, match="3 and 0 samples"):
        permuted(np.zeros(3), np.zeros(0), np.random.default_rng(0))


def test_auroc_is_not_enough():
    """Half of the poisons far below, half far above: AUROC 1/2, and a band tells all."""
    rng = np.random.default_rng(0)
    poison = np.concatenate([rng.normal(-6, 0.1, 500), rng.normal(6, 0.1, 500)])
    minority = rng.normal(size=1000)
    found = advantage(poison, minority)
    assert auroc(poison, minority) == pytest.approx(0.5, abs=0.01)
    assert found.half_lines == pytest.approx(0.5, abs=0.01)
    assert found.band == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("value", "low", "high", "normal"), [(0.96, 0.72, 0.92, 0.78), (0.85, 0.45, 0.70, 0.54)]
)
def test_what_an_auroc_allows(value, low, high, normal):
    for one in (value, 1 - value):
        assert study.from_auroc(one) == pytest.approx((low, high, normal), abs=0.005)


@settings(max_examples=60)
@given(FEW, FEW)
def test_no_sample_breaks_the_aurocs_bound(first, second):
    assert advantage(first, second).half_lines >= study.from_auroc(auroc(first, second)).low - 1e-12


def test_aurocs_that_say_nothing_and_all():
    assert study.from_auroc(0.5) == pytest.approx((0, 0, 0))
    assert study.from_auroc(1.0) == pytest.approx((1, 1, 1))
    with pytest.raises(ValueError, match=r"auroc = 1\.2 is outside"):
        study.from_auroc(1.2)


def test_radii_at_waterdigits_sizes():
    assert radius(47, 56) == pytest.approx(0.41, abs=0.005)
    assert radius(47, 56, asymptotic=True) == pytest.approx(0.27, abs=0.005)
    with pytest.raises(ValueError, match=r"alpha = 0.1"):
        radius(47, 56, alpha=0.1, asymptotic=True)


@pytest.mark.parametrize("apart", [0.0, 0.5, 1.5])
def test_radii_cover(apart):
    rng = np.random.default_rng(0)
    truth = 2 * ndtr(apart / 2) - 1
    misses = np.array(
        [
            abs(advantage(rng.normal(apart, 1, 47), rng.normal(0, 1, 56)).half_lines - truth)
            for _ in range(300)
        ]
    )
    assert (misses <= radius(47, 56)).mean() == 1
    assert (misses <= radius(47, 56, asymptotic=True)).mean() >= 0.93


def test_the_plug_in_of_equal_sets_is_the_nulls_mean():
    rng = np.random.default_rng(0)
    plug_in = np.mean([advantage(rng.normal(size=47), rng.normal(size=56)).half_lines for _ in range(300)])
    null = permuted(rng.normal(size=47), rng.normal(size=56), rng).null
    assert plug_in == pytest.approx(0.16, abs=0.01)
    assert null.half_lines == pytest.approx(0.16, abs=0.01)
    assert null.upper < null.half_lines < null.band


def test_p_values_are_level_and_find_a_difference():
    rng = np.random.default_rng(0)
    level = [permuted(rng.normal(size=20), rng.normal(size=30), rng, permutations=99).p for _ in range(200)]
    for at in range(4):
        assert np.mean([p[at] <= 0.1 for p in level]) == pytest.approx(0.1, abs=0.05)
    found = permuted(rng.normal(1.5, 1, 47), rng.normal(size=56), rng).p
    assert found.upper == found.half_lines == 0.002  # 1 of 500
    assert found.dominance > 0.5  # the poisons are nowhere the lower
    reverse = permuted(rng.normal(size=56), rng.normal(1.5, 1, 47), rng).p
    assert reverse.dominance == 0.002
    assert reverse.upper > 0.5


def test_permutations_by_hand():
    """Of the 6 ways to share four scores, 1 puts both of the first set on top."""
    found = permuted(np.array([3.0, 4.0]), np.array([1.0, 2.0]), np.random.default_rng(0), permutations=6000)
    assert found.p.upper == pytest.approx(1 / 6, abs=0.02)
    assert found.p.half_lines == pytest.approx(2 / 6, abs=0.02)
    assert found.p.dominance == pytest.approx(1, abs=1e-9)
    assert permuted(np.zeros(3), np.zeros(3), np.random.default_rng(0)).p == Advantage(1, 1, 1, 1)


@pytest.mark.parametrize(
    ("k", "n", "low", "high"), [(0, 5, 0, 0.52), (1, 5, 0.01, 0.72), (0, 8, 0, 0.37), (6, 8, 0.35, 0.97)]
)
def test_exact_intervals_of_proportions(k, n, low, high):
    found = clopper_pearson(k, n)
    assert found == pytest.approx((low, high), abs=0.005)
    theirs = binomtest(k, n).proportion_ci()
    assert found == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    with pytest.raises(ValueError, match="9 of 8 is not a proportion"):
        clopper_pearson(9, 8)


def test_a_rule_fixed_beforehand():
    first, second = np.arange(50) < 45, np.arange(60) < 6
    found = study.rule_bound(first, second)
    assert found.value == pytest.approx(0.8)
    assert found.low == pytest.approx(
        binomtest(45, 50).proportion_ci().low - binomtest(6, 60).proportion_ci().high
    )
    assert study.rule_bound(first[:1], second[:1]).low == pytest.approx(0.025 - 1)


def test_the_threshold_is_the_best_upper_tail():
    rng = np.random.default_rng(0)
    first, second = rng.normal(1, 1, 40), rng.normal(0, 1, 60)
    cut = threshold(first, second)
    assert (first >= cut).mean() - (second >= cut).mean() == pytest.approx(advantage(first, second).upper)
    assert threshold(np.zeros(3), np.ones(3)) == np.inf


def test_a_cross_fitted_rule_finds_what_no_single_score_shows_and_its_bound_holds():
    rng = np.random.default_rng(0)
    is_first = np.arange(110) < 50
    values, lows = [], []
    for _ in range(40):
        common = 3 * rng.normal(size=110)
        scores = np.stack([common + is_first, common, rng.normal(size=110)], axis=1)
        scores[:, :2] += 0.5 * rng.normal(size=(110, 2))
        found = cross_fitted(scores, is_first, rng)
        values.append(found.value)
        lows.append(found.low)
    truth = 2 * ndtr(1 / np.sqrt(0.5) / 2) - 1  # the difference of two scores: 1 apart, variance 1/2
    assert 0.3 < np.mean(values) < truth  # of samples that it has not seen, never more
    assert np.mean(np.array(lows) <= truth) >= 0.95
    with pytest.raises(ValueError, match="a set of 1 samples"):
        cross_fitted(np.zeros((5, 2)), np.arange(5) < 1, rng)


def test_a_cross_fitted_rule_on_noise_finds_nothing():
    rng = np.random.default_rng(0)
    found = [cross_fitted(rng.normal(size=(100, 5)), np.arange(100) < 40, rng) for _ in range(40)]
    assert abs(np.mean([one.value for one in found])) < 0.05
    assert max(one.low for one in found) <= 0.1


def test_the_probit_law_is_the_models():
    model = Model()
    w = erm(model)
    own = figures(model, w)
    law = study.probit_law(float(own.minority), float(own.asr))
    assert law == pytest.approx((own.d_prime, own.auroc, own.tv), abs=1e-9)
    assert study.probit_law(0.4, 0.4) == (0, 0.5, 0)  # the loss tells nothing
    assert 0 < study.smoothed(0, 8) < study.smoothed(8, 8) < 1


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
def test_what_keeping_the_minority_costs(kept):
    """Half-lines {loss <= c}: r_poi = Phi(z(r_min) - d'), and by Theorem 9 at least r_min - TV."""
    model = Model()
    w = erm(model)
    law = study.probit_law(float(figures(model, w).minority), float(figures(model, w).asr))
    cut = margins(model, w)[MIN] - np.linalg.norm(w) * ndtri(kept)
    share = flagged_moments(model, w, float(cut), np.inf).share
    assert share[MIN] == pytest.approx(kept)
    assert share[POI] == pytest.approx(ndtr(ndtri(kept) - law.d_prime))
    assert share[POI] >= kept - law.tv


def bins(mean):
    """A unit normal's shares of 400 bins from -6 to 6."""
    edges = np.linspace(-6, 6, 401)
    return np.diff(ndtr(np.concatenate([[-np.inf], edges[1:-1], [np.inf]]) - mean))


def test_numbers_of_the_unknown_attack():
    minority = bins(0.0)
    for means, value in (
        ((1.63,), 0.585),
        ((-1.2,), 0.451),
        ((1.63, -1.2), 0.349),
        ((1.63, -1.2, 0.2), 0.052),
    ):
        found = minimax(minority, np.stack([bins(mean) for mean in means]))
        assert found.value == pytest.approx(value, abs=0.001)
        assert abs(found.gap) < 1e-9
        assert found.mixture.sum() == pytest.approx(1)
        assert ((found.rule >= -1e-12) & (found.rule <= 1 + 1e-12)).all()


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(2, 8))
def test_the_unknown_attack_is_never_easier_than_the_known(seed, attacks, size):
    rng = np.random.default_rng(seed)
    minority, others = rng.dirichlet(np.ones(size)), rng.dirichlet(np.ones(size), attacks)
    found = minimax(minority, others)
    single = [0.5 * np.abs(minority - one).sum() for one in others]
    assert -1e-9 <= found.value <= min(single) + 1e-9
    assert found.value == pytest.approx(min((minority - one) @ found.rule for one in others), abs=1e-9)
    mixed = found.mixture @ others
    assert found.value == pytest.approx(0.5 * np.abs(minority - mixed).sum(), abs=1e-9)


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(2, 6))
def test_minorities_of_their_own(seed, attacks, size):
    """Rows of P_i as any other linear program: a grid of mixtures is never below the value, a rule's worst is it."""
    rng = np.random.default_rng(seed)
    minorities, others = rng.dirichlet(np.ones(size), (2, attacks))
    found = minimax(minorities, others)
    gains = minorities - others
    assert found.value == pytest.approx((gains @ found.rule).min(), abs=1e-9)
    assert found.value == pytest.approx(np.maximum(found.mixture @ gains, 0).sum(), abs=1e-9)
    mixtures = rng.dirichlet(np.ones(attacks), 200)
    assert found.value <= np.maximum(mixtures @ gains, 0).sum(axis=1).min() + 1e-9
    same = minimax(np.tile(minorities[0], (attacks, 1)), others)
    assert same.value == pytest.approx(minimax(minorities[0], others).value, abs=1e-9)


def test_shares_of_bins_and_what_is_no_share():
    found = study.shares(np.array([0.0, 1.0, 1.0, 5.0]), np.array([1.0, 2.0]))
    np.testing.assert_allclose(found, [0.25, 0.5, 0.25])
    with pytest.raises(ValueError, match=r"sum to 1, not to 0.7"):
        minimax(np.array([0.5, 0.2]), np.array([[0.5, 0.5]]))
