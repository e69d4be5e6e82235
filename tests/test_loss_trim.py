import numpy as np
import pytest
from looking import case, config

from oilwater_jax import selectors
from oilwater_jax.defenses.loss_trim import METHOD, kept, loss_trim
from oilwater_jax.errors import UserError


def slow(loss, label, share):
    weights = np.ones(len(loss))
    left = {one: int((label == one).sum()) // 2 for one in set(label)}
    for i in sorted(range(len(loss)), key=lambda i: -loss[i])[: int(share * len(loss))]:
        if left[label[i]]:
            weights[i] = 0
            left[label[i]] -= 1
    return weights


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_equals_the_slow_loop(share):
    rng = np.random.default_rng(0)
    loss, label = rng.exponential(size=100), (np.arange(100) < 20).astype(int)
    loss[:20] += 1.0  # a small, hard class
    np.testing.assert_array_equal(kept(loss, label, share), slow(loss, label, share))


def test_edge_cases_of_a_round():
    label = np.array([0, 0, 1, 1])
    assert kept(np.array([1.0, 2, 3, 4]), label, 0.2).tolist() == [1, 1, 1, 1]  # 0.8 samples
    assert kept(np.array([1.0, 2, 3, 4]), label, 0.25).tolist() == [1, 1, 1, 0]
    assert kept(np.array([1.0, 2, 4, 4]), label, 0.25).tolist() == [1, 1, 1, 1]
    assert kept(np.ones(4), label, 0.5).tolist() == [1, 1, 1, 1]
    assert kept(np.array([1.0, 2, 3, 4]), label, 0.5).tolist() == [1, 1, 1, 0]  # half of class 1
    with pytest.raises(UserError, match="sample 2 is not finite"):
        kept(np.array([1.0, 2, np.nan, np.inf]), label, 0.5)


def test_permuting_the_samples_permutes_the_weights():
    rng = np.random.default_rng(1)
    loss, label, order = rng.exponential(size=50), rng.integers(0, 2, 50), rng.permutation(50)
    np.testing.assert_array_equal(kept(loss[order], label[order], 0.2), kept(loss, label, 0.2)[order])


def test_judges_anew_in_every_epoch(examples):
    selector = loss_trim(share=0.1, start=2)
    state = selector.init(examples)
    assert selector.due(1) == ()
    assert (selector.update(state, 1, None)[1] == 1).all()
    for epoch, hard in ((2, np.arange(4)), (3, np.arange(20, 24))):
        loss = np.where(np.isin(np.arange(40), hard), 5.0, 1.0) + np.arange(40) / 100
        assert selector.due(epoch) == ("loss",)
        state, weights = selector.update(state, epoch, {"loss": loss})
        assert np.flatnonzero(weights == 0).tolist() == hard.tolist()
    with pytest.raises(ValueError, match="epoch 4 needs the score loss"):
        selector.update(state, 4, None)


def test_a_model_may_be_reported_from_the_first_trimmed_epoch_on():
    assert selectors.earliest(loss_trim(share=0.1, start=3), 10) == 3
    assert METHOD.rounds(config(METHOD, start=3), 10) == 8


def test_nothing_to_leave_out_is_plain_training(examples):
    selector = loss_trim(share=0.0, start=1)
    assert (selector.update(selector.init(examples), 1, {"loss": np.arange(40.0)})[1] == 1).all()


def test_a_start_after_the_end_is_refused(examples):
    treatment = METHOD.treat(config(METHOD, start=4), case(examples, {}, epochs=4))
    assert not treatment.sole
    with pytest.raises(UserError, match=r"loss_trim\.start = 5, but training has 4 epochs"):
        METHOD.treat(config(METHOD, start=5), case(examples, {}, epochs=4))
