"""Isolation (7), beside EPIc's own verdicts."""

import numpy as np
import pytest
from scipy.special import expit
from theory_settings import many

from oilwater_jax.defenses.epic import keep
from oilwater_jax.theory.isolation import density, poison_more_isolated
from oilwater_jax.theory.logistic import logistic
from oilwater_jax.theory.model import MAJ, MIN, POI, Model, erm, groups, margins
from oilwater_jax.theory.sample import draw


def test_the_condition_is_the_order_of_the_densities_in_4000_settings():
    model = many(4000)
    w = erm(model)
    found = density(model, w)
    clear = np.abs(found[:, POI] - found[:, MIN]) > 1e-12
    assert ((found[:, POI] < found[:, MIN]) == poison_more_isolated(model, w))[clear].all()


def test_few_poisons_farther_out_stand_out_more():
    model = many(4000)
    w = erm(model)
    mean, weight = margins(model, w), groups(model).weight
    ordered = (mean[:, POI] <= mean[:, MIN]) & (mean[:, MIN] <= mean[:, MAJ])
    few = ordered & (weight[:, POI] <= weight[:, MIN]) & (mean[:, POI] < mean[:, MIN] - 1e-9)
    assert few.sum() > 100
    assert poison_more_isolated(model, w)[few].all()


def test_many_poisons_keep_each_other_company():
    model = many(40_000)
    w = erm(model)
    mean, weight = margins(model, w), groups(model).weight
    ordered = (mean[:, POI] < mean[:, MIN]) & (mean[:, MIN] < mean[:, MAJ])
    spared = ordered & ~poison_more_isolated(model, w)
    assert spared.sum() > 5
    assert (weight[spared, POI] > weight[spared, MIN]).all()


def test_the_density_is_a_mean_of_densities():
    model = Model()
    w = erm(model)
    sample = draw(model, 200_000, 0, np.random.default_rng(0))
    margin = sample.v @ w
    step = 0.02
    counts, edges = np.histogram(
        margin, np.arange(margin.min() - step, margin.max() + step, step), density=True
    )
    for g in range(3):
        own = margin[sample.group == g]
        assert counts[np.searchsorted(edges, own) - 1].mean() == pytest.approx(density(model, w)[g], rel=0.1)
    with np.errstate(all="ignore"):
        assert not np.isfinite(density(model, np.zeros(3))).any()


@pytest.mark.parametrize(
    ("beta", "eliminated"),
    [
        (0.003, (0.14, 0.67, 1.00)),
        (0.01, (0.13, 0.65, 0.82)),
        (0.03, (0.12, 0.58, 0.63)),
        (0.1, (0.11, 0.56, 0.30)),
    ],
)
def test_epic_eliminates_in_the_order_of_the_densities(beta, eliminated):
    """One round of the package's EPIc on 4,842 samples under logistic loss, three seeds."""
    model, found = Model(beta=beta), []
    w = logistic(model)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        sample = draw(model, 4842, 0, rng)
        label = rng.integers(0, 2, len(sample.group)).astype(np.int32)
        error = expit(-(sample.v @ w)) * np.where(label == 1, 1, -1)
        kept = keep(np.stack([error, -error], axis=1).astype(np.float32), label, ratio=0.3)
        found.append([1 - kept[sample.group == g].mean() for g in range(3)])
    share, near = np.mean(found, axis=0), density(model, w)
    poisons = 4842 * beta * len(found)
    np.testing.assert_allclose(share[:POI], eliminated[:POI], atol=0.05)
    assert share[POI] == pytest.approx(eliminated[POI], abs=0.05 + 0.5 / np.sqrt(poisons))
    for one, other in ((MAJ, MIN), (MAJ, POI), (MIN, POI)):
        if abs(np.log(near[one] / near[other])) > 0.1:  # apart by more than the draw
            assert (share[one] > share[other]) == (near[one] < near[other])
