"""What is said where a method cannot do its work: nobody or nearly everybody, an empty class, a missing group."""

import numpy as np
import pytest
from showing import Looker, evidence

from oilwater_jax import treatments
from oilwater_jax.conformance import Bench
from oilwater_jax.robustness import drawn
from oilwater_jax.settings.registry import known

LABEL = np.repeat([0, 1], [6, 4])


def methods(*names):
    return [known().method(name) for name in names]


def test_a_method_in_rounds_that_eliminates_nobody_says_so():
    nobody = np.ones(10)
    assert treatments.done(methods("epic"), LABEL, nobody) == (
        "epic has eliminated nobody: what is reported is as without it",
    )
    both = treatments.done(methods("loss_trim", "jtt", "epic"), LABEL, nobody)
    assert both[0].startswith("loss_trim + epic has")
    assert treatments.done(methods("erm", "jtt"), LABEL, nobody) == ()
    assert treatments.done(methods("spectral"), LABEL, nobody) == ()  # said where it looks
    assert treatments.done(methods("epic"), LABEL, np.where(np.arange(10) < 1, 0.0, 1.0)) == ()


def test_one_that_eliminates_nearly_everybody_says_so():
    out = np.where(np.arange(10) % 3 == 0, 0.0, 1.0)  # 4 of 10
    assert treatments.done(methods("epic"), LABEL, out) == (
        "epic has eliminated 4 of 10 samples: too many for a search for a few poisons",
    )
    assert treatments.done(methods("afr"), LABEL, out) == ()


def test_a_class_of_which_nobody_is_drawn_is_named_whatever_the_method():
    out = np.where(LABEL == 1, 0.0, 1.0)
    for name in ("erm", "afr"):
        assert treatments.done(methods(name), LABEL, out) == (
            "no sample of class 1 is drawn: nothing of it is learned",
        )


def test_effective_samples_by_hand():
    assert drawn.effective(np.full(7, 3.0)) == pytest.approx(7)
    assert drawn.effective(np.array([2.0, 1.0, 1.0])) == pytest.approx(16 / 6)
    assert drawn.effective(np.array([5.0, 0, 0])) == pytest.approx(1)
    assert drawn.effective(np.zeros(3)) == 0


def test_missing_groups_and_labels_are_named():
    assert drawn.lacking(np.array([0, 1, 3]), 2, 2, "is x") == ("no sample of class 1 with attribute 0 is x",)
    assert drawn.lacking(np.arange(4), 2, 2, "is x") == ()
    assert drawn.absent(LABEL, np.where(LABEL == 0, 2.0, 0.0)) == (
        "no sample of class 1 is among those trained on: it will be unlearned",
    )
    assert drawn.absent(LABEL, np.ones(10)) == ()


@pytest.mark.parametrize("name", ["balanced", "group_dro"])
def test_the_oracles_name_a_group_that_is_not_there(name, examples):
    method = Looker(name)
    assert method.treat(examples, {}).warnings == ()
    gone = examples.take((examples.true_label != 1) | (examples.attribute != 0) | examples.is_poison)
    gone = gone.take(~gone.is_poison)
    (said,) = method.treat(gone, {}).warnings
    assert said.startswith("no sample of class 1 with attribute 0 is there")


def test_afr_says_when_its_weights_are_worth_a_few_samples():
    label = np.arange(200) % 2
    loss = np.where(np.arange(200) < 6, 3.0, 0.0)
    mild = Looker("afr", {"afr.gamma": 0.5, "afr.held_out": 0.5}).find(evidence(label, {"loss": loss}))
    assert mild.warnings == ()
    assert mild.figures["effective"] > 90
    sharp = Looker("afr", {"afr.gamma": 500.0, "afr.held_out": 0.5}).find(evidence(label, {"loss": loss}))
    assert sharp.warnings[0].startswith("the weights leave the last layer with")
    assert sharp.figures["effective"] < 10


def test_afr_and_self_name_a_label_that_is_not_held_out():
    label = np.repeat([0, 1], [59, 1])
    held = Looker("afr", {"afr.held_out": 0.1}).find(evidence(label, {"loss": np.ones(60)}))
    assert held.arrays["held_out"][59] == 0
    assert "no sample of class 1 is among those trained on" in held.warnings[0]
    logits = np.random.default_rng(0).normal(size=(60, 2))
    found = Looker("self", {"self.held_out": 0.1}).find(
        evidence(label, {"logits": logits}, {"logits": -logits})
    )
    assert "no sample of class 1 is among those trained on" in found.warnings[0]


def test_self_says_when_its_models_agree():
    label, logits = np.arange(40) % 2, np.random.default_rng(0).normal(size=(40, 2))
    method = Looker("self", {"self.held_out": 0.5})
    same = method.find(evidence(label, {"logits": logits}, {"logits": logits}))
    assert "agree everywhere" in same.warnings[0]
    assert method.find(evidence(label, {"logits": logits}, {"logits": -logits})).warnings == ()


def test_spare_names_a_class_that_it_could_not_cut():
    label = np.repeat([0, 1], 20)
    logits = np.random.default_rng(0).normal(size=(40, 2))
    logits[:10] += 5
    logits[label == 1] = 1.0
    found = Looker("spare").find(evidence(label, {"logits": logits}))
    assert found.warnings == ("class 1 could not be cut into clusters: its samples are drawn alike",)


def test_eiil_names_a_class_in_one_environment():
    label = np.repeat([0, 1], 20)
    logits = np.zeros((40, 2))  # no slope: the start decides, at random within class 0
    logits[20:, 0] = np.where(np.arange(20) % 2, 3.0, -3.0)
    seen = evidence(label, {"logits": logits})
    assert Looker("eiil", {"eiil.steps": 5}).find(seen).warnings == ()
    two = evidence(np.array([0, 0, 0, 1]), {"logits": np.zeros((4, 2))})  # one sample is in one environment
    assert Looker("eiil", {"eiil.steps": 5}).find(two).warnings[-1] == (
        "all samples of class 1 are in one environment: within it nobody is amplified"
    )


def test_dp_sgd_without_noise_says_that_it_guarantees_nothing(examples):
    assert Looker("dp_sgd").treat(examples, {}).warnings == ()
    (said,) = Looker("dp_sgd", {"dp_sgd.noise": 0.0}).treat(examples, {}).warnings
    assert "nothing is guaranteed" in said


def test_warnings_of_a_row_are_kept_with_its_figures_and_told(tmp_path):
    bench = Bench(tmp_path, loss_trim__share=0.0, mixup__alpha=0.0)
    said = "loss_trim has eliminated nobody: what is reported is as without it"
    assert bench.figures("loss_trim")["warnings"] == [said]
    assert f"loss_trim: {said}" in bench.warnings
    alone = "mixup.alpha = 0: nothing is mixed, this is plain training"
    assert bench.figures("loss_trim+mixup")["warnings"] == [alone, said]
    assert bench.figures("erm")["warnings"] == []
