import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st

from oilwater_jax import per_sample

LOGITS = st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=6)


@given(LOGITS, st.integers(0, 5))
def test_equal_to_the_slow_loops(logits, label):
    label %= len(logits)
    x, y = jnp.array(logits, jnp.float32), jnp.int32(label)
    assert float(per_sample.loss(x, y)) == pytest.approx(
        reference.cross_entropy(np.array(logits), label), abs=2e-5
    )
    assert float(per_sample.margin(x, y)) == pytest.approx(
        reference.margin(np.array(logits), label), abs=1e-5
    )
    np.testing.assert_allclose(
        per_sample.last_layer_gradient(x, y),
        reference.last_layer_gradient(np.array(logits), label),
        atol=1e-5,
    )


def test_golden_values():
    # softmax(0, ln 3) = (1/4, 3/4): loss of label 0 is ln 4, gradient (1/4 - 1, 3/4), margin -ln 3
    logits, label = jnp.array([0.0, np.log(3.0)], jnp.float32), jnp.int32(0)
    assert float(per_sample.loss(logits, label)) == pytest.approx(np.log(4))
    assert float(per_sample.margin(logits, label)) == pytest.approx(-np.log(3))
    np.testing.assert_allclose(per_sample.last_layer_gradient(logits, label), [-0.75, 0.75], atol=1e-6)
    assert not per_sample.correct(logits, label)
    assert per_sample.correct(jnp.zeros(2), label)  # of equal logits the first counts


def test_closed_form_is_the_gradient():
    logits, label = jnp.array([0.3, -1.0, 2.0]), jnp.int32(1)
    np.testing.assert_allclose(
        per_sample.last_layer_gradient(logits, label), jax.grad(per_sample.loss)(logits, label), atol=1e-6
    )


def linear(params, image):
    features = image.mean(axis=(1, 2))
    return features @ params, features


PARAMS = jnp.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])


@pytest.fixture
def scorer():
    return per_sample.make_scorer(linear, lambda image: image / 255.0, chunk=16)


def test_chunked_scores_equal_a_loop_over_samples(scorer, examples):
    got = scorer(PARAMS, examples, per_sample.NAMES)
    for i in range(len(examples)):
        logits, features = linear(PARAMS, jnp.asarray(examples.image[i : i + 1]) / 255.0)
        label = jnp.int32(examples.label[i])
        for name, one in per_sample.FROM_LOGITS.items():
            np.testing.assert_allclose(got[name][i], one(logits[0], label), atol=1e-6, err_msg=name)
        np.testing.assert_allclose(got["features"][i], features[0], atol=1e-6)


def test_permuting_samples_permutes_scores(scorer, examples):
    order = np.random.default_rng(3).permutation(len(examples))
    straight = scorer(PARAMS, examples, ("loss",))["loss"]
    np.testing.assert_allclose(
        scorer(PARAMS, examples.take(order), ("loss",))["loss"], straight[order], atol=1e-7
    )


def test_images_alone_have_logits_and_bad_requests_are_refused(scorer, examples):
    assert scorer(PARAMS, examples.image[:5], ("logits",))["logits"].shape == (5, 2)
    with pytest.raises(ValueError, match="unknown score 'los'; known: loss"):
        scorer(PARAMS, examples, ("los",))
    with pytest.raises(ValueError, match="no samples"):
        scorer(PARAMS, examples.image[:0], ("logits",))
