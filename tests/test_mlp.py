"""The perceptron beside PyTorch's and scikit-learn's."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oilwater_jax import data, objectives
from oilwater_jax.conformance import ON_TABLE
from oilwater_jax.models.mlp import MLP
from oilwater_jax.settings.config import checked, default
from oilwater_jax.training import program as programs
from oilwater_jax.training.feed import Batch
from oilwater_jax.types import Recipe

SETTINGS = {name.replace("__", "."): value for name, value in ON_TABLE.items()} | {"pretrain.epochs": 0}


def test_by_hand():
    # relu([1, -1] @ [[1, 0], [0, 1]] + [0, 0.5]) = [1, 0]; [1, 0] @ [[2, 3], [5, 7]] + [0, 1] = [2, 4]
    params = {
        "Dense_0": {"kernel": jnp.eye(2), "bias": jnp.array([0.0, 0.5])},
        "head": {"kernel": jnp.array([[2.0, 3.0], [5.0, 7.0]]), "bias": jnp.array([0.0, 1.0])},
    }
    found: Any = MLP(2, (2,)).apply({"params": params}, jnp.array([[1.0, -1.0]]))
    assert [one.tolist() for one in found] == [[[2, 4]], [[1, 0]]]  # logits, features


def test_images_are_flattened():
    network, images = MLP(3, (4,)), jax.random.normal(jax.random.key(1), (2, 5, 5, 3))
    params = network.init(jax.random.key(0), images)
    flat = network.apply(params, images.reshape(2, -1))
    for one, other in zip(network.apply(params, images), flat, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def adult():
    return data.load("adult", smoke=True)


def test_logits_and_an_sgd_step_are_pytorch_s(adult):
    torch = pytest.importorskip("torch")
    config = checked(default(), SETTINGS)
    shape = adult.train.image.shape[1:]
    network = programs.network(config, shape, 2)
    params = network.init_params(3)
    program = programs.build(config, shape, 2)
    state = program.begin((params,), Recipe(0.1, 1e-2, 1), objectives.erm().init(), None)

    layers = []
    for name in ("Dense_0", "Dense_1", "head"):
        kernel, bias = params[name]["kernel"], params[name]["bias"]
        layer = torch.nn.Linear(*kernel.shape)
        layer.weight.data = torch.tensor(np.array(kernel).T)
        layer.bias.data = torch.tensor(np.array(bias))
        layers += [layer, torch.nn.ReLU()]
    theirs = torch.nn.Sequential(*layers[:-1])
    optimiser = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2)

    for step in range(3):
        rows = np.arange(64) + 64 * step
        image, label = np.asarray(adult.train.image[rows]), adult.train.label[rows]
        ours = network.apply(state.params, jnp.asarray(image))[0]
        logits = theirs(torch.tensor(image))
        np.testing.assert_allclose(ours, logits.detach().numpy(), atol=1e-5)
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(label.astype(np.int64)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        columns = (image, label, np.zeros(64, np.int32), rows, np.ones(64, bool))
        state, value = program.step(state, Batch(*map(jnp.asarray, columns)), jax.random.key(step))
        assert float(value) == pytest.approx(float(loss.detach()), abs=1e-5)
    for name, layer in zip(("Dense_0", "Dense_1", "head"), theirs[::2], strict=True):
        np.testing.assert_allclose(state.params[name]["kernel"], layer.weight.detach().numpy().T, atol=1e-5)
        np.testing.assert_allclose(state.params[name]["bias"], layer.bias.detach().numpy(), atol=1e-5)


def test_accuracy_is_scikit_learn_s_within_a_point(tmp_path):
    """ERM on the whole of Adult beside scikit-learn's perceptron of the same shape, optimiser and epochs; 3 seeds."""
    import warnings

    from sklearn import neural_network

    import oilwater_jax as ow

    splits = data.load("adult")
    settings = SETTINGS | {"attack.name": "none", "rows": ("erm",), "erm.learning_rate": 0.02}
    config = checked(default(), settings | {"train.select": "last"})
    result = ow.run(config, tmp_path / "run", seeds=3, warn=lambda message: None)
    make: Any = neural_network.MLPClassifier  # whose stubs take batch_size for a string
    theirs = []
    for seed in range(3):
        one = make(
            (64, 32), solver="sgd", learning_rate_init=0.02, momentum=0.9, nesterovs_momentum=False,
            batch_size=64, max_iter=10, alpha=1e-3, random_state=seed,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged
            one.fit(splits.train.image, splits.train.label)
        theirs.append(one.score(splits.test.image, splits.test.label))
    assert result["rows"]["erm"]["acc"] == pytest.approx(np.mean(theirs), abs=0.01)
