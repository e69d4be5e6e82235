import numpy as np
import pytest
from attacking import table
from showing import Looker, evidence, weights

from oilwater_jax.errors import UserError
from oilwater_jax.robustness import spare

CENTRES = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])


def blobs(sizes, spread=0.1, seed=0):
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [c + spread * rng.normal(size=(n, 2)) for c, n in zip(CENTRES, sizes, strict=False)]
    )


def test_clusters_are_the_blobs_whatever_the_order():
    points = blobs([30, 12, 5])
    labels, scores = spare.cluster(points, 6, 0)
    assert max(scores, key=lambda k: scores[k]) == 3
    assert sorted(np.bincount(labels).tolist()) == [5, 12, 30]
    assert all(len(set(part.tolist())) == 1 for part in np.split(labels, [30, 42]))
    order = np.random.default_rng(1).permutation(47)
    again, _ = spare.cluster(points[order], 6, 0)
    assert len(set(zip(labels[order].tolist(), again.tolist(), strict=True))) == 3


def test_nothing_to_cluster():
    assert spare.cluster(np.ones((5, 2)), 4, 0)[1] == {}
    labels, scores = spare.cluster(np.array([[0.0], [1.0]]), 4, 0)
    assert scores == {}
    assert labels.tolist() == [0, 0]
    assert list(spare.cluster(np.array([[0.0], [0.0], [5.0], [5.0]]), 4, 0)[1]) == [2]


def test_draws_by_hand():
    # Class 0: clusters of 3 and 1; class 1: one of 4. 8 draws, 4 a class.
    sizes, label = np.array([3, 3, 3, 1, 4, 4, 4, 4]), np.array([0] * 4 + [1] * 4)
    first = spare.draws(sizes, np.ones(8), label)  # 1/3 each and 1: sum 2
    np.testing.assert_allclose(first, [2 / 3] * 3 + [2.0] + [1.0] * 4)
    squared = spare.draws(sizes, np.full(8, 2.0), label)  # 1/9 each and 1: sum 4/3
    np.testing.assert_allclose(squared, [1 / 3] * 3 + [3.0] + [1.0] * 4)
    np.testing.assert_allclose(spare.draws(sizes, np.zeros(8), label), 1.0)


@pytest.mark.parametrize(("threshold", "power"), [(0.5, 1.0), (1.0, 2.0)])
def test_find(threshold, power):
    logits = np.concatenate([blobs([20, 5]), blobs([15, 10], seed=1)])
    label = np.repeat([0, 1], 25)
    method = Looker("spare", {"spare.threshold": threshold})
    found = method.find(evidence(label, {"logits": logits}))
    assert [one["power"] for one in found.figures["clusters"]] == [power, power]
    assert sorted(found.figures["clusters"][0]["sizes"]) == [5, 20]
    assert len(set(found.arrays["cluster"].tolist())) == 4
    weights = found.arrays["weight"]
    assert weights.sum() == pytest.approx(50)
    assert weights[:25].sum() == pytest.approx(25)
    assert weights[20] / weights[0] == pytest.approx(4.0**power)
    np.testing.assert_array_equal(found.arrays["flagged"], weights > 1)


def test_treatment_and_its_modes(examples):
    weight = np.where(np.arange(40) >= 35, 4.5, 0.5)
    found = {"weight": weight, "flagged": weight > 1}
    method = Looker("spare")
    np.testing.assert_array_equal(weights(method.treat(examples, found), examples), weight)
    ideal = found | {"flagged": found["flagged"] & ~examples.is_poison}
    drawn = weights(method.treat(examples, ideal, "ideal"), examples)
    np.testing.assert_array_equal(drawn[37:], 1.0)
    np.testing.assert_array_equal(drawn[:37], weight[:37])


def test_the_reference_is_early():
    method = Looker("spare", {"spare.epochs": 2, "identify.learning_rate": 0.03})
    assert method.entry.reference is not None
    recipe = method.entry.reference(method.config, table()).recipe
    assert recipe is not None
    assert (recipe.epochs, recipe.learning_rate) == (2, 0.03)


def test_logits_that_are_not_finite():
    with pytest.raises(UserError, match="logits are not finite"):
        Looker("spare").find(evidence([0, 1], {"logits": np.array([[np.nan, 0.0], [0.0, 0.0]])}))


def test_of_many_points_a_part_is_scored(monkeypatch):
    points = blobs([40, 20, 10])
    whole, _ = spare.cluster(points, 5, 0)
    monkeypatch.setattr("oilwater_jax.robustness.silhouette.MOST_POINTS", 30)
    labels, scores = spare.cluster(points, 5, 0)
    np.testing.assert_array_equal(labels, whole)
    assert max(scores, key=lambda k: scores[k]) == 3
