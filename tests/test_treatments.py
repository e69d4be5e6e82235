import numpy as np
import pytest

from oilwater_jax import objectives, selectors, treatments
from oilwater_jax.defenses.epic import epic
from oilwater_jax.entries import Method
from oilwater_jax.errors import UserError
from oilwater_jax.types import MODES, Found, Private, Recipe, Selector, Treatment

FLAGGED = np.array([True, True, False, False])
POISON = np.array([True, False, True, False])
# Rows are: flagged poison, flagged clean, other poison, other clean. The module's table, cell by cell.
TABLE = {
    ("amplify", "standard"): [True, True, False, False],
    ("amplify", "ideal"): [False, True, False, False],
    ("amplify", "worst"): [True, True, True, False],
    ("eliminate", "standard"): [True, True, False, False],
    ("eliminate", "ideal"): [True, False, False, False],
    ("eliminate", "worst"): [False, True, False, False],
}


def method(**more):
    settings = {
        "name": "mine",
        "help": "a test's",
        "aim": "eliminate",
        "treat": lambda config, case: Treatment(EVERYONE),
    }
    return Method(**settings | more)


def weights(selector, epoch=1, state=()):
    return selector.update(state, epoch, None)[1]


@pytest.mark.parametrize(("aim", "mode"), TABLE)
def test_whom_a_mode_acts_on(aim, mode):
    before = FLAGGED.copy()
    assert treatments.chosen(aim, mode, FLAGGED, POISON).tolist() == TABLE[aim, mode]
    np.testing.assert_array_equal(FLAGGED, before)


def test_the_table_has_a_cell_for_every_mode():
    assert {mode for _, mode in TABLE} == set(MODES)


@pytest.mark.parametrize("aim", ["amplify", "eliminate"])
def test_another_mode_is_refused(aim):
    with pytest.raises(ValueError, match="'best'; known: standard, ideal, worst"):
        treatments.chosen(aim, "best", FLAGGED, POISON)


def test_amplifying_in_the_ideal_mode_without_poisons_is_standard():
    flagged, nobody = np.arange(40) % 3 == 0, np.zeros(40, bool)
    for mode in ("ideal", "worst"):
        np.testing.assert_array_equal(treatments.chosen("amplify", mode, flagged, nobody), flagged)
    np.testing.assert_array_equal(treatments.chosen("eliminate", "worst", flagged, nobody), flagged)
    assert not treatments.chosen("eliminate", "ideal", flagged, nobody).any()


def test_spared_samples_are_drawn_once_and_the_selector_stays_what_it_is(examples):
    inner = Selector(
        init=lambda examples: np.zeros(1),
        due=lambda epoch: ("loss",) if epoch == 2 else (),
        update=lambda state, epoch, scores: (state + 1, np.array([0.0, 0.0, 5.0, 0.5])),
        first=lambda epochs: 3,
    )
    spared = treatments.spare(inner, np.array([True, False, True, False]))
    state, got = spared.update(spared.init(examples), 1, None)
    assert got.tolist() == [1.0, 0.0, 1.0, 0.5]
    assert state.tolist() == [1.0]
    assert spared.due(2) == ("loss",)
    assert selectors.earliest(spared, 9) == 3


def test_spared_samples_do_not_hide_a_wrong_number_of_weights():
    with pytest.raises(UserError, match="gave 3 weights for 4 training samples in epoch 1"):
        weights(treatments.spare(selectors.everyone(3), POISON))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("standard", [0.0, 0.0, 0.0, 1.0]),
        ("ideal", [0.0, 1.0, 0.0, 1.0]),  # of the clean none is eliminated
        ("worst", [1.0, 0.0, 1.0, 1.0]),  # of the poisons none
    ],
)
def test_what_rounds_eliminate_is_as_the_mode_has_it(mode, expected):
    treatment = Treatment(selectors.fixed(np.array([0.0, 0.0, 0.0, 1.0])))
    got = treatments.in_mode(method(), mode, treatment, POISON)
    assert weights(got.selector).tolist() == expected


@pytest.mark.parametrize("mode", MODES)
def test_a_method_that_amplifies_has_its_mode_from_what_it_found_alone(mode):
    treatment = Treatment(selectors.fixed(np.array([3.0, 1.0, 3.0, 1.0])))
    got = treatments.in_mode(method(aim="amplify"), mode, treatment, POISON)
    assert weights(got.selector).tolist() == [3.0, 1.0, 3.0, 1.0]


def test_the_oracles_of_epics_rounds_spare_the_others(examples):
    """One round that eliminates some of both kinds: `ideal` eliminates the poisons of them, `worst` the rest."""
    rng = np.random.default_rng(0)
    gradients = np.stack([spread := rng.exponential(0.2, 40), -spread], axis=1).astype(np.float32)
    gradients = np.where((examples.label == 1)[:, None], gradients, -gradients)
    scores = {"last_layer_gradient": gradients}
    poison = np.arange(40) % 2 == 0

    def eliminated(mode):
        selector = epic(ratio=0.6, subset_freq=1, drop_after=1, stop_after=2)
        got = treatments.in_mode(method(), mode, Treatment(selector), poison).selector
        return got.update(got.init(examples), 1, scores)[1] == 0

    standard, ideal, worst = map(eliminated, MODES)
    assert (standard & poison).any()
    assert (standard & ~poison).any()
    np.testing.assert_array_equal(ideal, standard & poison)
    np.testing.assert_array_equal(worst, standard & ~poison)


EVERYONE = selectors.everyone(4)
OWN = {
    "objective": objectives.erm(),
    "group": np.zeros(4, np.int32),
    "val_group": np.zeros(2, np.int32),
    "rule": "last",
    "recipe": Recipe(0.1, 0.0, 2),
    "start": "reference",
    "trained": "head",
    "private": Private(1.0, 0.5),
}


@pytest.mark.parametrize("own", OWN)
def test_something_of_its_own_must_be_announced(own):
    treatment = Treatment(EVERYONE, **{own: OWN[own]})
    assert treatment.sole
    with pytest.raises(
        ValueError, match=r"method 'mine': .* of its own, but the method does not say sole=True"
    ):
        treatments.check(method(), treatment, 4)
    looking = method(sole=True, find=lambda config, evidence: Found({}, {}))
    assert treatments.check(looking, treatment, 4) is treatment


def test_a_selector_alone_needs_no_announcement():
    treatment = Treatment(EVERYONE)
    assert not treatment.sole
    assert treatments.check(method(), treatment, 4) is treatment


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"group": np.zeros(3, np.int32)}, "method 'mine': its treatment has 3 groups for 4 samples"),
        ({"start": "warm"}, "method 'mine': start 'warm'; known: fresh, reference"),
        ({"trained": "body"}, "method 'mine': trained 'body'; known: all, head"),
    ],
)
def test_a_treatment_that_does_not_fit_is_refused(own, message):
    with pytest.raises(ValueError, match=message):
        treatments.check(method(sole=True), Treatment(EVERYONE, **own), 4)


def test_together_multiplies_the_weights_and_keeps_what_one_alone_brings(examples):
    few, group = examples.take(np.arange(4)), np.array([0, 1, 0, 1], np.int32)
    groups = Treatment(
        selectors.fixed(np.array([2.0, 1.0, 1.0, 1.0])),
        objective=objectives.group_dro(np.array([2, 2]), eta=0.1, adjustment=0.0),
        group=group,
        rule="val_acc",
    )
    drops = Treatment(selectors.fixed(np.array([1.0, 0.0, 1.0, 1.0])))
    for order in ([groups, drops], [drops, groups]):
        whole = treatments.together(order)
        _, got = whole.selector.update(whole.selector.init(few), 1, None)
        assert got.tolist() == [2.0, 0.0, 1.0, 1.0]
        assert whole._replace(selector=groups.selector) == groups
    alone = treatments.together([drops])
    assert not alone.sole
    assert alone.selector.update(alone.selector.init(few), 1, None)[1].tolist() == [1.0, 0.0, 1.0, 1.0]


def test_an_aim_of_another_name_is_refused():
    with pytest.raises(ValueError, match="method 'mine': aim 'defend'; known: amplify, eliminate, train"):
        method(aim="defend")


@pytest.mark.parametrize(
    ("more", "modes"),
    [({"aim": "eliminate"}, MODES), ({"aim": "train"}, ("standard",)), ({"oracle": True}, ("standard",))],
)
def test_only_who_chooses_and_does_not_know_has_oracles(more, modes):
    assert method(**more).modes == modes


def test_clipped_gradients_and_an_objective_do_not_go_together():
    both = Treatment(EVERYONE, objective=objectives.erm(), private=Private(1.0, 1.0))
    with pytest.raises(ValueError, match="an objective of its own would not be minimised"):
        treatments.check(method(sole=True), both, 4)


def test_a_start_from_the_reference_model_is_for_a_method_that_looks():
    """Else the keys would not know that the training depends on that model."""
    with pytest.raises(ValueError, match="starts from the reference model, but it has no find"):
        treatments.check(method(sole=True), Treatment(EVERYONE, start="reference"), 4)
