"""Each signature shows, and stays silent a hair's breadth from its threshold."""

import copy

import pytest

from oilwater_jax.reporting.diagnosis import THRESHOLDS, diagnose

# Nothing is wrong here: JTT lifts WGA without the attack, EPIc costs nothing, the combination has both.
SOUND = {
    "measures": ["asr"],
    "idnf": {"poison": 0.9, "poison_std": 0.1},
    "rows": {
        "erm": {"wga": 0.5, "acc_adjusted": 0.95, "asr": 0.1},
        "epic": {"wga": 0.49, "acc_adjusted": 0.95, "asr": 0.0, "elmf": {"poison": 0.9, "lrg_1": 0.8}},
        "jtt_standard": {"wga": 0.8, "acc_adjusted": 0.9, "asr": 0.12},
        "epic_jtt": {"wga": 0.8, "acc_adjusted": 0.9, "asr": 0.0},
    },
}


def changed(*changes):
    summary = copy.deepcopy(SOUND)
    for *path, last, value in changes:
        node = summary
        for name in path:
            node = node[name]
        node[last] = value
    return summary


STANDARD, EPIC, BOTH = ("rows", "jtt_standard"), ("rows", "epic"), ("rows", "epic_jtt")
SIGNATURES = {
    "amplification failure: JTT does not raise WGA (54.0%, ERM 50.0%), and its heuristic identifies 90.0% of the "
    "poisons.": [(*STANDARD, "wga", 0.54)],
    "attack amplified: JTT raises the attack's success from 10.0% (ERM) to 90.0%; its heuristic identifies 90.0% of "
    "the poisons.": [(*STANDARD, "asr", 0.9)],
    "defence over-pruning: EPIc keeps adj. ACC (95.0%, ERM 95.0%) but lowers WGA from 50.0% to 41.0%; it eliminates "
    "80.0% of LRG-1.": [(*EPIC, "wga", 0.41)],
    "combined stagnation: EPIc + JTT improves neither WGA (52.0%, ERM 50.0%) nor the attack's success (11.0%, JTT "
    "alone 12.0%).": [(*BOTH, "wga", 0.52), (*BOTH, "asr", 0.11)],
}


def test_sound_figures_have_no_signature():
    assert diagnose(SOUND) == []


@pytest.mark.parametrize(("sentence", "changes"), SIGNATURES.items(), ids=lambda one: str(one).split(":")[0])
def test_each_signature_alone(sentence, changes):
    assert diagnose(changed(*changes)) == [sentence]


@pytest.mark.parametrize(
    "changes",
    {
        "few poisons identified": [
            ("idnf", "poison", 0.49),
            (*STANDARD, "wga", 0.5),
            (*STANDARD, "asr", 0.9),
        ],
        "WGA rises by the threshold": [(*STANDARD, "wga", 0.5 + THRESHOLDS.change + 1e-9)],
        "WGA falls by less than the threshold": [(*EPIC, "wga", 0.5 - THRESHOLDS.change + 1e-9)],
        "EPIc loses ACC with WGA": [(*EPIC, "wga", 0.1), (*EPIC, "acc_adjusted", 0.8)],
        "no minority is eliminated": [
            (*EPIC, "wga", 0.3),
            (*EPIC, "elmf", {"lrg_1": 0.29, "lrg_1_std": 0.5}),
        ],
        "no attack to improve on": [(*BOTH, "wga", 0.5), (*STANDARD, "asr", 0.04), (*BOTH, "asr", 0.04)],
        "undefined success": [(*BOTH, "wga", 0.5), (*STANDARD, "asr", None)],
        "no poisons": [("idnf", "poison", None), (*STANDARD, "wga", 0.5)],
    }.items(),
    ids=lambda item: item[0],
)
def test_no_signature(changes):
    assert diagnose(changed(*changes[1])) == []


def test_rows_that_are_not_there_are_passed_over():
    assert diagnose({"measures": [], "idnf": {}, "rows": {}}) == []
    erm = {"measures": ["asr"], "idnf": {"poison": 1.0}, "rows": {"erm": SOUND["rows"]["erm"]}}
    assert diagnose(erm) == []
