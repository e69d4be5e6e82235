from typing import Any

import numpy as np
import pytest
from looking import assert_equivariant, config, evidence, examples, find

from oilwater_jax.defenses.base_gradient import METHOD, Gradients, cosines, gradients
from oilwater_jax.errors import UserError


def scores(rng, label, direction) -> dict[str, Any]:
    n = len(label)
    logits = rng.normal(size=(n, 2))
    return {"logits": logits, "features": direction + 0.3 * rng.normal(size=direction.shape)}


def problem(n=80, m=60, seed=0):
    """Class 1 has a minority (attribute 1) with features of its own, in train (8) and base (10); 3 poisons."""
    rng = np.random.default_rng(seed)
    axes = np.eye(5)
    label, own = np.arange(n) % 2, np.arange(m) % 2
    at = axes[label].copy()
    at[1:17:2] = axes[2]
    at[20:26:2] = axes[3]
    base_at, attribute = axes[own].copy(), np.zeros(m, int)
    base_at[1:21:2], attribute[1:21:2] = axes[2], 1
    return evidence(
        label,
        **scores(rng, label, at),
        base=examples(own, attribute=attribute),
        base_scores=scores(rng, own, base_at),
    )


def slow_gradient(logits, features, label):
    p = np.exp(logits) / np.exp(logits).sum()
    p[label] -= 1
    return np.outer(p, features).ravel()


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


@pytest.mark.parametrize("by", ["class", "group"])
def test_equals_the_slow_loop(by):
    look = problem()
    found = find(METHOD, config(METHOD, by=by), look)
    base = np.array(
        [slow_gradient(*one) for one in zip(*look.base_scores.values(), look.base.label, strict=True)]
    )
    base /= np.linalg.norm(base, axis=1, keepdims=True)
    for i in (0, 1, 2, 20, 31):
        g = slow_gradient(look.scores["logits"][i], look.scores["features"][i], look.label[i])
        own = look.base.label == look.label[i]
        kinds = [own & (look.base.attribute == a) for a in (0, 1)] if by == "group" else [own]
        best = max(cosine(g, base[kind].mean(0)) for kind in kinds if kind.any())
        np.testing.assert_allclose(found.arrays["suspicion"][i], 1 - best, rtol=1e-9)


def test_leaves_a_base_sample_out_of_its_own_mean():
    rng = np.random.default_rng(0)
    own = gradients(
        {"logits": rng.normal(size=(4, 3)), "features": rng.normal(size=(4, 2))}, np.array([0, 1, 2, 0])
    )
    whole = np.array([np.outer(e, f).ravel() for e, f in zip(*own, strict=True)])
    for i in range(4):
        rest = whole[np.arange(4) != i].mean(0)
        np.testing.assert_allclose(cosines(own, own, np.ones(4))[i], cosine(whole[i], rest))


def test_edge_cases_of_the_cosine():
    one = Gradients(np.array([[1.0, 0]]), np.array([[1.0, 0]]))
    none = Gradients(np.zeros((1, 2)), np.array([[1.0, 0]]))
    assert cosines(none, one).tolist() == [1]
    assert cosines(one, one, np.ones(1)).tolist() == [0]
    back = Gradients(-one.error, one.features)
    assert cosines(one, back).tolist() == [-1]


def test_a_well_learned_sample_keeps_its_direction():
    sure = gradients({"logits": np.array([[80.0, 0]]), "features": np.array([[3.0, 4]])}, np.array([0]))
    np.testing.assert_allclose(sure.error, [[-(0.5**0.5), 0.5**0.5]])
    np.testing.assert_allclose(sure.features, [[0.6, 0.8]])


def test_by_group_spares_the_minority_that_the_base_set_has():
    # by class, the null has the minority in it, and poisons hide behind it
    wide = find(METHOD, config(METHOD), problem())
    close = find(METHOD, config(METHOD, by="group"), problem())
    assert close.arrays["flagged"][[20, 22, 24]].sum() > wide.arrays["flagged"][[20, 22, 24]].sum()
    assert close.arrays["flagged"][1:17:2].sum() <= 2
    assert close.arrays["suspicion"][1:17:2].mean() < wide.arrays["suspicion"][1:17:2].mean()


def test_what_the_base_set_lacks_is_said():
    small = find(METHOD, config(METHOD), problem(m=10))
    assert not small.arrays["flagged"].any()
    assert any("10 base samples cannot tell" in one for one in small.warnings)
    look = problem()
    logits = np.concatenate([look.scores["logits"], np.zeros((80, 1))], axis=1)
    base_logits = np.concatenate([look.base_scores["logits"], np.zeros((60, 1))], axis=1)
    three = look._replace(
        label=np.where(np.arange(80) > 70, 2, look.label).astype(np.int32),
        scores=look.scores | {"logits": logits},
        base_scores=look.base_scores | {"logits": base_logits},
        n_classes=3,
    )
    found = find(METHOD, config(METHOD), three)
    assert "no sample of class 2" in found.warnings[0]
    assert not found.arrays["flagged"][71:].any()


def test_permutation():
    assert_equivariant(METHOD, config(METHOD), problem())


def test_what_is_not_finite_is_refused():
    look = problem()
    look.scores["logits"][0, 0] = np.nan
    with pytest.raises(UserError, match="base_gradient"):
        find(METHOD, config(METHOD), look)
