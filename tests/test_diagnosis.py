"""Each signature shows, and stays silent a hair's breadth from its threshold."""

import copy

import pytest

from oilwater_jax.reporting.diagnosis import THRESHOLDS, diagnose


# Nothing is wrong here: JTT lifts WGA without the attack, EPIc costs nothing, the combination has both.
def row(label, aims, alone, **figures):
    fixed = {"label": label, "aims": aims, "alone": alone, "oracle": False, "asr_untriggered": 0.02}
    nobody = {"idnf": {"poison": 0.0}, "elmf": {"poison": 0.0, "lrg_1": 0.0}}
    return fixed | nobody | figures


AMPLIFIED = {"idnf": {"poison": 0.9, "poison_std": 0.1}}
SOUND = {
    "measures": {"asr": "ASR", "asr_untriggered": "untriggered"},
    "baseline": "asr_untriggered",
    "rows": {
        "erm": row("ERM", [], "erm", wga=0.5, acc_adjusted=0.95, asr=0.12),
        "epic": row(
            "EPIc",
            ["eliminate"],
            "",
            wga=0.49,
            acc_adjusted=0.95,
            asr=0.02,
            elmf={"poison": 0.9, "lrg_1": 0.8},
        ),
        "jtt": row("JTT", ["amplify"], "jtt", wga=0.8, acc_adjusted=0.9, asr=0.14, **AMPLIFIED),
        "epic+jtt": row(
            "EPIc + JTT", ["amplify", "eliminate"], "jtt", wga=0.8, acc_adjusted=0.9, asr=0.02, **AMPLIFIED
        ),
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


JTT, EPIC, BOTH = ("rows", "jtt"), ("rows", "epic"), ("rows", "epic+jtt")
SIGNATURES = {
    "amplification failure: JTT does not raise WGA (54.0%, ERM 50.0%), and it draws 90.0% of the poisons more than "
    "once per epoch.": [(*JTT, "wga", 0.54)],
    "attack amplified: JTT raises the attack's net success from 10.0% (ERM) to 90.0%; it draws 90.0% of the poisons "
    "more than once per epoch.": [(*JTT, "asr", 0.92)],
    "defence over-pruning: EPIc keeps adj. ACC (95.0%, ERM 95.0%) but lowers WGA from 50.0% to 41.0%; it eliminates "
    "80.0% of LRG-1.": [(*EPIC, "wga", 0.41)],
    "combined stagnation: EPIc + JTT improves neither WGA (52.0%, ERM 50.0%) nor the attack's net success (11.0%, JTT "
    "alone 12.0%).": [(*BOTH, "wga", 0.52), (*BOTH, "asr", 0.13)],
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
            (*JTT, "idnf", {"poison": 0.49}),
            (*JTT, "wga", 0.5),
            (*JTT, "asr", 0.92),
        ],
        "WGA rises by the threshold": [(*JTT, "wga", 0.5 + THRESHOLDS.change + 1e-9)],
        "WGA falls by less than the threshold": [(*EPIC, "wga", 0.5 - THRESHOLDS.change + 1e-9)],
        "EPIc loses ACC with WGA": [(*EPIC, "wga", 0.1), (*EPIC, "acc_adjusted", 0.8)],
        "no minority is eliminated": [
            (*EPIC, "wga", 0.3),
            (*EPIC, "elmf", {"lrg_1": 0.29, "lrg_1_std": 0.5}),
        ],
        "no attack to improve on": [(*BOTH, "wga", 0.5), (*JTT, "asr", 0.06), (*BOTH, "asr", 0.06)],
        "undefined success": [(*BOTH, "wga", 0.5), (*JTT, "asr", None)],
        "no poisons": [(*JTT, "idnf", {"poison": None}), (*JTT, "wga", 0.5)],
        "an oracle": [(*JTT, "oracle", True), (*JTT, "asr", 0.92)],
    }.items(),
    ids=lambda item: item[0],
)
def test_no_signature(changes):
    assert diagnose(changed(*changes[1])) == []


def test_a_constant_predictor_is_no_amplified_attack():
    """All images go to the target, with the trigger or without: gross success 100%, net 0, and no group is safe."""
    constant = [(*JTT, "asr", 1.0), (*JTT, "asr_untriggered", 1.0), (*JTT, "wga", 0.0)]
    (said,) = diagnose(changed(*constant))
    assert said.startswith("amplification failure: JTT does not raise WGA (0.0%, ERM 50.0%)")
    # An attack without a rate to subtract: WGA alone tells.
    bare = changed(("baseline", ""), (*JTT, "asr", 1.0), (*JTT, "wga", 0.0))
    assert not any(one.startswith("attack amplified") for one in diagnose(bare))


def test_the_constant_predictor_of_an_amplifying_row_that_keeps_wga_is_judged_by_the_net_rate():
    same = changed((*JTT, "asr", 0.9), (*JTT, "asr_untriggered", 0.85))
    assert diagnose(same) == []


def test_rows_that_are_not_there_are_passed_over():
    assert diagnose({"measures": {}, "baseline": "", "rows": {}}) == []
    assert diagnose(SOUND | {"rows": {"erm": SOUND["rows"]["erm"]}}) == []
    assert (
        diagnose(SOUND | {"rows": {name: one for name, one in SOUND["rows"].items() if name != "erm"}}) == []
    )
