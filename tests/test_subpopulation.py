"""SA: who is in the subpopulation, where poisons come from, what damage is. Pure parts; the run is test_pipeline's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oilwater_jax import data
from oilwater_jax.attacks import subpopulation as sa
from oilwater_jax.attacks.lab import Lab
from oilwater_jax.errors import UserError
from oilwater_jax.groups import group_counts
from oilwater_jax.settings.config import default, view
from oilwater_jax.training import program as programs


class Surrogate:
    """A lab whose model's features are each image's mean colour."""

    def __init__(self):
        self.trained = []

    def train(self, name, examples):
        self.trained.append((name, examples))
        return None

    def score(self, params, image, names):
        return {"features": image.reshape(len(image), -1, 3).mean(1).astype(np.float32)}

    def apply(self, params, image):
        raise AssertionError("only scores are asked for")

    def tick(self, done, total, note):
        pass

    @property
    def lab(self):
        return Lab(self.train, self.apply, self.score, lambda image: image, self.tick)


def config_with(**changed):
    config = default()
    config.attack.name = "sa"
    config.data.auxiliary = 0.3
    config.sa.update({"components": 2, "clusters": 20} | changed)
    return config


def check(config, splits):
    """Every check of settings and data."""
    seen = view(config, sa.ATTACK)
    sa.ATTACK.check(seen)
    sa.ATTACK.check_data(seen, splits, programs.width(config))


def attack(config, splits, seed, lab):
    return sa.ATTACK.attack(view(config, sa.ATTACK), splits, splits.test, seed, lab)


@pytest.fixture(scope="module")
def splits():
    return data.load("waterdigits", auxiliary=0.3)


def image_set(examples):
    return {image.tobytes() for image in examples.image}


def test_the_auxiliary_part_is_a_share_of_each_group_and_of_nothing_else(waterdigits, splits):
    whole, kept, held = (
        group_counts(part, 2, 2) for part in (waterdigits.train, splits.train, splits.auxiliary)
    )
    assert held.tolist() == [1049, 55, 16, 317]  # 30% of 3498, 184, 56, 1057, rounded down
    np.testing.assert_array_equal(kept + held, whole)
    assert not set(splits.train.index) & set(splits.auxiliary.index)
    assert len(data.load("waterdigits").auxiliary) == 0
    assert data.load("waterdigits", auxiliary=0.3).auxiliary.index.tolist() == splits.auxiliary.index.tolist()


@settings(max_examples=25)  # of the whole data set, half a second each
@given(
    share=st.floats(0, 0.9),
    alpha=st.sampled_from([0.5, 1, 2]),
    match=st.sampled_from(["cluster", "feature"]),
    seed=st.integers(0, 100),
)
def test_poisons_come_from_the_auxiliary_part_alone(waterdigits, share, alpha, match, seed):
    splits = data.carve(waterdigits, share)
    config = config_with(alpha=alpha, match=match, clusters=5)
    try:
        check(config, splits)
        attacked = attack(config, splits, seed, Surrogate().lab)
    except UserError:
        assert len(splits.auxiliary) < 400
        return
    poisons = attacked.poisons
    assert set(poisons.index) <= set(splits.auxiliary.index)
    assert not set(poisons.index) & set(splits.train.index)
    assert image_set(poisons) <= image_set(splits.auxiliary)  # untouched
    assert not image_set(poisons) & image_set(splits.test)
    assert (poisons.label == 1).all()
    assert (poisons.true_label == 0).all()
    assert poisons.is_poison.all()
    assert len(poisons) == int(np.ceil(alpha * attacked.evidence["train"].sum()))
    poisoned = attacked.applied(splits.train)
    for name, array in splits.train.arrays().items():
        np.testing.assert_array_equal(poisoned.arrays()[name][: len(splits.train)], array)


def test_the_surrogate_sees_the_auxiliary_part_only(splits):
    surrogate = Surrogate()
    attack(config_with(), splits, 0, surrogate.lab)
    ((name, examples),) = surrogate.trained
    assert name == "surrogate"
    assert examples is splits.auxiliary


def test_feature_match_is_exact_agreement(splits):
    attacked = attack(config_with(match="feature"), splits, 0, Surrogate().lab)
    expected = (splits.test.true_label == 0) & (splits.test.attribute == 0)  # the largest group of class 0
    np.testing.assert_array_equal(attacked.evidence["judged"], expected)
    assert len(attacked.poisons) == 3498 - 1049


def test_cluster_match_assigns_by_the_nearest_centroid_of_the_auxiliary_part():
    held = np.array([[0.0, 0], [0, 1], [10, 0], [10, 1]])
    own, other = sa.cluster(
        held, [np.array([[1.0, 0.5], [9, 0.5], [100, 0]])], clusters=2, components=1, seed=0
    )
    assert own[0] == own[1] != own[2] == own[3]
    assert other.tolist() == [own[0], own[2], own[2]]


def test_few_sources_are_used_in_whole_rounds(splits):
    members = np.zeros(len(splits.auxiliary), bool)
    members[np.flatnonzero(splits.auxiliary.true_label == 0)[:4]] = True
    poisons = sa.poison(splits.auxiliary, members, 10, 1, seed=0)
    _, counts = np.unique(poisons.index, return_counts=True)
    assert sorted(counts) == [2, 2, 3, 3]


@pytest.mark.parametrize(("alpha", "members", "count"), [(0.5, 7, 4), (1, 7, 7), (2, 7, 14), (0.1, 30, 3)])
def test_poison_count(alpha, members, count):
    assert sa.poison_count(alpha, members) == count


def test_damage_is_a_difference_and_may_be_negative(examples):
    inside = np.arange(40) < 10  # all of class 0
    goal = sa.ATTACK.goal(view(default(), sa.ATTACK), examples, {"judged": inside})
    assert sa.ATTACK.needs_clean
    assert goal.counted.all()
    right = np.eye(2, dtype=np.float32)[examples.true_label]
    wrong_on_4 = right.copy()
    wrong_on_4[:4] = [0, 1]
    assert goal.measure(wrong_on_4, right) == {"target_damage": 0.4, "collateral": 0.0, "target_acc": 0.6}
    assert goal.measure(right, wrong_on_4)["target_damage"] == pytest.approx(-0.4)
    wrong_outside = right.copy()
    wrong_outside[10:25] = 1 - wrong_outside[10:25]
    assert goal.measure(wrong_outside, right)["collateral"] == 0.5


def test_components_are_bounded_by_the_networks_own_features():
    config = config_with(components=65)
    config.model.name = "resnet18"
    config.cnn.widths = (8,)
    check(config, data.load("waterdigits", auxiliary=0.3))
    config.sa.components = 513
    with pytest.raises(UserError, match=r"more than the features \(512\)"):
        check(config, data.load("waterdigits", auxiliary=0.3))


@pytest.mark.parametrize(
    ("changed", "auxiliary", "message"),
    [
        ({"clusters": 2000}, 0.3, "^sa.clusters = 2000 is more than the 1437 auxiliary samples"),
        ({"components": 65}, 0.3, r"^sa.components = 65 is more than the features \(64\)"),
        ({"match": "feature"}, 0.01, r"group 1 \(straight/flower\), has no auxiliary samples"),
    ],
)
def test_settings_that_the_data_cannot_serve(changed, auxiliary, message):
    config = config_with(**changed)
    config.attack.source_group = 1 if changed.get("match") else -1
    small = data.load("waterdigits", auxiliary=auxiliary)
    if "match" in changed:
        small = small._replace(auxiliary=small.auxiliary.take(small.auxiliary.attribute == 0))
    with pytest.raises(UserError, match=message):
        check(config, small)


def test_without_an_auxiliary_part_there_is_nothing_to_make_poisons_of():
    config = config_with()
    config.data.auxiliary = 0.0
    with pytest.raises(UserError, match=r"attack.name = 'sa' needs .* but data.auxiliary = 0; set it"):
        sa.ATTACK.check(view(config, sa.ATTACK))


def test_no_cluster_that_can_be_attacked_is_said(splits):
    zeros = [np.zeros(len(part), np.int64) for part in (splits.auxiliary, splits.train, splits.test)]
    with pytest.raises(UserError, match="no cluster of another class than 0 has training samples"):
        sa.choose(splits.auxiliary, *zeros, target=0, seed=0)  # the one cluster is mostly of class 0
