"""A rule on several scores at once, learned on one half of the samples and judged on the other."""

import numpy as np
from jaxtyping import Bool, Float
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from oilwater_jax.study.advantage import Rule, rule_bound
from oilwater_jax.study.auroc import LEAST

HALVES = 2


def threshold(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " m"]) -> float:
    """The value from which on flagging has the greatest advantage of the first set; infinite where none has any."""
    values = np.unique(np.concatenate([first, second]))
    above = np.searchsorted(np.sort(first), values, "left") / len(first)
    beside = np.searchsorted(np.sort(second), values, "left") / len(second)
    gains = beside - above  # (1 - above) - (1 - beside)
    return float(values[np.argmax(gains)]) if gains.max() > 0 else float("inf")


def cross_fitted(
    scores: Float[np.ndarray, "n s"], is_first: Bool[np.ndarray, " n"], rng: np.random.Generator
) -> Rule:
    """Advantage of logistic regression on all s scores, cross-fitted in two halves, with `rule_bound`'s lower bound.

    Each half's rule (weights and threshold) is learned on the other half; both halves' verdicts are then counted
    together. The bound is Clopper-Pearson's for one rule: with two, what it covers was measured, not proved.
    Raises ValueError for a set of fewer than LEAST samples.
    """
    smallest = min(int(is_first.sum()), int((~is_first).sum()))
    if smallest < LEAST:
        raise ValueError(f"cross_fitted: a set of {smallest} samples; each needs at least {LEAST}")
    flagged = np.zeros(len(is_first), bool)
    folds = StratifiedKFold(HALVES, shuffle=True, random_state=int(rng.integers(2**31)))
    with threadpool_limits(1):
        for learn, hold in folds.split(scores, is_first):
            scaler = StandardScaler().fit(scores[learn])
            model = LogisticRegression(class_weight="balanced", max_iter=1000)
            model.fit(scaler.transform(scores[learn]), is_first[learn])
            seen = model.decision_function(scaler.transform(scores[learn]))
            cut = threshold(seen[is_first[learn]], seen[~is_first[learn]])
            flagged[hold] = model.decision_function(scaler.transform(scores[hold])) >= cut
    return rule_bound(flagged[is_first], flagged[~is_first])
