import numpy as np
import pytest
from looking import assert_equivariant, config, evidence, examples, find

from oilwater_jax.defenses.strip import METHOD, blended, entropy
from oilwater_jax.errors import UserError


def network(image, wanted):
    """Two classes by brightness, unless the corner pixel is bright: then class 1 for sure."""
    x = np.asarray(image, np.float64) / 255
    logit = 4 * (x.mean(axis=(1, 2, 3)) - 0.5) + 40 * np.maximum(x[:, 0, 0, 0] - 0.4, 0)
    return {"logits": np.stack([np.zeros(len(x)), logit], 1).astype(np.float32)}


def problem(n=40, m=30, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (n, 3, 3, 3), np.uint8)
    base = rng.integers(0, 256, (m, 3, 3, 3), np.uint8)
    image[:, 0, 0], base[:, 0, 0] = 0, 0
    image[:3, 0, 0] = 255  # a trigger
    label = np.arange(n) % 2
    own = examples(np.arange(m) % 2, image=base)
    return evidence(label, base=own, image=image, score=network)


def test_entropy_by_hand_and_of_sure_predictions():
    np.testing.assert_allclose(entropy(np.zeros((1, 4))), np.log(4))
    p = np.array([0.25, 0.75])
    np.testing.assert_allclose(entropy(np.log(p)[None]), -np.sum(p * np.log(p)))
    np.testing.assert_allclose(entropy(np.array([[0.0, 1e4]])), 0, atol=1e-12)


def test_blends_by_hand():
    image = np.array([[[[0, 100, 255]]]], np.uint8)
    other = np.array([[[255, 100, 0]]], np.uint8)
    assert blended(image, other, 0.25).tolist() == [[[[64, 100, 191]]]]
    assert blended(image, other, 0.25).dtype == np.uint8
    np.testing.assert_array_equal(blended(image, other, 0.0), image)
    np.testing.assert_allclose(blended(np.ones((1, 2), np.float32), np.zeros(2, np.float32), 0.5), 0.5)


def test_equals_the_slow_loop():
    look = problem()
    found = find(METHOD, config(METHOD, blends=99), look)
    assert found.figures == {"blends": 30}
    for i in (0, 7):
        mixes = np.stack([np.rint(0.5 * look.image[i].astype(float) + 0.5 * b) for b in look.base.image])
        logits = network(mixes.astype(np.uint8), ())["logits"].astype(float)
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        np.testing.assert_allclose(found.arrays["suspicion"][i], np.mean(np.sum(p * np.log(p), 1)), rtol=1e-5)


def test_flags_the_triggered():
    found = find(METHOD, config(METHOD, blends=10), problem())
    assert found.arrays["flagged"][:3].all()
    assert found.arrays["flagged"].mean() < 0.4


def test_a_small_base_set_flags_nobody_and_says_so():
    for m in (8, 1):
        found = find(METHOD, config(METHOD), problem(m=m))
        assert not found.arrays["flagged"].any()
        assert f"{m if m > 1 else 0} base samples cannot tell" in found.warnings[0]
    assert any("no sample of class 1" in one for one in found.warnings)


def test_without_weight_nothing_is_blended():
    look = problem()
    found = find(METHOD, config(METHOD, weight=0.0, blends=3), look)
    np.testing.assert_allclose(found.arrays["suspicion"], -entropy(network(look.image, ())["logits"]))


def test_permutation():
    assert_equivariant(METHOD, config(METHOD, blends=10), problem())


def test_what_is_not_finite_is_refused():
    look = problem()._replace(score=lambda image, wanted: {"logits": np.full((len(image), 2), np.nan)})
    with pytest.raises(UserError, match="strip"):
        find(METHOD, config(METHOD), look)
