import numpy as np
import pytest
from looking import case, evidence, examples, weights

from oilwater_jax.defenses import flagging
from oilwater_jax.errors import UserError


def test_the_most_suspicious_and_ties_at_the_cut():
    suspicion = np.array([3.0, 1.0, 2.0, 2.0])
    assert flagging.most_suspicious(suspicion, 1).tolist() == [True, False, False, False]
    assert flagging.most_suspicious(suspicion, 2).tolist() == [True, False, False, False]  # 2 and 2 are equal
    assert flagging.most_suspicious(suspicion, 3).tolist() == [True, False, True, True]
    assert not flagging.most_suspicious(suspicion, 0).any()
    assert flagging.most_suspicious(suspicion, 9).all()
    assert not flagging.most_suspicious(np.ones(4), 2).any()


def test_whole_is_not_off_by_a_rounding():
    assert 0.29 * 100 < 29
    assert flagging.whole(0.29, 100) == 29
    assert flagging.whole(0.5, 3) == 1


def test_each_class_gives_its_own_and_at_most_half():
    label = np.array([0, 0, 0, 0, 1, 1, 1, 2])
    suspicion = np.array([1.0, 4, 3, 2, 9, 8, 7, 99])
    flagged = flagging.most_in_each_class(suspicion, label, 3)
    assert flagged.tolist() == [False, True, True, False, True, False, False, False]


def test_a_class_is_never_flagged_beyond_half():
    label = np.array([0, 0, 0, 0, 1, 2, 2])
    suspicion = np.array([1.0, 4, 3, 2, 5, 6, 6])
    flagged, warnings = flagging.capped(np.array([True] * 7), suspicion, label)
    assert flagged.tolist() == [False, True, True, False, False, False, False]
    assert len(warnings) == 3
    assert warnings[0].startswith("4 of the 4 samples of class 0 looked like poisons")
    same, none = flagging.capped(np.array([True] + [False] * 6), suspicion, label)
    assert same.tolist() == [True] + [False] * 6
    assert none == ()


def test_conformal_flags_by_hand():
    base = np.arange(1.0, 20)  # 19 samples: p-values come in twentieths
    suspicion = np.array([0.0, 18.5, 19.0, 19.5])
    # base samples at least as suspicious: 19, 1, 1, 0; p-values 1, 0.1, 0.1, 0.05
    assert flagging.above_base(suspicion, base, 0.05)[0].tolist() == [False, False, False, True]
    assert flagging.above_base(suspicion, base, 0.1)[0].tolist() == [False, True, True, True]
    assert flagging.above_base(suspicion, base, 1.0)[0].all()


def test_too_small_a_base_set_flags_nobody_and_says_so():
    flagged, warnings = flagging.above_base(np.array([1e9]), np.arange(18.0), 0.05)
    assert not flagged.any()
    assert "18 base samples" in warnings[0]
    assert "at least 19" in warnings[0]
    assert "no base set is enough" in flagging.above_base(np.ones(1), np.ones(3), 0.0)[1][0]


def test_false_alarms_are_as_promised():
    rng = np.random.default_rng(0)
    rates = [
        flagging.above_base(rng.normal(size=200), rng.normal(size=99), 0.1)[0].mean() for _ in range(200)
    ]
    assert 0.085 < np.mean(rates) < 0.115


def test_warnings_of_what_was_found():
    look = evidence([0] * 10, n_classes=3)
    none = flagging.found(look, np.zeros(10, bool), np.arange(10.0))
    assert "class 1 has no training samples" in none.warnings[0]
    assert "nothing is flagged" in none.warnings[1]
    look = evidence([0, 1] * 5)
    much = flagging.found(look, np.arange(10) > 5, np.arange(10.0), warnings=("mine",))
    assert much.warnings == ("mine", "4 of 10 samples are flagged: too many for a search for a few poisons")
    few = flagging.found(look, np.arange(10) > 8, np.arange(10.0))
    assert few.warnings == ()
    assert few.arrays["flagged"].tolist() == [False] * 9 + [True]


def test_what_a_base_set_lacks():
    base = examples([0, 0], attribute=[0, 1])
    look = evidence([0, 1], base=base)
    assert flagging.base_warnings(look) == (
        "the base set has no sample of class 1; that class is judged without one",
    )
    base = examples([0, 1, 1], attribute=[0, 0, 1])
    assert "class 0 with attribute 1" in flagging.base_warnings(evidence([0, 1], base=base), groups=True)[0]
    assert flagging.base_warnings(evidence([0, 1], base=base)) == ()


def test_what_is_not_finite_is_refused():
    with pytest.raises(UserError, match=r"spectral: .*not finite; lower identify\.learning_rate"):
        flagging.check_finite("spectral", np.ones(3), np.array([np.nan]))


def test_the_flagged_are_not_drawn():
    train = examples([0, 0, 1])
    treatment = flagging.eliminate(None, case(train, {"flagged": np.array([True, False, False])}))
    assert weights(treatment, train).tolist() == [[0.0, 1.0, 1.0]]
    assert not treatment.sole
