import counting
import jax
import jax.flatten_util
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
    with pytest.raises(ValueError, match="the score 'loss' needs labels"):
        scorer(PARAMS, examples.image[:5], ("logits", "loss"))
    with pytest.raises(ValueError, match="no samples"):
        scorer(PARAMS, examples.image[:0], ("logits",))


def small_network(params, image):
    """Two layers, so that the gradient has leaves of several shapes."""
    features = jnp.tanh(image.reshape(len(image), -1) @ params["w"] + params["b"][None])
    return features @ params["head"], features


@pytest.fixture
def small_params():
    key = jax.random.split(jax.random.key(0), 3)
    shapes = {"w": (192, 5), "b": (5,), "head": (5, 2)}
    return {
        name: 0.3 * jax.random.normal(k, shape) for k, (name, shape) in zip(key, shapes.items(), strict=True)
    }


def prepare(image):
    return image / 255.0


def looped_gradients(params, examples):
    """Every sample's gradient, one jax.grad after the other."""

    def sample_loss(params, i):
        logits, _ = small_network(params, prepare(jnp.asarray(examples.image[i : i + 1])))
        return per_sample.loss(logits[0], jnp.int32(examples.label[i]))

    return [jax.grad(sample_loss)(params, i) for i in range(len(examples))]


def projection_matrix(projection, like):
    """The matrix [dim, p] of a projection, column by column, and how to flatten a gradient for it."""
    flat, unravel = jax.flatten_util.ravel_pytree(like)
    return np.asarray(jax.vmap(lambda e: projection(unravel(e)))(jnp.eye(len(flat)))).T


def test_gradient_scores_equal_a_loop_of_grad(examples, small_params, monkeypatch):
    monkeypatch.setitem(per_sample.GRADIENT_CHUNK, "cpu", 16)  # 40 samples: two chunks and a part
    monkeypatch.setattr(per_sample, "BLOCK", 100)  # 975 parameters: nine blocks and a part
    scorer = per_sample.make_scorer(small_network, prepare, chunk=16)
    got = scorer(small_params, examples, ("gradient_norm", "loss", "projected_gradient"))
    assert list(got) == ["gradient_norm", "loss", "projected_gradient"]
    flat = np.stack(
        [jax.flatten_util.ravel_pytree(g)[0] for g in looped_gradients(small_params, examples)]
    ).astype(float)
    np.testing.assert_allclose(got["gradient_norm"], np.linalg.norm(flat, axis=1), rtol=1e-5)
    matrix = projection_matrix(per_sample.Projection(), small_params).astype(float)
    np.testing.assert_allclose(np.abs(matrix), 1 / 8, rtol=1e-6)  # +-1/sqrt(64)
    np.testing.assert_allclose(got["projected_gradient"], flat @ matrix.T, atol=1e-5)


def test_projection_keeps_distances_as_its_bound_says():
    v = jax.random.normal(jax.random.key(5), (3000,)).at[0].set(40.0)  # one large entry among small ones
    exact = float(v @ v)
    bound = 2 / 64 * (exact**2 - float(jnp.sum(v**4)))
    # One projection to 64 x 100 dimensions is 100 projections to 64, but for the scale.
    entries = 10 * np.asarray(per_sample.Projection(6400)({"w": v}), float).reshape(100, 64)
    squared = (entries**2).sum(axis=1)
    assert abs(squared.mean() - exact) < 4 * np.sqrt(bound / 100)
    assert 0.5 * bound < squared.var() < 1.6 * bound


def test_projections_differ_by_seed_and_by_parameter():
    a, b = ({"a": jnp.ones(9) * at, "b": jnp.ones(9) * (1 - at)} for at in (0.0, 1.0))
    project = per_sample.Projection(40)  # more than one word of random bits
    assert project(a).shape == (40,)
    assert np.array_equal(project(a), per_sample.Projection(40, 0)(a))
    assert not np.array_equal(project(a), project(b))
    assert not np.array_equal(project(a), per_sample.Projection(40, 1)(a))


def test_scores_compile_once_and_pass_nan_through(examples, small_params):
    scorer = per_sample.make_scorer(small_network, prepare, chunk=16)
    names = ("loss", "gradient_norm", "projected_gradient")
    scorer(small_params, examples, names)
    broken = {**small_params, "b": small_params["b"] * jnp.nan}
    with counting.compilations() as compiled:
        one = scorer(small_params, examples.take(np.array([3])), names)
        ill = scorer(broken, examples, names)
    assert compiled == []
    assert one["projected_gradient"].shape == (1, 64)
    assert all(np.isnan(ill[name]).all() for name in names)


def test_gradient_chunk_fits_the_budget(small_params):
    size = 2 * 4 * (192 * 5 + 5 + 5 * 2)
    assert per_sample.gradient_chunk(small_params, budget=10 * size) == 10
    assert per_sample.gradient_chunk(small_params, budget=1) == 1
    assert per_sample.gradient_chunk(small_params) == 64
