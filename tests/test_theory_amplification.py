"""Flagged moments, JTT in its modes, whole groups, Theorem 6, the window (6), Corollary 7, bands."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr
from theory_settings import MODELS, many

from oilwater_jax.theory import amplification as theory
from oilwater_jax.theory.amplification import amplified, flagged_moments, reweighted
from oilwater_jax.theory.figures import figures
from oilwater_jax.theory.model import MAJ, MIN, POI, Model, closed_form, erm, flow, groups, margins, moments

DEFAULTS = Model()
ENDS = st.tuples(st.floats(-2, 2), st.floats(0, 3)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def test_numbers_of_jtt():
    w = erm(DEFAULTS)
    np.testing.assert_allclose(flagged_moments(DEFAULTS, w).share, (0.004812, 0.566353, 0.949574), atol=1e-6)
    for mode, wga, asr in (
        ("standard", 0.790145, 0.917529),
        ("ideal", 0.880786, 0.049677),
        ("worst", 0.789658, 0.915482),
    ):
        found = figures(DEFAULTS, amplified(DEFAULTS, w, mode=mode))
        np.testing.assert_allclose((found.wga, found.asr), (wga, asr), atol=1e-6)


def test_numbers_of_the_group_level():
    w = erm(DEFAULTS)
    after = reweighted(DEFAULTS, flagged_moments(DEFAULTS, w).share)
    np.testing.assert_allclose((after.p, after.beta), (0.449544, 0.155285), atol=1e-6)
    found = figures(after, erm(after))
    np.testing.assert_allclose((found.wga, found.asr), (0.859000, 0.907347), atol=1e-6)


def test_the_window_at_a_minority_share_of_5_per_cent():
    np.testing.assert_allclose(theory.window_exact(DEFAULTS), (0.0014, 0.0406), atol=5e-5)
    np.testing.assert_allclose(theory.window(DEFAULTS), (0.0017, 0.0428), atol=5e-5)


def test_inside_the_window_amplification_turns_a_failing_attack():
    low, high = theory.window_exact(DEFAULTS)
    for beta, before, after in (
        (low * 0.99, False, False),
        (low * 1.01, False, True),
        (high * 1.01, True, True),
    ):
        model = DEFAULTS._replace(beta=beta)
        w = erm(model)
        assert (figures(model, w).asr > 0.5) == before
        assert (figures(model, amplified(model, w)).asr > 0.5) == after


def test_no_window_without_a_trigger():
    assert np.isnan(theory.window(DEFAULTS._replace(tau=0.0))).all()
    assert np.isnan(theory.window(DEFAULTS._replace(lambda_up=1.0))).sum() == 0
    low, high = theory.window(DEFAULTS._replace(lambda_up=1.0))
    assert low == pytest.approx(high)  # no amplification, no width


@settings(max_examples=50)
@given(MODELS, ENDS)
def test_flagged_moments_are_those_of_drawn_samples(model, ends):
    rng = np.random.default_rng(0)
    w, n = flow(model, 1.0), 40_000
    found, noise = flagged_moments(model, w, *ends), model.sigma * rng.standard_normal((n, 3))
    for g in range(3):
        v = groups(model).mean[g] + noise
        inside = (v @ w > ends[0]) & (v @ w <= ends[1])
        chosen = v * inside[:, None]
        size = np.abs(v).max()
        assert found.share[g] == pytest.approx(inside.mean(), abs=0.015)
        np.testing.assert_allclose(found.first[g], chosen.mean(axis=0), atol=0.015 * size)
        np.testing.assert_allclose(found.second[g], chosen.T @ v / n, atol=0.015 * size**2)


@settings(max_examples=50)
@given(MODELS, ENDS)
def test_intervals_add_up_to_the_whole(model, ends):
    w = erm(model)
    pieces = [flagged_moments(model, w, *one) for one in ((-np.inf, ends[0]), ends, (ends[1], np.inf))]
    whole = flagged_moments(model, w, -np.inf, np.inf)
    for parts_of, total in zip(zip(*pieces, strict=True), whole, strict=True):
        np.testing.assert_allclose(sum(parts_of), total, rtol=0, atol=1e-11 * (1 + np.abs(total).max()))
    np.testing.assert_allclose(whole.share, 1)
    np.testing.assert_allclose(whole.first, groups(model).mean, atol=1e-12)


@settings(max_examples=50)
@given(MODELS)
def test_lambda_1_nothing_and_everything_flagged_are_plain_training(model):
    w = erm(model)
    scale = 1e-9 * (1 + np.abs(w).max())
    np.testing.assert_allclose(amplified(model._replace(lambda_up=1.0), w), w, atol=scale)
    np.testing.assert_allclose(amplified(model, w, low=0.3, high=0.3), w, atol=scale)
    np.testing.assert_allclose(amplified(model, w, low=-np.inf, high=-np.inf), w, atol=scale)
    np.testing.assert_allclose(amplified(model, w, low=-np.inf, high=np.inf), w, atol=scale)


def test_an_interval_of_zero_width_flags_nothing():
    found = flagged_moments(DEFAULTS, erm(DEFAULTS), 0.2, 0.2)
    assert not any(part.any() for part in found)


def test_weights_of_zero_flag_all_or_nothing():
    still = np.zeros(3)
    assert (flagged_moments(DEFAULTS, still).share == 1).all()
    assert (flagged_moments(DEFAULTS, still, 0.1, 1.0).share == 0).all()
    np.testing.assert_allclose(flagged_moments(DEFAULTS, still).first, groups(DEFAULTS).mean)


def test_what_is_not_understood_is_refused():
    with pytest.raises(ValueError, match=r"low = 1.0 is above high = 0.0"):
        flagged_moments(DEFAULTS, erm(DEFAULTS), 1.0, 0.0)
    with pytest.raises(ValueError, match="mode = 'best' is unknown"):
        amplified(DEFAULTS, erm(DEFAULTS), mode="best")


def test_what_a_defence_has_left_is_all_that_is_amplified():
    """Poisons that are gone entirely are those of a model without them."""
    w, clean = erm(DEFAULTS), DEFAULTS._replace(beta=0.0)
    gone = theory.amplified_moments(DEFAULTS, flagged_moments(DEFAULTS, w), (1.0, 1.0, 0.0))
    never = theory.amplified_moments(clean, flagged_moments(clean, w))
    np.testing.assert_allclose(gone.second, never.second, atol=1e-12)
    np.testing.assert_allclose(gone.first, never.first, atol=1e-12)


def test_misclassified_poisons_are_those_on_which_the_attack_fails():
    """Proposition 5: one event, not two findings."""
    model = many(500)
    w = erm(model)
    share, found = flagged_moments(model, w).share, figures(model, w)
    np.testing.assert_allclose(share[:, POI] + found.asr, 1, atol=1e-12)
    np.testing.assert_allclose(share[:, MIN] + found.minority, 1, atol=1e-12)


def test_under_dominance_an_upper_tail_takes_the_poisons_first():
    """Lemma 1 and Corollary 7."""
    model = many(2000)
    w = erm(model)
    mean = margins(model, w)
    dominates = mean[:, POI] <= mean[:, MIN]
    for threshold in (-1.0, 0.0, 0.7):
        share = flagged_moments(model, w, -np.inf, threshold).share
        assert (share[dominates, POI] >= share[dominates, MIN]).all()
        amplifying = 1 + (model.lambda_up - 1)[:, None] * share
        assert (amplifying[dominates, POI] >= amplifying[dominates, MIN]).all()


@settings(max_examples=40)
@given(MODELS, st.floats(0.05, 0.95))
def test_what_the_minority_pays_for_the_poisons(model, removed):
    w = erm(model)
    mean, sd = margins(model, w), model.sigma * np.linalg.norm(w)
    threshold = mean[POI] + sd * float(theory.ndtri(removed))
    share = flagged_moments(model, w, -np.inf, threshold).share
    assert share[POI] == pytest.approx(removed, abs=1e-9)
    assert share[MIN] == pytest.approx(theory.minority_lost(removed, figures(model, w).d_prime), abs=1e-9)


@settings(max_examples=40)
@given(MODELS, ENDS)
def test_a_band_gains_at_most_the_total_variation(model, ends):
    w = erm(model)
    share, found = flagged_moments(model, w, *ends).share, figures(model, w)
    assert abs(share[MIN] - share[POI]) <= found.tv + 1e-12


def test_theorem_6_for_rare_poison():
    model = many(1000)._replace(beta=1e-10, p=np.random.default_rng(1).uniform(0.5, 0.99, 1000))
    q = 2 * model.p - 1
    np.testing.assert_allclose(figures(model, erm(model)).wga, theory.rare_wga(model, q), atol=1e-6)
    higher = q + 0.5 * (1 - q)
    assert (theory.rare_wga(model, higher) <= theory.rare_wga(model, q)).all()
    shares = np.random.default_rng(2).uniform(0, 1, (1000, 3))
    after = reweighted(model, shares)
    raised = figures(after, erm(after)).wga > figures(model, erm(model)).wga
    stays = (2 * after.p - 1 >= 0) & (np.abs(shares[:, MIN] - shares[:, MAJ]) > 1e-3)
    assert stays.sum() > 100
    assert (raised == (shares[:, MIN] > shares[:, MAJ]))[stays].all()


def test_the_attacks_index_is_its_success():
    """Rare poison: beta -> 0 with theta fixed, so the trigger is strong."""
    theta, beta = np.random.default_rng(0).uniform(0.05, 3, 300), 1e-9
    model = many(300)
    model = model._replace(beta=beta, tau=np.sqrt(theta / beta) * model.sigma)
    index = theory.asr_index(model, 2 * model.p - 1, theta)
    np.testing.assert_allclose(ndtr(index), figures(model, erm(model)).asr, atol=1e-5)


def test_window_6_at_the_group_level():
    """Inside it, and only there, the re-weighted groups' attack passes 1/2 and plain training's does not."""
    low, high = theory.window(DEFAULTS._replace(tau=450.0))
    for beta, turned in ((0.98 * low, False), (1.02 * low, True), (0.98 * high, True), (1.02 * high, False)):
        model = DEFAULTS._replace(tau=450.0, beta=beta)
        w = erm(model)
        after = reweighted(model, flagged_moments(model, w).share)
        assert ((figures(model, w).asr <= 0.5) & (figures(after, erm(after)).asr > 0.5)) == turned


def test_how_many_poisons_must_go():
    strong = DEFAULTS._replace(tau=450.0, beta=1e-6)  # rare, and in the window
    share = theory.removal_needed(strong)
    shares = flagged_moments(strong, erm(strong)).share
    for removed, passes in ((share - 0.01, True), (share + 0.01, False)):
        after = reweighted(strong, shares)
        left = after._replace(beta=after.beta * (1 - removed))
        assert (figures(left, erm(left)).asr > 0.5) == passes
    assert theory.removal_needed(DEFAULTS._replace(beta=1e-6)) == 0
    assert theory.removal_needed(DEFAULTS._replace(beta=0.0)) == 0


def test_ideal_and_worst_change_the_poisons_only():
    w = erm(DEFAULTS)
    found = flagged_moments(DEFAULTS, w)
    ideal, worst = (theory.by_mode(DEFAULTS, found, mode) for mode in ("ideal", "worst"))
    for part, one in zip(found, ideal, strict=True):
        np.testing.assert_array_equal(part[:POI], one[:POI])
        assert not one[POI].any()
    everything = flagged_moments(DEFAULTS, w, -np.inf, np.inf)
    for part, one in zip(everything, worst, strict=True):
        np.testing.assert_allclose(one[POI], part[POI], atol=1e-12)
    plain = theory.amplified_moments(DEFAULTS._replace(lambda_up=1.0), found)
    np.testing.assert_allclose(plain.second, moments(DEFAULTS).second, atol=1e-12)
    assert closed_form(DEFAULTS).core > 0
