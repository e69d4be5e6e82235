import os
import subprocess
import sys
import textwrap
from typing import Any

import counting
import flax.linen as nn
import jax
import jax.flatten_util
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import reference
import scipy.spatial.distance
from hypothesis import given
from hypothesis import strategies as st

from oilwater_jax import per_sample
from oilwater_jax.entries import Score
from oilwater_jax.errors import UserError
from oilwater_jax.models.cnn import CNN
from oilwater_jax.per_sample import chunks, convolution, projection

LOGITS = st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=6)


def entropy(logits, label):
    p = jax.nn.softmax(logits)
    return -jnp.sum(p * jnp.log(p))


def sum_of_squares(gradient):
    return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient))


def scores_of_mine(**names):
    return (
        Score(name=names.get("logits", "entropy"), help="a test's", figure=entropy),
        Score(name=names.get("gradient", "squares"), help="a test's", figure=sum_of_squares, of="gradient"),
    )


def test_scores_of_ones_own_stand_beside_the_built_in_ones(examples):
    """Of the logits and of the gradient; equal to a loop over the samples, and the built-in ones do not change."""
    plain, more = (
        per_sample.make_scorer(linear, lambda image: image / 255.0, 16, own) for own in ((), scores_of_mine())
    )
    names = ("loss", "entropy", "gradient_norm", "squares")
    got = more(PARAMS, examples, names)
    assert tuple(got) == names
    for i in range(len(examples)):
        image, label = jnp.asarray(examples.image[i : i + 1]) / 255.0, jnp.int32(examples.label[i])
        logits = linear(PARAMS, image)[0][0]
        p = np.exp(np.asarray(logits, float)) / np.exp(np.asarray(logits, float)).sum()
        assert got["entropy"][i] == pytest.approx(-(p * np.log(p)).sum(), rel=1e-4)
        own = jax.grad(lambda params: per_sample.loss(linear(params, image)[0][0], label))(PARAMS)  # noqa: B023
        assert got["squares"][i] == pytest.approx(float((own**2).sum()), rel=1e-4)
    same = plain(PARAMS, examples, ("loss", "gradient_norm"))
    for name, values in same.items():
        np.testing.assert_array_equal(got[name], values)
    with pytest.raises(ValueError, match=r"unknown score 'entropy'; known: .*"):
        plain(PARAMS, examples, ("entropy",))
    with pytest.raises(ValueError, match=r"unknown score 'entropi'; known: .*, entropy, squares"):
        more(PARAMS, examples, ("entropi",))


@pytest.mark.parametrize(
    ("of", "name"), [("logits", "loss"), ("gradient", "gradient_norm"), ("logits", "features")]
)
def test_a_score_of_ones_own_does_not_take_a_built_in_ones_name(of, name):
    with pytest.raises(UserError, match=f"the score '{name}' has a built-in score's name; give it another"):
        per_sample.make_scorer(linear, lambda image: image, 16, scores_of_mine(**{of: name}))


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


def projection_matrix(project, like):
    """The matrix [dim, p] of `project`, column by column, and how to flatten a gradient for it."""
    flat, unravel = jax.flatten_util.ravel_pytree(like)
    return np.asarray(jax.vmap(lambda e: project(unravel(e)))(jnp.eye(len(flat)))).T


def test_gradient_scores_equal_a_loop_of_grad(examples, small_params, monkeypatch):
    monkeypatch.setitem(chunks.GRADIENT_CHUNK, "cpu", 16)  # 40 samples: two chunks and a part
    monkeypatch.setattr(projection, "BLOCK", 100)  # 975 parameters: nine blocks and a part
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
    # Elsewhere than on a CPU: what half the memory has room for.
    assert per_sample.gradient_chunk(small_params, platform="tpu", memory=2 * 100 * size) == 100
    assert per_sample.gradient_chunk(small_params, platform="tpu", memory=10**12) == 512


def test_every_function_equals_a_loop_of_grad(examples, small_params):
    n = len(examples)
    data = (small_network, small_params, examples.image, examples.label)
    how = {"prepare": prepare, "budget": 16 * 2 * 4 * 975}  # chunks of 16 gradients
    trees = looped_gradients(small_params, examples)
    flat = np.stack([jax.flatten_util.ravel_pytree(tree)[0] for tree in trees])
    got = per_sample.gradients(*data, **how)
    for name, leaf in got.items():
        np.testing.assert_allclose(leaf, np.stack([tree[name] for tree in trees]), atol=1e-5, err_msg=name)
    np.testing.assert_allclose(per_sample.flat_gradients(*data, **how), flat, atol=1e-5)
    np.testing.assert_allclose(
        per_sample.gradient_norms(*data, **how), np.linalg.norm(flat, axis=1), rtol=1e-5
    )
    cosines = per_sample.gradient_cosines(*data, to=trees[3], **how)
    unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    np.testing.assert_allclose(cosines, unit @ unit[3], atol=1e-5)
    zero = jax.tree.map(jnp.zeros_like, trees[3])
    assert not per_sample.gradient_cosines(*data, to=zero, **how).any()
    last = per_sample.last_layer_weight_gradients(*data, bias=False, prepare=prepare)
    outer = np.einsum("nd,nk->ndk", last.features, last.error)
    np.testing.assert_allclose(outer, got["head"], atol=1e-5)
    np.testing.assert_allclose(last.norms(), np.linalg.norm(outer.reshape(n, -1), axis=1), rtol=1e-5)
    scores = per_sample.make_scorer(small_network, prepare, chunk=256)(
        small_params,
        examples,
        ("loss", "margin", "last_layer_gradient", "last_layer_weight_gradient", "projected_gradient"),
    )
    np.testing.assert_allclose(scores["last_layer_weight_gradient"], outer.reshape(n, -1), atol=1e-6)
    assert np.array_equal(per_sample.losses(*data, prepare=prepare), scores["loss"])
    assert np.array_equal(per_sample.margins(*data, prepare=prepare), scores["margin"])
    assert np.array_equal(
        per_sample.last_layer_gradients(*data, prepare=prepare), scores["last_layer_gradient"]
    )
    projected = per_sample.projected_gradients(*data, prepare=prepare)
    np.testing.assert_allclose(projected, scores["projected_gradient"], atol=1e-6)


def test_gradients_by_hand():
    # Logits (x, 0) W with x = 2, W = 0 : softmax 1/2, so dloss/dW[0] = 2 (1/2 - 1, 1/2) = (-1, 1); norm sqrt(2)
    def apply(params, x):
        return x @ params, x

    x, label = np.array([[2.0, 0.0], [0.0, 0.0]], np.float32), np.zeros(2, np.int32)
    got = per_sample.gradients(apply, jnp.zeros((2, 2)), x, label)
    np.testing.assert_allclose(got, [[[-1, 1], [0, 0]], [[0, 0], [0, 0]]])
    assert per_sample.gradient_norms(apply, jnp.zeros((2, 2)), x, label) == pytest.approx([2**0.5, 0])


@pytest.mark.parametrize("bias", [True, False])
def test_distances_of_last_layers_are_those_of_their_outer_products(bias):
    rng = np.random.default_rng(0)
    features, error = rng.standard_normal((2, 20, 6)).astype(np.float32)
    if bias:
        features[:, -1] = 1
    layer = per_sample.LastLayer(error[:, :3], features)
    dense = np.einsum("nd,nk->ndk", features, error[:, :3]).reshape(20, -1).astype(float)
    exact = scipy.spatial.distance.cdist(dense, dense)
    other = per_sample.LastLayer(*(factor[:7] for factor in layer))
    np.testing.assert_allclose(per_sample.pairwise_distances(layer), exact, atol=1e-6)
    np.testing.assert_allclose(per_sample.pairwise_distances(layer, other), exact[:, :7], atol=1e-6)
    np.testing.assert_allclose(per_sample.pairwise_distances(dense), exact, atol=1e-6)
    blocks = list(per_sample.distance_blocks(dense, dense, block=6))
    assert [start for start, _ in blocks] == [0, 6, 12, 18]
    np.testing.assert_allclose(np.concatenate([block for _, block in blocks]), exact, atol=1e-6)
    with pytest.raises(ValueError, match="both must be of one kind"):
        per_sample.pairwise_distances(layer, dense)


def test_memory_mapped_images_and_bad_data(examples, small_params, tmp_path, monkeypatch):
    mapped = np.memmap(tmp_path / "images", examples.image.dtype, "w+", shape=examples.image.shape)
    mapped[:] = examples.image
    norms = [
        per_sample.gradient_norms(small_network, small_params, image, examples.label, prepare=prepare)
        for image in (mapped, examples.image)
    ]
    assert type(norms[0]) is np.ndarray
    assert np.array_equal(norms[0], norms[1])
    with pytest.raises(ValueError, match="no samples"):
        per_sample.losses(small_network, small_params, mapped[:0], examples.label[:0])
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # else its check comes first
    with pytest.raises(ValueError, match="40 images and 39 labels"):
        per_sample.losses(small_network, small_params, mapped, examples.label[1:])


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": (3, 3), "strides": (2, 2)},
        {"kernel_size": (7, 7), "strides": 2, "padding": ((3, 3), (3, 3)), "use_bias": False},
        {"kernel_size": (1, 1), "padding": "VALID"},
        {"kernel_size": (3, 2), "strides": (1, 3), "padding": "CIRCULAR"},
        {"kernel_size": (3, 3), "kernel_dilation": 2, "feature_group_count": 3},
    ],
)
def test_a_convolution_as_matmul_is_the_convolution(settings):
    layer = nn.Conv(6, **settings)
    image = jax.random.normal(jax.random.key(0), (2, 9, 10, 3))
    params = jax.jit(layer.init)(jax.random.key(1), image)
    apply = convolution.with_matmuls(layer.apply)
    exact = np.asarray(jax.jit(layer.apply)(params, image))
    np.testing.assert_allclose(jax.jit(apply)(params, image), exact, atol=1e-5)
    convolves = "conv_general_dilated" in str(jax.make_jaxpr(apply)(params, image))
    assert convolves == ("kernel_dilation" in settings)  # dilated and grouped ones are left alone


@pytest.mark.parametrize(
    ("settings", "rewritten"),
    [
        ({"num_groups": 3}, True),
        ({"num_groups": None, "group_size": 2, "epsilon": 0.1}, True),
        ({"num_groups": 2, "use_bias": False}, False),
        ({"num_groups": 2, "reduction_axes": (2, -1)}, False),
    ],
)
def test_a_group_norm_by_channel_sums_is_the_group_norm(settings, rewritten):
    layer = nn.GroupNorm(**settings)
    image = jax.random.normal(jax.random.key(0), (2, 4, 5, 6)) + 0.5
    params = layer.init(jax.random.key(1), image)
    # Scales and biases that differ by channel
    params = jax.tree.map(lambda leaf: leaf + 0.1 * jnp.arange(6.0), params)
    fast = convolution.with_matmuls(layer.apply)
    np.testing.assert_allclose(
        jax.jit(fast)(params, image), np.asarray(layer.apply(params, image)), atol=1e-5
    )
    equations = [str(jax.make_jaxpr(fun)(params, image)) for fun in (fast, layer.apply)]
    assert (equations[0] != equations[1]) == rewritten


def test_both_forms_of_convolution_give_the_gradients_of_the_cnn(examples, monkeypatch):
    network = CNN(2, (8, 16))
    params = jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))["params"]
    found = []
    for backends in (("cpu",), ()):
        monkeypatch.setattr(chunks, "MATMUL_BACKENDS", backends)

        def apply(params, image) -> Any:  # anew, so that it compiles anew
            return network.apply({"params": params}, image)

        found.append(
            per_sample.flat_gradients(apply, params, examples.image, examples.label, prepare=prepare)
        )
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)

    def mean_loss(params):
        logits, _ = apply(params, prepare(jnp.asarray(examples.image)))
        return jnp.mean(jax.vmap(per_sample.loss)(logits, jnp.asarray(examples.label)))

    mean, _ = jax.flatten_util.ravel_pytree(jax.jit(jax.grad(mean_loss))(params))
    np.testing.assert_allclose(found[0].mean(axis=0), mean, atol=1e-5)


EIGHT_DEVICES = """
import jax, jax.numpy as jnp, numpy as np
from oilwater_jax import per_sample
from oilwater_jax.entries import Score
from oilwater_jax.errors import UserError
from oilwater_jax.models.cnn import CNN
assert len(jax.devices()) == 8
network = CNN(2, (8,))
def apply(params, image):
    return network.apply({"params": params}, image)
params = network.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))["params"]
rng = np.random.default_rng(0)
image, label = rng.standard_normal((700, 8, 8, 3)), rng.integers(0, 2, 700)  # a chunk of 8 x 64 and a part
for figure in (per_sample.losses, per_sample.gradients, per_sample.projected_gradients):
    one, all = (figure(apply, params, image, label, devices=jax.devices()[:n]) for n in (1, 8))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(all), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
to = jax.tree.map(lambda leaf: leaf[3], per_sample.gradients(apply, params, image, label))
cosines = per_sample.gradient_cosines(apply, params, image, label, to)
assert cosines.shape == (700,) and abs(cosines[3] - 1) < 1e-5
"""


def test_eight_devices_give_what_one_gives():
    flags = "--xla_force_host_platform_device_count=8"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    done = subprocess.run(
        [sys.executable, "-c", EIGHT_DEVICES], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_example_of_the_docstring_runs(examples):
    code = textwrap.dedent((per_sample.__doc__ or "").split("parameters:\n\n")[1].split("\nMake `apply`")[0])
    names = {"jax": jax, "jnp": jnp, "images": examples.image, "labels": examples.label}
    exec(compile(code, "per_sample", "exec"), names)
    assert names["norms"].shape == (40,)
    assert (names["norms"] > 0).all()
