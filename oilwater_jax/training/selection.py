"""Model selection: which epoch's model a training reports, by a named rule on validation figures."""

from collections.abc import Mapping
from typing import Any

from oilwater_jax.settings.common import CLUSTER_RULES


def score(rule: str, row: Mapping[str, Any]) -> float:
    """What the rule maximises of an epoch's row (`epoch`, `val_acc`, `val_wga`); the first maximum wins.

    Rule                 Reported model
    val_wga              best worst-group accuracy on validation
    val_acc              best accuracy on validation
    val_worst_class      best accuracy of the worst class on validation: attributes are not looked at
    last                 the last epoch
    val_worst_cluster    best accuracy of the worst estimated cluster on validation (GEORGE)
    """
    if rule not in CLUSTER_RULES:
        raise ValueError(f"selection rule {rule!r}; known: {', '.join(CLUSTER_RULES)}")
    return float(row["epoch" if rule == "last" else rule])
