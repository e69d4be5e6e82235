"""The form in which a CPU trains: the function and gradients of the flax module, of any size; NaN gets through."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oilwater_jax.models.cnn import CNN, on_a_cpu
from oilwater_jax.models.cpu_training import columns, columns_at_once, conv, norm_relu
from oilwater_jax.settings.config import default
from oilwater_jax.training import program

SIZES = [(8, 8), (7, 8), (9, 5), (3, 3), (1, 2), (1, 1), (32, 32)]


def windows(x, stride):
    """Every window's inputs by plain loops, with the zeros of padding "SAME"."""
    b, h, w, c = x.shape
    high, wide = -(-h // stride), -(-w // stride)
    before = [max((n - 1) * stride + 3 - size, 0) // 2 for n, size in ((high, h), (wide, w))]
    found = np.zeros((b, high, wide, 3, 3, c), x.dtype)
    for y, z, i, j in np.ndindex(high, wide, 3, 3):
        at = y * stride + i - before[0], z * stride + j - before[1]
        if 0 <= at[0] < h and 0 <= at[1] < w:
            found[:, y, z, i, j] = x[:, at[0], at[1]]
    return found.reshape(b, high, wide, 9 * c)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", SIZES)
def test_columns_are_the_windows(size, stride):
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    expected = windows(x, stride)
    np.testing.assert_array_equal(columns(jnp.asarray(x), stride), expected)
    np.testing.assert_array_equal(columns_at_once(jnp.asarray(x), stride), expected)


def close(found, expected, tolerance):
    """Every leaf within `tolerance` of its largest entry."""
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert np.abs(a - b).max() <= tolerance * np.abs(b).max(), (np.abs(a - b).max(), np.abs(b).max())


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", SIZES)
def test_convolution_is_flax_s(size, stride):
    rng = np.random.default_rng(1)
    x = jnp.asarray(rng.normal(size=(2, *size, 3)), jnp.float32)
    layer = nn.Conv(5, (3, 3), strides=(stride, stride), use_bias=False)
    kernel = layer.init(jax.random.key(0), x)["params"]["kernel"]

    def flax(x, kernel):
        return jnp.asarray(layer.apply({"params": {"kernel": kernel}}, x))

    ours, back = jax.vjp(lambda x, kernel: conv(x, kernel, stride), x, kernel)
    theirs, flax_back = jax.vjp(flax, x, kernel)
    d = jnp.asarray(rng.normal(size=ours.shape), jnp.float32)
    close((ours, back(d)), (theirs, flax_back(d)), 1e-5)


@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_group_norm_with_bias_and_relu_is_flax_s(offset):
    rng = np.random.default_rng(2)
    y = jnp.asarray(rng.normal(size=(3, 4, 5, 16)) + offset, jnp.float32)
    bias, scale, shift = (jnp.asarray(rng.normal(size=16), jnp.float32) for _ in range(3))
    layer = nn.GroupNorm(num_groups=2, epsilon=1e-6)

    def flax(y, bias, scale, shift):
        z = layer.apply({"params": {"scale": scale, "bias": shift}}, y + bias[None, None, None])
        return nn.relu(jnp.asarray(z))

    def ours(y, bias, scale, shift):
        return norm_relu(y, bias, scale, shift, groups=2, epsilon=1e-6)

    found, back = jax.vjp(ours, y, bias, scale, shift)
    expected, flax_back = jax.vjp(flax, y, bias, scale, shift)
    d = jnp.asarray(rng.normal(size=found.shape), jnp.float32)
    close((found, back(d)), (expected, flax_back(d)), 1e-5)
    assert (np.asarray(found) == 0).any()
    assert (np.asarray(found) > 0).any()


def trained(dtype, size=(16, 16), widths=(8, 16, 24)):
    """The loss's gradients by the module and by the CPU's form: ((logits, features), gradients) of each."""
    rng = np.random.default_rng(3)
    x = jnp.asarray(rng.uniform(-2, 2, size=(6, *size, 3)), dtype)
    label = jnp.asarray(rng.integers(0, 3, 6))
    net = CNN(3, widths, dtype)
    start = net.init(jax.random.key(4), x)["params"]
    start = jax.tree.map(lambda leaf: jnp.asarray(leaf + 0.1 * rng.normal(size=leaf.shape), dtype), start)

    def loss(of, params):
        outputs = of(params, x)
        picked = jnp.take_along_axis(jax.nn.log_softmax(outputs[0]), label[:, None], 1)
        return -jnp.mean(picked), outputs

    def both(of):
        (_, outputs), gradients = jax.value_and_grad(lambda p: loss(of, p), has_aux=True)(start)
        return outputs, gradients

    return both(on_a_cpu), both(lambda params, x: net.apply({"params": params}, x))


@pytest.mark.parametrize("size", [(16, 16), (15, 17), (6, 9)])
def test_network_in_float32(size):
    ours, flax = trained(jnp.float32, size)
    close(ours, flax, 1e-5)


def test_network_in_float64():
    with jax.enable_x64(True):
        ours, flax = trained(jnp.float64)
        # The module's features are float32 whatever its precision, so only what does not pass them agrees further.
        loose = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(flax)]
        close([np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(ours)], loose, 1e-6)


def test_layers_in_float64():
    """Each layer's gradient against flax's to the last digits that matter."""
    rng = np.random.default_rng(5)
    with jax.enable_x64(True):
        x = jnp.asarray(rng.normal(size=(3, 9, 8, 3)))
        kernel, y = jnp.asarray(rng.normal(size=(3, 3, 3, 16))), jnp.asarray(rng.normal(size=(3, 5, 4, 16)))
        bias, scale, shift = (jnp.asarray(rng.normal(size=16)) for _ in range(3))
        layer = nn.Conv(16, (3, 3), strides=(2, 2), param_dtype=jnp.float64)
        norm = nn.GroupNorm(num_groups=2, epsilon=1e-6, param_dtype=jnp.float64)

        def flax(x, kernel, bias, scale, shift):
            z = layer.apply({"params": {"kernel": kernel, "bias": bias}}, x)
            return nn.relu(jnp.asarray(norm.apply({"params": {"scale": scale, "bias": shift}}, z)))

        def ours(x, kernel, bias, scale, shift):
            return norm_relu(conv(x, kernel, 2), bias, scale, shift, groups=2, epsilon=1e-6)

        given = (x, kernel, bias, scale, shift)
        found, back = jax.vjp(ours, *given)
        expected, flax_back = jax.vjp(flax, *given)
        assert found.dtype == jnp.float64
        close((found, back(y)), (expected, flax_back(y)), 1e-10)


@pytest.mark.parametrize("where", ["image", "Conv_0", "GroupNorm_1", "head"])
def test_not_a_number_gets_through(where):
    x = jnp.ones((2, 8, 8, 3))
    params = CNN(2, (8, 8)).init(jax.random.key(0), x)["params"]
    if where == "image":
        x = x.at[0, 3, 3, 0].set(jnp.nan)
    else:
        params = {**params, where: jax.tree.map(lambda leaf: leaf.at[..., 0].set(jnp.nan), params[where])}
    logits, _ = on_a_cpu(params, x)
    assert np.isnan(logits).any()
    if where == "image":
        assert np.isfinite(logits[1]).all()


def test_who_trains_by_it():
    """A CPU in float32 alone; and where no convolution is left in the step, an epoch is a scan."""
    config = default()

    def made(platform, **model):
        config.model.update({"name": "cnn", "precision": "float32"} | model)
        return program.network(config, (32, 32, 3), 2, platform)

    assert made("cpu").forward is on_a_cpu
    assert made("cpu").driver == "scan"
    assert made("tpu").forward is made("tpu").apply
    assert made("tpu").driver == "scan"
    assert made("cpu", precision="bfloat16").forward is not on_a_cpu
    assert made("cpu", precision="bfloat16").driver == "loop"
    assert made("cpu", name="resnet18").driver == "loop"
    assert program.driver_of(made("cpu"), "loop") == "loop"
