import numpy as np
import pytest

from oilwater_jax import selectors, treatments
from oilwater_jax.robustness import balanced, erm, george, group_dro, jtt
from oilwater_jax.settings.config import default, view
from oilwater_jax.types import Case, Evidence, nobody


def seen(method, **changes):
    """What a method sees of the default config with some fields changed."""
    config = default().copy_and_resolve_references().unlock()
    for path, value in changes.items():
        section, _, name = path.partition("__")
        config[section][name] = value
    return view(config.lock(), method)


def evidence(scores, label, kernel):
    return Evidence(
        seed=0,
        label=label,
        scores=scores,
        val_label=label,
        val_scores=scores,
        base=nobody(),
        base_scores={},
        kernel=kernel,
        image=np.zeros((len(label), 1, 1, 3), np.uint8),
        score=lambda image, names: {},
        n_classes=2,
    )


def case(examples, found=(), mode="standard"):
    return Case(
        train=examples,
        found=dict(found),
        mode=mode,
        epochs=3,
        seed=0,
        val=examples,
        base=nobody(),
        n_classes=2,
        n_attributes=2,
    )


def weights_of(treatment, examples):
    return treatment.selector.update(treatment.selector.init(examples), 1, None)[1]


def test_erm_draws_everyone_once_and_brings_nothing_else(examples):
    treatment = erm.METHOD.treat(seen(erm.METHOD), case(examples))
    assert weights_of(treatment, examples).tolist() == [1.0] * 40
    assert not treatment.sole


def test_jtt_flags_what_is_misclassified():
    given = evidence(
        {"correct": np.array([True, False, True])}, np.zeros(3, np.int64), np.zeros((2, 2), np.float32)
    )
    assert jtt.METHOD.find is not None
    found = jtt.METHOD.find(seen(jtt.METHOD), given)
    assert found.arrays["flagged"].tolist() == [False, True, False]


def test_jtt_draws_the_amplified_lambda_up_times(examples):
    flagged = np.arange(40) < 5
    config = seen(jtt.METHOD, jtt__lambda_up=20.0)
    amplified = treatments.chosen("amplify", "worst", flagged, examples.is_poison)
    treatment = jtt.METHOD.treat(config, case(examples, {"flagged": amplified}, "worst"))
    np.testing.assert_array_equal(
        weights_of(treatment, examples), np.where(flagged | examples.is_poison, 20.0, 1.0)
    )
    assert treatment.rule is None  # the one of the config
    assert treatment.val_group is None


def test_the_oracle_draws_true_groups_equally_often(examples):
    uneven = examples.take(np.arange(37))  # groups of 10, 10, 9 and 8
    treatment = balanced.METHOD.treat(seen(balanced.METHOD), case(uneven))
    group = uneven.true_label * 2 + uneven.attribute
    np.testing.assert_allclose(weights_of(treatment, uneven), (37 / (4 * np.array([10, 10, 9, 8])))[group])
    assert not treatment.sole


def test_group_dro_counts_a_poison_to_the_group_of_its_label(examples):
    config = seen(group_dro.METHOD, group_dro__adjustment=6.0)
    poisoned = group_dro.METHOD.treat(config, case(examples))
    assert poisoned.group is not None
    assert poisoned.objective is not None
    # Rows 37 to 39 are of class 1, attributes 1, 0, 1, and are labelled 0: groups of 11, 12, 9 and 8 samples.
    sizes = np.array([11, 12, 9, 8])
    np.testing.assert_array_equal(np.bincount(poisoned.group), sizes)
    assert poisoned.group[37:].tolist() == [1, 0, 1]
    np.testing.assert_allclose(weights_of(poisoned, examples), (10 / sizes)[poisoned.group])
    np.testing.assert_allclose(poisoned.objective.init().margin, 6 / np.sqrt(sizes), rtol=1e-6)


def test_group_dro_on_clean_data_draws_as_the_oracle_does(examples):
    clean = examples.take(np.arange(37))
    treatment = group_dro.METHOD.treat(seen(group_dro.METHOD), case(clean))
    assert treatment.group is not None
    assert np.bincount(treatment.group).tolist() == [10, 10, 9, 8]
    oracle = balanced.METHOD.treat(seen(balanced.METHOD), case(clean))
    np.testing.assert_array_equal(weights_of(treatment, clean), weights_of(oracle, clean))
    np.testing.assert_array_equal(weights_of(treatment, clean), selectors.balanced(treatment.group))


# Class 0 has clusters 0 (6 samples) and 1 (2), class 1 has clusters 2 (3) and 3 (1): uniform cluster sampling draws
# each sample of a cluster of n_c samples 12 / (4 n_c) times: 1/2, 3/2, 1, 3. Clusters 1 and 3 are amplified.
CLUSTER = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 3], np.int32)
LABEL = np.array([0] * 8 + [1] * 4)


def poison(*rows):
    return np.isin(np.arange(12), rows)


def test_george_draws_clusters_equally_often():
    weights = selectors.balanced(CLUSTER)
    np.testing.assert_allclose(weights, [0.5] * 6 + [1.5] * 2 + [1.0] * 3 + [3.0])
    assert weights.sum() == 12


def test_george_standard_is_as_found():
    cluster, weights = george.moved("standard", CLUSTER, LABEL, poison(7, 11))
    np.testing.assert_array_equal(cluster, CLUSTER)
    np.testing.assert_array_equal(weights, selectors.balanced(CLUSTER))


def test_george_ideal_takes_poisons_out_of_amplified_clusters():
    cluster, weights = george.moved("ideal", CLUSTER, LABEL, poison(0, 7, 11))
    # 7 leaves cluster 1 for its class's largest, 11 leaves cluster 3, which is then empty.
    assert cluster.tolist() == [0, 0, 0, 0, 0, 0, 1, 0, 2, 2, 2, 2]
    # 12 / (3 clusters n_c): 4/7, 4 and 1; no poison above 1.
    np.testing.assert_allclose(weights, [4 / 7] * 6 + [4.0, 4 / 7] + [1.0] * 4)


def test_george_worst_moves_poisons_into_the_amplified_cluster_that_has_most():
    cluster, weights = george.moved("worst", CLUSTER, LABEL, poison(0, 1, 7, 8))
    assert cluster.tolist() == [1, 1, 0, 0, 0, 0, 1, 1, 3, 2, 2, 3]
    np.testing.assert_array_equal(weights, selectors.balanced(cluster))


def test_george_worst_without_an_amplified_cluster_takes_the_smallest():
    cluster = np.array(
        [0, 0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3], np.int32
    )  # 12 / (4 n_c): none of class 1 is above 1
    label = np.array([0] * 4 + [1] * 8)
    moved, _ = george.moved("worst", cluster, label, poison(8))
    assert moved.tolist() == [0, 0, 1, 1, 2, 2, 2, 3, 2, 3, 3, 3]


@pytest.mark.parametrize("mode", ["standard", "ideal", "worst"])
def test_george_modes_without_poisons_are_the_same_and_change_nothing_they_were_given(mode):
    before = CLUSTER.copy()
    cluster, weights = george.moved(mode, CLUSTER, LABEL, poison())
    np.testing.assert_array_equal(cluster, before)
    np.testing.assert_array_equal(CLUSTER, before)
    np.testing.assert_array_equal(weights, selectors.balanced(before))


def test_george_refuses_another_mode():
    with pytest.raises(ValueError, match="amplification mode 'best'"):
        george.moved("best", CLUSTER, LABEL, poison())


def test_george_trains_group_dro_on_clusters_and_selects_by_the_worst_of_validation(examples):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 3)).astype(np.float32)
    scores = {"features": features, "loss": np.ones(40, np.float32), "correct": np.ones(40, bool)}
    kernel = np.array([[-1.0, 1.0], [0, 0], [0, 0]], np.float32)
    label = examples.label.astype(np.int64)
    config = seen(george.METHOD)
    found, figures, _ = george.find(config, evidence(scores, label, kernel))
    assert sum(sum(one["sizes"]) for one in figures["clusters"]) == 40
    n_clusters = len(np.unique(found["cluster"]))
    treatment = george.treat(config, case(examples, found))
    assert treatment.rule == "val_worst_cluster"
    np.testing.assert_array_equal(treatment.val_group, found["cluster"])
    assert treatment.objective is not None
    state = treatment.objective.init()
    assert len(state.log_q) == 16  # the capacity
    np.testing.assert_allclose(np.exp(state.log_q)[:n_clusters], 1 / n_clusters, rtol=1e-6)
    assert np.exp(state.log_q)[n_clusters:].sum() == 0
    _, weights = treatment.selector.update((), 1, None)
    np.testing.assert_array_equal(found["flagged"], weights > 1)


def test_group_dro_over_the_groups_that_are_left(examples):
    """A defence before it may have eliminated a whole group: nobody is drawn or weighted for it."""
    left = examples.take(~((examples.label == 1) & (examples.attribute == 0)))
    treatment = group_dro.METHOD.treat(seen(group_dro.METHOD), case(left))
    assert treatment.group is not None
    assert treatment.objective is not None
    assert sorted(set(treatment.group.tolist())) == [0, 1, 2]
    np.testing.assert_allclose(np.exp(treatment.objective.init().log_q), [1 / 3, 1 / 3, 1 / 3, 0], rtol=1e-6)
