"""The shape of every JSON file that is read back, in one place, and the check of a value against one.

Shape                 Values of it
int, float, str, bool a value of that type; float takes whole numbers too, neither takes a truth value
None                  null
(a, b)                a value of shape a or of shape b
[a]                   a list of such values
{"name": a}           an object with this key at least
Each(a)               an object whose values all are of shape a
object                any value
"""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Each(NamedTuple):
    """An object of any keys, whose values all are of one shape."""

    value: Any


def mismatch(value: Any, shape: Any, at: str = "") -> str:
    """What is wrong with a value, naming the place in it; empty if it is of the shape."""
    if isinstance(shape, tuple) and not isinstance(shape, Each):
        faults = [mismatch(value, one, at) for one in shape]
        return "" if "" in faults else min(faults, key=lambda fault: fault.startswith(_place(at) + " is"))
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{_place(at)} is {_word(value)}, not a list"
        return next((f for i, one in enumerate(value) if (f := mismatch(one, shape[0], f"{at}[{i}]"))), "")
    if isinstance(shape, Each | dict):
        if not isinstance(value, Mapping):
            return f"{_place(at)} is {_word(value)}, not an object"
        if isinstance(shape, dict) and (missing := [name for name in shape if name not in value]):
            return f"{_place(at)} lacks {missing[0]}"
        parts = shape.items() if isinstance(shape, dict) else ((name, shape.value) for name in value)
        found = (mismatch(value[name], one, f"{at}.{name}" if at else name) for name, one in parts)
        return next((fault for fault in found if fault), "")
    if shape is object or (shape is None and value is None):
        return ""
    if (
        shape is not None
        and not isinstance(value, bool)
        and isinstance(value, int if shape is float else shape)
    ):
        return ""
    if shape is not None and isinstance(value, shape) and (shape is bool or not isinstance(value, bool)):
        return ""
    return f"{_place(at)} is {_word(value)}, not {WORDS.get(shape, 'null')}"


def _place(at: str) -> str:
    return ascii(at[:100])[1:-1] or "it"


WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def _word(value: Any) -> str:
    kinds = {bool: "true or false", dict: "an object", list: "a list", type(None): "null", str: "text"}
    return kinds.get(type(value), "a number")


NET = "net"  # the figure that verdicts are taken on where an attack has a baseline: its success less that
NUMBER = (float, None)
SPREAD = Each((float, None, [NUMBER]))  # means, deviations and lists of one value per seed, by name
ROUNDS = [{"epoch": int, "elmf": Each(NUMBER)}]

RUN_CONFIG = {
    "rows": [str],
    "smoke": bool,
    "evaluate": str,
    "data": {"name": str},
    "attack": {"name": str},
}
SWEEP_CONFIG = {"sweep": bool}
GRID = {"runs": [str]}

ROW = {
    "label": str,
    "aims": [str],
    "oracle": bool,
    "alone": str,
    "worst_group": int,
    "worst_group_seeds": [int],
    "group_acc": [NUMBER],
    "group_acc_seeds": [[NUMBER]],
    "selected_epoch_seeds": [int],
    "trials_seeds": [int],
    "idnf": SPREAD,
    "idnf_class": SPREAD,
    "elmf": SPREAD,
    "draws": SPREAD,
    "rounds_seeds": [ROUNDS],
    **{
        f"{name}{part}": kind
        for name in ("acc", "acc_adjusted", "wga")
        for part, kind in (("", NUMBER), ("_std", NUMBER), ("_seeds", [NUMBER]))
    },
}
RUN_SUMMARY = {
    "rows": Each(ROW),
    "found": Each({"label": str, "idnf": SPREAD, "idnf_class": SPREAD, "n_flagged_seeds": [int]}),
    "seeds": [int],
    "smoke": bool,
    "split": str,
    "n_train": (int, None),
    "n_poison": (int, None),
    "n_poison_seeds": [int],
    "groups": [str],
    "measures": Each(str),
    "signed": [str],
    "baseline": str,
    "key": str,
    "sha256": str,
}

AUROC = {"auroc": NUMBER, "auroc_std": NUMBER, "auroc_seeds": [NUMBER]}
BOUNDED = {**AUROC, "low_seeds": [NUMBER], "high_seeds": [NUMBER]}
ADVANTAGES = ("upper", "half_lines", "band", "null_half_lines", "p_half_lines", "dominance", "p_dominance")
ADVANTAGE = {
    "scores": Each([dict.fromkeys(ADVANTAGES, float)]),
    "rule": [{"value": NUMBER, "value_seeds": [NUMBER], "low": float, "low_seeds": [float]}],
    "law": ([{"auroc": float, "auroc_seeds": [float]}], None),
    "dkw": float,
    "kolmogorov": float,
}
STUDY_SUMMARY = {
    "command": str,
    "seeds": [int],
    "epochs": [int],
    "data": str,
    "attack": str,
    "k": int,
    "epic": {"ratio": float, "gradients": str},
    "n_train": int,
    "counts_seeds": Each([int]),
    "scores": Each(str),
    "auroc": Each(Each([BOUNDED])),
    "advantage": Each((ADVANTAGE, None)),
    "judged_epoch": int,
    "pairs": ({"single": [AUROC], "pair": [AUROC], "by_pair": Each([AUROC])}, None),
    "key": str,
    "sha256": str,
}

POINT = {
    **{"row": str, "label": str, "oracle": bool, "methods": Each(str), "setting": Each((float, str, bool))},
    **{"val": Each([NUMBER]), "test": Each([NUMBER])},
}
FRONTIER = {
    **{"command": str, "seeds": [int], "smoke": bool, "data": str, "attack": str, "budget": float},
    **{"measures": Each(str), "signed": [str], "verdict": str, "points": [POINT], "failed": Each(str)},
    **{"key": str, "sha256": str},
}

STAGE = {
    "name": str,
    "key": str,
    "data": str,
    "made": Each(object),
    "figures": Each(object),
    "arrays": str,
    "sha256": str,
}
"""A stage's record: what it is, of which data, what made it, its figures, the digest of its arrays, and the seal."""

ATTACK_FIGURES = {
    **{"n_poison": int, "n_train": int, "groups": [str]},
    **{"measures": Each(str), "signed": [str], "baseline": str},
}
FOUND_FIGURES = {
    **{"row": str, "label": str, "n_flagged": int},
    **{"idnf": Each(NUMBER), "idnf_class": Each(NUMBER)},
}
ROW_FIGURES = {
    **{"row": str, "label": str, "aims": [str], "oracle": bool, "alone": str},
    **{"acc": NUMBER, "acc_adjusted": NUMBER, "wga": NUMBER, "worst_group": int, "group_acc": [NUMBER]},
    **{"selected_epoch": int, "trials": int, "elmf": Each(NUMBER), "draws": Each(NUMBER)},
    **{"idnf": Each(NUMBER), "idnf_class": Each(NUMBER)},
    "rounds": ROUNDS,
}

ENVIRONMENT = {"oilwater_jax": str}
PART = {"blocks": [str], "columns": str, "sha256": str}
"""A part of decoded images: the digest of each block of images, that of its columns, and the seal."""
PREPARED = {"preprocessing": str, "classes": [str], "attributes": [str], "parts": Each(str)}
UNFINISHED = {"rows": int, "stamp": str}
WEIGHTS = {
    "model": str,
    "n_classes": int,
    "image_side": (int, None),
    "source": str,
    "source_sha256": str,
    "sha256": str,
}
