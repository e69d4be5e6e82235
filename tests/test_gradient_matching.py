"""GM around its crafting core: who is a target, who is a poison, what success is."""

import numpy as np
import pytest

from oilwater_jax.attacks import crafting
from oilwater_jax.attacks import gradient_matching as gm
from oilwater_jax.attacks.lab import Lab
from oilwater_jax.errors import UserError
from oilwater_jax.settings.config import default, view
from oilwater_jax.training import program as programs
from oilwater_jax.training.step import normalise


def config_with(**changed):
    config = default()
    config.attack.name = "gm"
    config.gm.update({"targets": 3, "steps": 4, "restarts": 2} | changed)
    return config


def check(config, splits):
    gm.ATTACK.check_data(view(config, gm.ATTACK), splits, 64)


def make_goal(examples, evidence):
    return gm.ATTACK.goal(view(config_with(), gm.ATTACK), examples, evidence)


@pytest.fixture(scope="module")
def attacked(waterdigits):
    config = config_with()
    network = programs.network(config, (32, 32, 3), 2)
    asked, ticks = [], []

    def train(name, examples):
        asked.append((name, examples))
        return network.init_params(7)

    lab = Lab(train, network.apply, network.score, normalise, lambda *tick: ticks.append(tick))
    result = gm.ATTACK.attack(view(config, gm.ATTACK), waterdigits, waterdigits.test, 0, lab)
    ((name, examples),) = asked
    assert name == "victim"
    assert examples is waterdigits.train
    assert [tick[:2] for tick in ticks] == [(4, 8), (8, 8)]  # 2 restarts of 4 steps
    return result


def test_poisons_replace_their_sources_within_eps_and_keep_their_labels(attacked, waterdigits):
    train, poisons = waterdigits.train, attacked.poisons
    assert len(poisons) == len(set(attacked.rows)) == 47
    source = train.take(attacked.rows)
    for field in ("label", "true_label", "attribute", "index"):
        np.testing.assert_array_equal(getattr(poisons, field), getattr(source, field))
    assert (poisons.label == 1).all()
    change = np.abs(poisons.image.astype(int) - source.image)
    assert 0 < change.max() <= 16
    poisoned = attacked.applied(train)
    assert len(poisoned) == len(train)
    np.testing.assert_array_equal(np.flatnonzero(poisoned.is_poison), np.sort(attacked.rows))
    others = ~poisoned.is_poison
    np.testing.assert_array_equal(poisoned.image[others], train.image[others])
    np.testing.assert_array_equal(poisoned.image[attacked.rows], poisons.image)


def test_targets_are_of_the_source_group_and_out_of_the_accuracies(attacked, waterdigits):
    targets = attacked.evidence["targets"]
    test = waterdigits.test
    assert len(set(targets)) == 3
    assert set(zip(test.true_label[targets], test.attribute[targets], strict=True)) == {(0, 0)}
    goal = make_goal(test, attacked.evidence)
    assert np.flatnonzero(~goal.counted).tolist() == targets.tolist()
    np.testing.assert_array_equal(goal.image, test.image[targets])


def test_success_is_the_share_of_targets_taken_for_the_intended_class(attacked, waterdigits):
    goal = make_goal(waterdigits.test, attacked.evidence)
    logits = np.array([[0, 1], [1, 0], [0, 1]], np.float32)
    assert goal.measure(logits, None) == {"asr": pytest.approx(2 / 3)}


def test_the_best_restart_was_kept(attacked):
    assert attacked.evidence["losses"].shape == (2,)
    assert attacked.evidence["history"].shape == (2, 4)


def test_targets_and_sources_are_drawn_by_the_seed(waterdigits):
    draws = [
        (
            gm.draw_targets(waterdigits.test, 2, 0, 3, seed).tolist(),
            gm.draw_sources(waterdigits.train, 1, 9, seed).tolist(),
        )
        for seed in (0, 0, 1)
    ]
    assert draws[0] == draws[1]
    assert draws[0][0] != draws[2][0]
    assert draws[0][1] != draws[2][1]


@pytest.mark.parametrize(
    ("budget", "changed", "evaluate", "message"),
    [
        (0.01, {"targets": 2255}, "test", r"group 0 \(straight/china\) of the test split has 2255 samples"),
        (0.01, {"targets": 500}, "val", r"group 0 \(straight/china\) of the val split has 467 samples"),
        (0.9, {}, "test", r"asks for 4315 poisons, but class 1 \(round\) has 1113 training samples"),
        (0.0001, {}, "test", "is 0 poisons"),
    ],
)
def test_settings_that_the_data_cannot_serve(budget, changed, evaluate, message, waterdigits):
    config = config_with(**changed)
    config.attack.budget, config.evaluate = budget, evaluate
    with pytest.raises(UserError, match=message):
        check(config, waterdigits)


def test_the_target_class_cannot_be_the_intended_one(waterdigits):
    config = config_with()
    config.attack.source_group = 2  # round, the intended class
    with pytest.raises(UserError, match=r"group = 2 \(round/china\) is of the target class 1"):
        check(config, waterdigits)


def test_settings_reach_the_core(attacked):
    settings = crafting.Settings()
    gm_defaults = default().gm
    for name in ("eps", "steps", "restarts", "step_size", "flip"):
        assert getattr(settings, name) == gm_defaults[name], name


def test_a_step_in_pixels_is_the_same_step_in_shares_of_eps():
    own = default().gm
    assert gm.first_step(own) == own.step_size
    own.eps, own.step_size, own.step_unit = 16.0, 4.0, "pixel"
    assert gm.first_step(own) == 0.25
