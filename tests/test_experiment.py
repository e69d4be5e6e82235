"""One way to train: what a treatment may ask of it, and what is told of it. On images of 8x8 pixels."""

import jax
import numpy as np
import pytest
import tiny_resnet

from oilwater_jax import objectives, selectors
from oilwater_jax.errors import UserError
from oilwater_jax.experiment import Experiment
from oilwater_jax.models.variables import HEAD
from oilwater_jax.reporting.progress import Progress
from oilwater_jax.settings.config import default
from oilwater_jax.stages import Stage, Store
from oilwater_jax.types import Objective, Private, Recipe, Splits, Treatment

RECIPE = Recipe(0.05, 1e-3, 2)


def equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.fixture
def splits(examples):
    """Validation has no sample of group 3."""
    val = examples.take((examples.true_label == 0) | (examples.attribute == 0))
    return Splits(examples, val, examples, ("a", "b"), ("x", "y"), "a test's")


@pytest.fixture
def experiment(splits, tmp_path):
    """A function that makes an experiment with the small network; it may be another."""

    def make(model="cnn"):
        config = default()
        config.model.name, config.cnn.widths = model, (8,)
        config.pretrain.epochs, config.train.batch, config.train.shift = 0, 16, 0
        return Experiment(config, splits, Store(tmp_path, pytest.fail), Progress(lambda line: None))

    return make


def train(experiment, splits, name="test", start=None, **treatment):
    whole = Treatment(selectors.everyone(40), **treatment)
    return experiment.train(0, name, name, splits.train, RECIPE, whole, start)


def test_every_epochs_row_has_validation_by_group_and_draws_by_set(experiment, splits):
    one = experiment()
    fitted = train(one, splits)
    correct = one.network.score(fitted.params, splits.val, ("correct",))["correct"]
    group = splits.val.true_label * 2 + splits.val.attribute
    row = fitted.history[fitted.epoch - 1]
    expected = [float(correct[group == g].mean()) for g in range(3)]
    assert row["val_by_group"] == [*(pytest.approx(one) for one in expected), None]  # JSON has no NaN
    assert row["val_wga"] == pytest.approx(min(expected))
    assert row["val_acc"] == pytest.approx(correct.mean())
    for row in fitted.history:
        assert row["set_draws"]["poison"] == 1.0
        assert set(row["set_draws"]) >= {"poison", "hrg_1"}
        assert "val_worst_cluster" not in row


def test_groups_of_a_methods_own_have_their_worst(experiment, splits):
    cluster = (np.arange(len(splits.val)) % 3).astype(np.int32)
    one = experiment()
    fitted = train(one, splits, val_group=cluster, rule="val_worst_cluster")
    correct = one.network.score(fitted.params, splits.val, ("correct",))["correct"]
    worst = min(float(correct[cluster == k].mean()) for k in range(3))
    assert fitted.history[fitted.epoch - 1]["val_worst_cluster"] == pytest.approx(worst)


def test_batch_normalisation_and_clipping_each_samples_gradient_do_not_go_together(experiment, splits):
    with tiny_resnet.known(), pytest.raises(UserError) as caught:
        train(experiment("tiny"), splits, private=Private(1.0, 1.0))
    assert str(caught.value) == (
        "test: batch normalisation couples the samples of a batch, and this method clips each sample's gradient; "
        "choose another network than model.name = 'tiny'"
    )


def test_a_private_training_without_noise_and_a_clip_that_nothing_reaches_is_erm(experiment, splits):
    one = experiment()
    plain = train(one, splits, "plain", rule="last")
    private = train(one, splits, "private", rule="last", private=Private(1e6, 0.0))
    # 40 samples in batches of 16: the last has 8, whose sum is divided by 16 here and by 8 there.
    np.testing.assert_allclose(
        [row["loss"] for row in plain.history][:1], [row["loss"] for row in private.history][:1], rtol=1e-3
    )
    noisy = train(one, splits, "noisy", rule="last", private=Private(1e6, 1e-3))
    assert not np.allclose(noisy.params[HEAD]["kernel"], private.params[HEAD]["kernel"])


def test_the_head_alone_is_trained_from_the_parameters_that_are_given(experiment, splits):
    one = experiment()
    reference = one.start(7)
    fitted = train(one, splits, start=reference, trained="head")
    for name in reference:
        if name != HEAD:
            equal(fitted.params[name], reference[name])
    assert np.abs(np.asarray(fitted.params[HEAD]["kernel"] - reference[HEAD]["kernel"])).max() > 1e-4


def test_the_head_alone_leaves_running_statistics_bit_equal(experiment, splits):
    with tiny_resnet.known():
        one = experiment("tiny")
        reference = one.start(7)
        fitted = train(one, splits, start=reference, trained="head")
    for name in reference:
        if name != HEAD:
            equal(fitted.params[name], reference[name])
    assert np.abs(np.asarray(fitted.params[HEAD]["kernel"] - reference[HEAD]["kernel"])).max() > 1e-4


def both(state, losses, rows):
    return objectives.masked_mean(losses.sum(0), rows.mask), state


def test_of_several_networks_the_first_is_validated_and_reported(experiment, splits):
    """The sum of both losses: each is trained as if alone, the first from where every training of the seed starts."""
    one = experiment()
    alone = train(one, splits, "alone")
    pair = train(one, splits, "pair", objective=Objective(lambda: (), both, networks=2))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), alone.params, pair.params
    )
    assert [row["val_by_group"] for row in alone.history] == [row["val_by_group"] for row in pair.history]
    assert [row["loss"] for row in alone.history] != [row["loss"] for row in pair.history]


def test_networks_beside_the_first_start_from_weights_of_their_own(experiment):
    one = experiment()
    kernels = [np.asarray(one.start(seed, at)[HEAD]["kernel"]) for seed in (0, 1) for at in (0, 1, 2)]
    for at, kernel in enumerate(kernels):
        for other in kernels[:at]:
            assert not np.allclose(kernel, other)
    np.testing.assert_array_equal(one.start(0, 1)[HEAD]["kernel"], kernels[1])


def test_a_recipe_and_a_rule_of_the_treatments_own_rule(experiment, splits):
    fitted = train(experiment(), splits, recipe=Recipe(0.01, 0.0, 3), rule="last")
    assert len(fitted.history) == fitted.epoch == 3


def test_a_training_of_another_key_begins_anew(experiment, splits):
    one = experiment()

    def fitted(key, rate):
        treatment = Treatment(selectors.everyone(40), rule="last")
        return one.train(0, "test", key, splits.train, RECIPE._replace(learning_rate=rate), treatment)

    first = fitted("a", 0.05)
    assert fitted("a", 0.05).history == first.history  # read from its checkpoint, seconds and all
    other = fitted("b", 0.01)
    assert [row["loss"] for row in other.history] != [row["loss"] for row in first.history]
    again = fitted("a", 0.05)
    equal(again.params, first.params)
    assert [row["loss"] for row in again.history] == [row["loss"] for row in first.history]


def test_a_stage_of_another_key_is_computed_again(splits, tmp_path):
    config = default()
    config.pretrain.epochs = 0
    warnings, computed = [], []
    one = Experiment(config, splits, Store(tmp_path, warnings.append), Progress(lambda line: None))

    def stage(key):
        def compute():
            computed.append(key)
            return Stage({"flagged": np.zeros(3, bool)}, {"of": key})

        return one.stage("seed0/jtt.found", key, compute).figures["of"]

    assert [stage(key) for key in ("a", "a", "b", "b")] == ["a", "a", "b", "b"]
    assert computed == ["a", "b"]
    assert len(warnings) == 1
    assert "is of other settings, code or files than this run's; the stage is computed again" in warnings[0]
