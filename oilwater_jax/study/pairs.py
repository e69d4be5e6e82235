"""How well two scores together separate two sets of samples: linear combinations, by cross-validation."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import sklearn
from jaxtyping import Bool, Float
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from oilwater_jax.study.auroc import LEAST, auroc

FOLDS, REPEATS = 5, 2


class Pairs(NamedTuple):
    """Mean AUROC over the held-out folds, in the direction learned on the other folds.

    `single` and `pair` are those of the score and of the pair that is best *on the other folds*: the choice is
    nested, part of what is cross-validated. `by_pair` has every pair's ("a + b"); the highest of these is
    optimistic, because the choice has seen the folds that it is measured on.
    """

    single: float
    pair: float
    by_pair: dict[str, float]


def cross_validate(
    scores: Float[np.ndarray, "n s"],
    is_first: Bool[np.ndarray, " n"],
    names: Sequence[str],
    rng: np.random.Generator,
) -> Pairs:
    """Every pair of s scores by logistic regression, in REPEATS times FOLDS stratified folds.

    Scores are standardised and the sets balanced by the folds that are learned on. There are fewer folds where a set
    has fewer samples than FOLDS. Raises ValueError if it has fewer than LEAST.
    """
    folds = min(FOLDS, int(is_first.sum()), int((~is_first).sum()))
    if folds < LEAST:
        raise ValueError(f"cross_validate: a set of {folds} samples; each needs at least {LEAST}")
    couples = list(itertools.combinations(range(len(names)), 2))
    splitter = RepeatedStratifiedKFold(
        n_splits=folds, n_repeats=REPEATS, random_state=int(rng.integers(2**31))
    )
    singles, chosen, all_pairs = [], [], []
    # The fits are tiny: threads would wait for one another, and checks take as long as a fit.
    with (
        threadpool_limits(1),
        sklearn.config_context(assume_finite=True, skip_parameter_validation=True),
    ):
        for learn, hold in splitter.split(scores, is_first):
            scaler = StandardScaler().fit(scores[learn])
            seen = Fold(np.asarray(scaler.transform(scores[learn])), is_first[learn])
            unseen = Fold(np.asarray(scaler.transform(scores[hold])), is_first[hold])
            by_score = np.array([seen.auroc(column) for column in seen.scores.T])
            at = int(np.argmax(np.abs(by_score - 0.5)))
            found = unseen.auroc(unseen.scores[:, at])
            singles.append(found if by_score[at] >= 0.5 else 1 - found)
            ours, theirs = np.array([learned(seen, unseen, couple) for couple in couples]).T
            chosen.append(theirs[np.argmax(ours)])
            all_pairs.append(theirs)
    means = np.mean(all_pairs, axis=0)
    by_pair = {f"{names[a]} + {names[b]}": float(mean) for (a, b), mean in zip(couples, means, strict=True)}
    return Pairs(float(np.mean(singles)), float(np.mean(chosen)), by_pair)


class Fold(NamedTuple):
    """Samples, standardised, and which of them are of the first set."""

    scores: Float[np.ndarray, "n s"]
    is_first: Bool[np.ndarray, " n"]

    def auroc(self, values: Float[np.ndarray, " n"]) -> float:
        """AUROC of one value a sample."""
        return auroc(values[self.is_first], values[~self.is_first])


def learned(seen: Fold, unseen: Fold, couple: tuple[int, int]) -> tuple[float, float]:
    """AUROC of a pair's logistic regression on the samples that it is fitted to, and on the others."""
    columns = list(couple)
    model = LogisticRegression(class_weight="balanced", solver="lbfgs").fit(
        seen.scores[:, columns], seen.is_first
    )
    # The intercept changes no order.
    ours, theirs = (fold.auroc(fold.scores[:, columns] @ model.coef_[0]) for fold in (seen, unseen))
    return ours, theirs
