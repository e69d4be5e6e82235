"""The model's closed forms against linear algebra, its numbers, and its edge cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from theory_settings import MODELS, many

from oilwater_jax.theory import model as theory
from oilwater_jax.theory.budgets import attack_fails, poison_harder, rare
from oilwater_jax.theory.figures import auroc, figures
from oilwater_jax.theory.logistic import logistic
from oilwater_jax.theory.model import Model, closed_form, erm, flow, groups, margins, moments, parts, spread

DEFAULTS = Model()


def test_parts_and_figures_at_the_minimiser():
    w = erm(DEFAULTS)
    np.testing.assert_allclose(parts(DEFAULTS, w), (0.398060, 0.452987, 0.311715), atol=1e-6)
    found = figures(DEFAULTS, w)
    assert found.wga == pytest.approx(0.433647, abs=1e-6)
    assert found.majority == pytest.approx(0.995188, abs=1e-6)
    assert found.asr == pytest.approx(0.050426, abs=1e-6)
    assert found.untriggered == pytest.approx(0.004812, abs=1e-6)
    assert found.auroc == auroc(DEFAULTS, w) == pytest.approx(0.851299, abs=1e-6)
    assert found.d_prime == pytest.approx(1.473638, abs=1e-6)
    assert found.tv == pytest.approx(0.538768, abs=1e-6)
    assert found.asr_minority == pytest.approx(0.87, abs=0.005)  # "flips 87% of them"


@pytest.mark.parametrize(
    ("t", "wga", "asr", "ranked"),
    [
        (0.1, 0.121791, 0.002864, 0.870580),
        (0.3, 0.163998, 0.004874, 0.872016),
        (3, 0.425243, 0.046863, 0.853569),
    ],
)
def test_figures_along_the_flow(t, wga, asr, ranked):
    found = figures(DEFAULTS, flow(DEFAULTS, t))
    np.testing.assert_allclose((found.wga, found.asr, found.auroc), (wga, asr, ranked), atol=1e-6)


def test_the_closed_form_is_the_solved_system_in_2000_settings():
    model = many(2000)
    np.testing.assert_allclose(closed_form(model), parts(model, erm(model)), rtol=0, atol=1e-12)


@settings(max_examples=50)
@given(MODELS)
def test_one_setting_is_a_line_of_many(model):
    both = Model(*(np.array([field, field]) for field in model))
    np.testing.assert_allclose(flow(both, 0.7)[1], flow(model, 0.7), rtol=0, atol=1e-12)
    np.testing.assert_allclose(figures(both, erm(both)).asr, figures(model, erm(model)).asr, atol=1e-12)
    for one in (closed_form(model), parts(model, erm(model))):
        assert all(np.ndim(value) == 0 for value in one)


@settings(max_examples=50)
@given(MODELS, st.floats(0.01, 5))
def test_the_flow_solves_its_equation(model, t):
    found, step = moments(model), 1e-5
    start = np.array([0.3, 0.0, 0.0])
    slope = (flow(model, t + step, start) - flow(model, t - step, start)) / (2 * step)
    w = flow(model, t, start)
    scale = np.abs(found.second).max()
    np.testing.assert_allclose(slope, found.first - found.second @ w, atol=1e-6 * scale**3)
    np.testing.assert_allclose(flow(model, 1e6, start), erm(model), atol=1e-9)


def test_the_trigger_takes_up_its_share_of_the_residual_whatever_the_rest():
    """Only the trigger's row of S w = b is used: A_t = kappa (1 - E[y f0 | poi]), here f0 = core and spurious."""
    model = many(500)
    core, spurious, trigger = parts(model, erm(model))
    np.testing.assert_allclose(trigger, model.kappa * (1 + core + spurious), atol=1e-12)


def test_the_residual_of_a_group_is_its_dual_variable_over_its_weight():
    found = groups(DEFAULTS)
    gram = found.mean @ found.mean.T + DEFAULTS.sigma**2 * np.diag(1 / found.weight)
    alpha = np.linalg.solve(gram, np.ones(3))
    residual = 1 - margins(DEFAULTS, erm(DEFAULTS))
    np.testing.assert_allclose(residual, DEFAULTS.sigma**2 * alpha / found.weight, atol=1e-12)


def test_without_poison_and_without_trigger():
    clean = DEFAULTS._replace(beta=0.0)
    nearly = DEFAULTS._replace(beta=1e-12)
    assert closed_form(clean).trigger == 0
    np.testing.assert_allclose(closed_form(nearly), closed_form(clean), atol=1e-9)
    np.testing.assert_allclose(closed_form(clean)[:2], rare(DEFAULTS)[:2], atol=1e-15)
    untriggered = DEFAULTS._replace(tau=0.0)
    assert (untriggered.kappa, closed_form(untriggered).trigger, erm(untriggered)[2]) == (0, 0, 0)


def test_groups_in_balance_make_the_spurious_feature_useless():
    balanced = DEFAULTS._replace(p=0.5, beta=0.02)
    assert balanced.q == pytest.approx(balanced.beta)
    assert closed_form(balanced._replace(beta=1e-10)).spurious == pytest.approx(0, abs=1e-8)


def test_the_start_of_training_is_the_start():
    assert not flow(DEFAULTS, 0).any()
    start = np.array([0.4, 0.0, 0.0])
    np.testing.assert_allclose(flow(DEFAULTS, 0.0, start), start, atol=1e-15)
    assert np.isnan(figures(DEFAULTS, flow(DEFAULTS, 0)).wga)
    assert np.isnan(figures(DEFAULTS, flow(DEFAULTS, 0)).auroc)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("p", 0.0),
        ("p", 1.0),
        ("p", 1.2),
        ("beta", 1.0),
        ("beta", -0.1),
        ("sigma", -1.0),
        ("sigma", 0.0),
        ("mu_c", 0.0),
        ("mu_s", -2.0),
        ("tau", -1.0),
        ("lambda_up", 0.0),
        ("tau", float("nan")),
        ("mu_s", float("inf")),
        ("p", np.array([0.5, 1.5])),
    ],
)
def test_a_number_out_of_its_range_is_named(name, value):
    with pytest.raises(ValueError, match=f"^{name} = "):
        erm(DEFAULTS._replace(**{name: value}))


@pytest.mark.parametrize("t", [-1.0, float("nan")])
def test_a_time_before_the_start_is_refused(t):
    with pytest.raises(ValueError, match="must be 0 or above"):
        flow(DEFAULTS, t)


def test_who_is_harder_in_4000_settings():
    """(2), (3), Lemma 1, Proposition 4 and Corollary 3."""
    model = many(4000)
    w = erm(model)
    mean, found = margins(model, w), figures(model, w)
    gap = mean[:, theory.MIN] - mean[:, theory.POI]
    clear = np.abs(gap) > 1e-12
    assert ((gap >= 0) == poison_harder(model))[clear].all()
    assert ((found.auroc >= 0.5) == poison_harder(model))[clear].all()
    assert ((found.asr <= 0.5) == attack_fails(model))[np.abs(mean[:, theory.POI]) > 1e-12].all()
    fails_where_minority_is_learned = (found.asr <= 0.5) & (found.minority >= 0.5)
    assert fails_where_minority_is_learned.any()
    assert poison_harder(model)[fails_where_minority_is_learned].all()
    np.testing.assert_allclose(found.d_prime, gap / spread(model, w), atol=1e-12)


def test_logistic_loss_lies_on_the_same_side():
    rng = np.random.default_rng(1)
    same = 0
    for _ in range(60):
        model = Model(
            rng.uniform(0.5, 3),
            rng.uniform(0.5, 4),
            rng.uniform(1, 8),
            1.0,
            rng.uniform(0.5, 0.99),
            10 ** rng.uniform(-3, -0.7),
        )
        ours, theirs = (auroc(model, w) for w in (erm(model), logistic(model)))
        same += (ours > 0.5) == (theirs > 0.5)
        if (ours > 0.5) != (theirs > 0.5):
            assert abs(float(theirs) - 0.5) < 0.09
    assert same >= 58


def test_the_logistic_minimiser_beats_its_neighbours():
    w = logistic(DEFAULTS)
    rng = np.random.default_rng(0)
    found = groups(DEFAULTS)
    group = rng.choice(3, size=400_000, p=found.weight)
    v = found.mean[group] + rng.standard_normal((len(group), 3))

    def loss(weights):
        return np.logaddexp(0, -(v @ weights)).mean()

    assert all(loss(w + 0.3 * step) > loss(w) for step in (*np.eye(3), *-np.eye(3)))
