"""Critical budgets: roots, their formulas for rare poison, and where there is none."""

import numpy as np
import pytest
from hypothesis import given, settings
from theory_settings import MODELS, many

from oilwater_jax.theory import budgets as theory
from oilwater_jax.theory.budgets import budgets, first_crossing
from oilwater_jax.theory.figures import figures
from oilwater_jax.theory.model import Model, erm, flow, parts

DEFAULTS = Model()


@pytest.mark.parametrize(("t", "easier"), [(np.inf, 0.036258), (0.3, 0.071142), (0.1, 0.113770)])
def test_from_which_budget_a_poison_is_easier(t, easier):
    assert budgets(DEFAULTS, t).easier == pytest.approx(easier, abs=1e-6)


def test_formulas_for_rare_poison():
    found = budgets(DEFAULTS)
    expected = 0.153846, 0.037756, 0.042790
    np.testing.assert_allclose(found[2:], expected, atol=1e-6)
    assert found.half == pytest.approx(0.0406, abs=1e-4)


@pytest.mark.parametrize(
    ("changed", "off", "within"),
    [({}, 0.04, 0.005), ({"tau": 8.0}, 0.01, 0.005), ({"tau": 3.0, "p": 0.6}, 0.48, 0.02)],
)
def test_how_far_the_formula_for_rare_poison_is_off(changed, off, within):
    found = budgets(DEFAULTS._replace(**changed))
    assert abs(found.easier_late / found.easier - 1) == pytest.approx(off, abs=within)


def test_the_formula_is_the_one_of_the_specification():
    model = many(500)
    q, noise = 2 * model.p - 1, (model.sigma / model.mu_s) ** 2
    late = 2 * model.mu_c**2 / model.tau**2 * (1 - q**2 + noise) / (1 + q + noise)
    np.testing.assert_allclose(theory.late(model), late, rtol=1e-10)
    assert (late[model.p > 0.5] < (2 * model.mu_c**2 / model.tau**2)[model.p > 0.5]).all()
    rarer = model._replace(p=np.minimum(model.p + 0.004, 0.999))
    assert (theory.late(rarer) < late).all()


def test_the_budget_of_early_training_is_exact():
    model = many(500)
    at = model._replace(beta=theory.early(model))
    core, _, trigger = parts(at, flow(at, 1e-9))
    np.testing.assert_allclose(2 * core, trigger, rtol=1e-6)


@settings(max_examples=25)
@given(MODELS)
def test_at_the_root_the_loss_tells_nothing_and_the_attack_wins_every_second_time(model):
    found = budgets(model)
    if np.isfinite(found.easier):
        at = model._replace(beta=found.easier)
        assert figures(at, erm(at)).auroc == pytest.approx(0.5, abs=1e-8)
    if np.isfinite(found.half):
        at = model._replace(beta=found.half)
        assert figures(at, erm(at)).asr == pytest.approx(0.5, abs=1e-8)


def test_corollary_3_for_rare_poison():
    model = many(2000)
    core, spurious, _ = theory.rare(model)
    clear = np.abs(core - spurious) > 1e-9
    assert ((theory.late(model) >= theory.half_rare(model)) == (core - spurious >= 0))[clear].all()


def test_no_such_budget():
    without = budgets(DEFAULTS._replace(tau=0.0))
    assert np.isnan(without.easier)
    assert np.isinf(without.easier_late)
    assert np.isinf(without.half_rare)
    assert np.isnan(budgets(DEFAULTS._replace(tau=0.5)).easier)
    trained = np.array([0.0, 0.0, 1.0])  # a start that fits the trigger and nothing else
    assert budgets(DEFAULTS, 1e-3, trained).easier == 0
    assert first_crossing(lambda beta: 0.2 - beta) == pytest.approx(0.2)
    assert np.isnan(first_crossing(lambda beta: 1 - beta))
    assert first_crossing(lambda beta: beta - 1) == 0
