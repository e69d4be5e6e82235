import numpy as np
import pytest
from looking import assert_equivariant, config, evidence, examples, find

from oilwater_jax.defenses.base_loss import FOLDS, LEAST, METHOD, held_out, losses
from oilwater_jax.errors import UserError


def problem(n=80, m=60, seed=0, classes=(0, 1)):
    """Two classes on a line; the first three training samples carry the other label."""
    rng = np.random.default_rng(seed)
    label, own = np.arange(n) % 2, np.array(classes)[np.arange(m) % len(classes)]
    points = rng.normal(size=(n, 3)) + 5.0 * label[:, None]
    label[:3] = 1 - label[:3]
    base = rng.normal(size=(m, 3)) + 5.0 * own[:, None]
    return evidence(label, features=points, base=examples(own), base_scores={"features": base})


def slow_fit(points, label, strength):
    """Newton's method on the penalised loss of two classes."""
    z = (points - points.mean(0)) / points.std(0)
    x = np.concatenate([z, np.ones((len(z), 1))], 1)
    penalty = np.diag([1.0 / strength] * z.shape[1] + [0.0])
    w = np.zeros(x.shape[1])
    for _ in range(100):
        p = 1 / (1 + np.exp(-x @ w))
        w -= np.linalg.solve((x.T * (p * (1 - p))) @ x + penalty, x.T @ (p - label) + penalty @ w)
    return w


def test_equals_newtons_method():
    look = problem()
    base, own = look.base_scores["features"], look.base.label
    w = slow_fit(base, own, 0.5)
    points = (look.scores["features"] - base.mean(0)) / base.std(0)
    logit = points @ w[:3] + w[3]
    slow = np.log1p(np.exp(np.where(look.label == 1, -logit, logit)))
    np.testing.assert_allclose(
        losses(base, own, look.scores["features"], look.label, 0.5), slow, rtol=2e-2, atol=1e-3
    )


def test_flags_the_mislabelled():
    found = find(METHOD, config(METHOD), problem())
    assert found.arrays["flagged"][:3].all()
    assert found.arrays["flagged"][3:].mean() < 0.15
    assert found.warnings == ()


def test_held_out_models_have_not_seen_the_sample():
    look = problem(m=20)
    base, own = look.base_scores["features"], look.base.label
    loss = held_out(base, own, 1.0)
    rank = np.repeat(np.arange(10), 2)  # the classes alternate
    for one in range(FOLDS):
        out = rank % FOLDS == one
        np.testing.assert_allclose(loss[out], losses(base[~out], own[~out], base[out], own[out], 1.0))


def test_labels_that_no_base_sample_has():
    points = np.random.default_rng(0).normal(size=(6, 2))
    loss = losses(points, np.array([0, 0, 0, 2, 2, 2]), points, np.full(6, 1), 1.0)
    np.testing.assert_allclose(loss, -np.log(LEAST))
    one = losses(points, np.zeros(6, int), points, np.array([0, 0, 0, 1, 1, 1]), 1.0)
    np.testing.assert_allclose(one, [0, 0, 0] + [-np.log(LEAST)] * 3)


def test_what_the_base_set_lacks_is_said():
    one = find(METHOD, config(METHOD), problem(classes=(0,)))
    assert not one.arrays["flagged"].any()
    assert any("is of one class" in text for text in one.warnings)
    small = find(METHOD, config(METHOD), problem(m=10))
    assert not small.arrays["flagged"].any()
    assert "10 base samples cannot tell" in small.warnings[0]
    look = problem()
    base = examples(look.base.label, attribute=(np.arange(60) == 1).astype(int))
    lacking = find(METHOD, config(METHOD), look._replace(base=base))
    assert lacking.warnings == (
        "the base set has no sample of class 0 with attribute 1: such samples will look like poisons",
    )
    three = look._replace(label=np.where(np.arange(80) > 70, 2, look.label).astype(np.int32), n_classes=3)
    found = find(METHOD, config(METHOD), three)
    assert "no sample of class 2" in found.warnings[0]
    assert not found.arrays["flagged"][71:].any()


def test_permutation():
    assert_equivariant(METHOD, config(METHOD), problem())


def test_what_is_not_finite_is_refused():
    look = problem()
    look.base_scores["features"][0, 0] = np.nan
    with pytest.raises(UserError, match="base_loss"):
        find(METHOD, config(METHOD), look)
