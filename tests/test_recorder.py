import jax
import numpy as np
import pytest

from oilwater_jax.per_sample import LastLayer
from oilwater_jax.reporting.study import SCORES
from oilwater_jax.study import recorder as r

# Three samples (columns) after four epochs (rows): learned late and kept, forgotten twice, never learned.
CORRECT = np.array([[0, 1, 0], [1, 0, 0], [1, 1, 0], [1, 0, 0]], bool)


def test_learning_and_forgetting_by_hand():
    assert r.first_learned(CORRECT).tolist() == [2, 1, 5]
    assert r.first_learned(CORRECT[:1]).tolist() == [2, 1, 2]
    assert r.forgetting_count(CORRECT).tolist() == [0, 2, 0]
    assert r.forgetting_count(CORRECT[:1]).tolist() == [0, 0, 0]


def test_neighbour_distances_equal_a_loop():
    rng = np.random.default_rng(0)
    points, label = rng.normal(size=(40, 3)), rng.integers(0, 2, 40)
    points[5] = points[4]  # a duplicate is a neighbour at distance 0
    label[5] = label[4]
    found = r.neighbour_distances(points, label, 3)
    for i in range(40):
        others = [j for j in range(40) if j != i and label[j] == label[i]]
        assert found[i] == pytest.approx(sorted(np.linalg.norm(points[i] - points[j]) for j in others)[2])
    assert r.neighbour_distances(points, label, 1)[[4, 5]].tolist() == [0, 0]


def test_neighbour_distances_in_small_classes():
    points = np.array([[0.0], [1.0], [5.0], [9.0]])
    # class 0 has two others for each at most: the farthest counts; class 1 is one sample
    assert r.neighbour_distances(points, np.array([0, 0, 0, 1]), 10).tolist() == [5, 4, 5, 0]


def test_class_cosines_equal_a_loop_over_outer_products():
    rng = np.random.default_rng(0)
    factors = LastLayer(rng.normal(size=(20, 3)), rng.normal(size=(20, 4)))
    factors.error[7] = 0  # learned to the last digit: no gradient
    label = rng.integers(0, 2, 20)
    found = r.class_cosines(factors, label)
    whole = np.stack([np.outer(f, e).ravel() for e, f in zip(factors.error, factors.features, strict=True)])
    for i in np.delete(np.arange(20), 7):
        mean = whole[label == label[i]].mean(axis=0)
        expected = whole[i] @ mean / np.linalg.norm(whole[i]) / np.linalg.norm(mean)
        assert found[i] == pytest.approx(expected, abs=1e-12)
    assert found[7] == 0


def scores_after(epoch, n=40):
    """Made-up scores of one pass; the loss says after which epoch."""
    rng = np.random.default_rng(epoch)
    p = rng.uniform(0.05, 0.95, n).astype(np.float32)
    return {
        "loss": np.full(n, epoch, np.float32),
        "correct": np.arange(n) < 10 * epoch,
        "margin": rng.normal(size=n).astype(np.float32),
        "last_layer_gradient": np.stack([-p, p], axis=1),
        "features": rng.normal(size=(n, 5)).astype(np.float32),
        "gradient_norm": rng.uniform(size=n).astype(np.float32),
        "projected_gradient": rng.normal(size=(n, 8)).astype(np.float32),
    }


def test_what_is_seen_before_an_epoch_is_written_down_as_after_the_one_before(examples):
    own = r.recorder((1, 3), k=2, ratio=0.2, score="projected_gradient")
    assert own.due(1) == own.due(5) == ()
    assert own.due(3) == ("loss", "correct")
    assert own.due(2) == own.due(4)
    assert set(own.due(2)) == set(scores_after(1))
    state = own.init(examples)
    for epoch in range(1, 5):
        seen = scores_after(epoch - 1)
        before = jax.tree.map(np.copy, state)
        new, weights = own.update(state, epoch, {name: seen[name] for name in own.due(epoch)} or None)
        assert (weights == 1).all()
        jax.tree.map(np.testing.assert_array_equal, before, state)  # pure
        assert jax.tree.map(lambda a: (a.shape, a.dtype), new) == jax.tree.map(
            lambda a: (a.shape, a.dtype), state
        )
        state = new
    assert state["loss"][:, 0].tolist() == [1, 2, 3]
    assert list(state["scores"]) == list(SCORES)
    assert state["scores"]["loss"][:, 0].tolist() == [1, 3]
    # After epoch 1 samples 0 .. 9 are learned; after epoch 3 samples 10 .. 29 too, ten in each epoch.
    assert np.unique(state["scores"]["first_learned"][0], return_counts=True)[1].tolist() == [10, 30]
    assert state["scores"]["first_learned"][1].tolist() == np.repeat([1, 2, 3, 4], 10).tolist()
    # Losses 1, 2, 3: variance 2/3.
    np.testing.assert_allclose(state["scores"]["loss_variance"][1], 2 / 3, rtol=1e-6)
    np.testing.assert_array_equal(state["scores"]["loss_variance"][0], 0)
    np.testing.assert_array_equal(state["scores"]["margin"][1], scores_after(3)["margin"])
    points = scores_after(3)["projected_gradient"].astype(float)
    np.testing.assert_allclose(
        state["scores"]["neighbour_distance"][1], r.neighbour_distances(points, examples.label, 2), rtol=1e-6
    )


def test_a_pass_that_is_missing_is_named(examples):
    own = r.recorder((1,), k=2, ratio=0.2, score="last_layer_gradient")
    with pytest.raises(ValueError, match="epoch 2 needs the scores loss, correct"):
        own.update(own.init(examples), 2, None)


def test_plane_keeps_what_varies_most():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(50, 6)) * [10, 5, 0.1, 0.1, 0.1, 0.1]
    found = r.plane(points)
    np.testing.assert_allclose(np.var(found, axis=0), np.var(points[:, :2], axis=0), rtol=0.02)
