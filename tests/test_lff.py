import jax
import jax.numpy as jnp
import numpy as np
import pytest
from counting import compilations
from showing import Looker, weights

from oilwater_jax.robustness.lff import lff
from oilwater_jax.types import Rows


class Slowly:
    """LfF's running losses and loss, sample by sample."""

    def __init__(self, label, q, decay):
        self.label, self.q, self.decay = label, q, decay
        self.running = {net: [0.0] * len(label) for net in "db"}
        self.seen = [False] * len(label)

    def step(self, loss_d, loss_b, sample):
        new = {"d": loss_d, "b": loss_b}
        for i in dict.fromkeys(sample):
            places = [at for at, one in enumerate(sample) if one == i]
            for net in "db":
                mean = sum(new[net][at] for at in places) / len(places)
                old = self.running[net][i]
                self.running[net][i] = self.decay * old + (1 - self.decay) * mean if self.seen[i] else mean
            self.seen[i] = True
        total = 0.0
        for at, i in enumerate(sample):
            relative = {}
            for net in "db":
                largest = max(
                    self.running[net][j] for j in range(len(self.label)) if self.label[j] == self.label[i]
                )
                relative[net] = self.running[net][i] / largest if largest > 0 else 0.0
            weight = relative["b"] / (relative["b"] + relative["d"] + 1e-8)
            p = np.exp(-loss_b[at])
            total += weight * loss_d[at] + (1 - p**self.q) / self.q
        return total / len(sample)


def rows(label, sample, mask=None):
    sample = np.asarray(sample, np.int32)
    mask = np.ones(len(sample), bool) if mask is None else mask
    zero = jnp.zeros(len(sample), jnp.int32)
    return Rows(jnp.asarray(label[sample]), zero, jnp.asarray(sample), jnp.asarray(mask))


LABEL = np.array([0, 0, 0, 1, 1, 2], np.int32)
UPDATE = jax.jit(lff(LABEL, 3, 0.7, 0.7).update)  # all settings are in the state


def test_by_hand():
    objective = lff(np.array([0, 0], np.int32), 2, 0.5, 0.7)
    losses = jnp.array([[1.0, 3.0], [2.0, 1.0]])  # d, b
    value, state = UPDATE(objective.init(), losses, rows(np.array([0, 0]), [0, 1]))
    # L_d = (1, 3) / 3, L_b = (2, 1) / 2: weights 1 / (1 + 1/3) = 3/4 and 1/2 / (1/2 + 1) = 1/3
    debiased = (0.75 * 1 + 3 / 3) / 2
    biased = ((1 - np.exp(-1)) / 0.5 + (1 - np.exp(-0.5)) / 0.5) / 2
    assert float(value) == pytest.approx(debiased + biased, rel=1e-5)
    _, state = UPDATE(state, losses + 1, rows(np.array([0, 0]), [0, 1]))
    np.testing.assert_allclose(state.running[:, :2], [[1.3, 3.3], [2.3, 1.3]], rtol=1e-6)


@pytest.mark.parametrize("decay", [0.7, 0.0, 1.0])
def test_against_the_loop(decay):
    rng = np.random.default_rng(0)
    objective, slow = lff(LABEL, 3, 0.7, decay), Slowly(LABEL, 0.7, decay)
    state = objective.init()
    for _ in range(60):
        n = int(rng.integers(1, 6))
        sample = rng.integers(0, 6, 5)
        mask = np.arange(5) < n
        losses = rng.exponential(size=(2, 5)).astype(np.float32)
        value, state = UPDATE(state, jnp.asarray(losses), rows(LABEL, np.where(mask, sample, 0), mask))
        expected = slow.step(losses[0][:n].tolist(), losses[1][:n].tolist(), sample[:n].tolist())
        assert float(value) == pytest.approx(expected, rel=1e-4)
        for at, net in enumerate("db"):
            np.testing.assert_allclose(state.running[at, :6], slow.running[net], rtol=1e-4)


def test_weights_at_the_edges():
    objective = lff(LABEL, 3, 0.7, 0.7)

    def debiased(d, b):
        losses = jnp.array([d, b])
        value, _ = UPDATE(objective.init(), losses, rows(LABEL, [0, 1]))
        p = np.exp(-np.array(b))
        return float(value) - float(np.mean((1 - p**0.7) / 0.7))

    assert debiased([2.0, 1.0], [2.0, 1.0]) == pytest.approx(0.75, rel=1e-5)  # both weigh 1/2
    assert debiased([2.0, 1.0], [0.0, 0.0]) == pytest.approx(0.0, abs=1e-6)
    assert debiased([0.0, 0.0], [0.0, 0.0]) == pytest.approx(0.0, abs=1e-6)


def test_weights_are_not_differentiated_and_the_networks_do_not_meet():
    objective = lff(LABEL, 3, 0.7, 0.7)
    losses = jnp.array([[1.0, 2.0], [3.0, 0.5]])

    def slope(q):
        return jax.grad(
            lambda one: objective.update(objective.init()._replace(q=q), one, rows(LABEL, [0, 1]))[0]
        )(losses)

    gradient = slope(jnp.float32(0.7))
    relative = np.array([[0.5, 1.0], [1.0, 1 / 6]])
    np.testing.assert_allclose(gradient[0], relative[1] / relative.sum(axis=0) / 2, rtol=1e-5)
    np.testing.assert_allclose(gradient[1], np.exp(-0.7 * np.array([3.0, 0.5])) / 2, rtol=1e-5)


def test_padding_of_rows_and_of_samples_counts_for_nothing():
    objective = lff(LABEL, 3, 0.7, 0.7)
    losses = jnp.array([[1.0, 2.0, 99.0], [3.0, 0.5, 99.0]])
    mask = np.array([True, True, False])
    value, state = UPDATE(objective.init(), losses, rows(LABEL, [4, 5, 0], mask))
    short, other = UPDATE(objective.init(), losses[:, :2], rows(LABEL, [4, 5]))
    assert float(value) == pytest.approx(float(short))
    jax.tree.map(np.testing.assert_array_equal, state, other)
    assert float(state.running[0, 0]) == 0.0


def test_trainings_of_nearly_the_same_size_share_their_step():
    one, other = lff(LABEL, 3, 0.7, 0.7), lff(LABEL[:4], 3, 0.5, 0.9)
    update = jax.jit(one.update)
    losses, batch = jnp.ones((2, 3)), rows(LABEL, [0, 1, 2])
    update(one.init(), losses, batch)
    with compilations() as compiled:
        update(other.init(), losses, batch)
    assert compiled == []


def test_treatment(examples):
    method = Looker("lff", {"lff.q": 0.4})
    treatment = method.treat(examples, {})
    np.testing.assert_array_equal(weights(treatment, examples), 1)
    assert treatment.objective is not None
    assert treatment.objective.networks == 2
    state = treatment.objective.init()
    np.testing.assert_array_equal(state.label[:40], examples.label)
    assert (np.asarray(state.label[40:]) == -1).all()
    assert float(state.q) == pytest.approx(0.4)
    assert method.entry.modes == ("standard",)
