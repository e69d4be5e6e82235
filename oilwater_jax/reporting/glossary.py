"""The terms of the tables, each in one sentence, by the heading that it stands under."""

from collections.abc import Iterable

TERMS = {
    "training": "how the network was trained; 'a + b': one training under both methods, 'a, then b': b works on what "
    "a left",
    "ACC": "accuracy: share of the split's samples that are classified correctly",
    "adj. ACC": "adjusted accuracy: the groups' accuracies, averaged in the training set's proportions",
    "WGA": "worst-group accuracy: accuracy on the group with the lowest; a group is a class and an attribute",
    "worst group": "the group with the lowest mean accuracy",
    "worst class": "accuracy on the class with the lowest",
    "balanced ACC": "mean over the classes of the accuracy on each",
    "worst F1": "the least F1 score of a class against the others",
    "ECE": "expected calibration error: how far confidence and accuracy lie apart, over 10 bins of confidence",
    "ASR": "attack success rate: share of the attack's inputs that are classified as the attack wants",
    "untriggered": "the same share without the trigger: how often it would happen without the attack",
    "net ASR": "attack success rate less the untriggered rate: what the attack itself adds",
    "ASR elsewhere": "attack success rate on samples that the attack does not aim at",
    "damage": "target damage: accuracy that the model loses on the attacked subpopulation F, against one trained on "
    "clean data",
    "collateral": "accuracy that the model loses outside F",
    "ACC on F": "accuracy on the attacked subpopulation F",
    "IDNF": "identification: share of a set that a method flags, or that a training draws more than once per epoch",
    "ELMF": "elimination: share of a set that a training no longer draws in its last epoch",
    "draws": "expected draws of a sample per epoch, mean over the epochs that the reported model has seen; 1 in plain "
    "training",
    "poisons": "the training samples that the attack made or changed",
    "LRG": "low-representation groups, the minorities: LRG-1 is the smallest group",
    "HRG": "high-representation groups, the majorities: HRG-1 is the largest group",
    "AUROC": "chance that a random sample of the first set scores higher than one of the second; 0.5: no difference",
}


def definitions(headings: Iterable[str]) -> list[tuple[str, str]]:
    """The terms among the headings (or titles) with their meaning, each once, in order: `LRG-2` is explained as LRG."""
    found = dict.fromkeys(name for heading in headings if (name := stem(heading)))
    return [(name, TERMS[name]) for name in found]


def meanings(headings: Iterable[str]) -> dict[str, str]:
    """What each heading means, for whoever points at it; of those that are terms."""
    return {heading: TERMS[name] for heading in headings if (name := stem(heading))}


def stem(heading: str) -> str:
    """The term that a heading is of: `IDNF LRG-1` and `IDNF: share ...` are of IDNF; empty for none."""
    of = (term for term in TERMS if heading.startswith((f"{term} ", f"{term}-", f"{term}:")))
    return heading if heading in TERMS else next(of, "")
