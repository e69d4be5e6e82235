"""The advantage of the best rule on a score for one set over another, with intervals and a permutation null.

The advantage of a rule is the share that it flags of the first set (the poisons) less that of the second (a minority).
The best over all rules is the total variation of the two distributions, which has no upper confidence bound for a
continuous score: name the class of rules. Here: upper tails, half-lines, bands, and rules fixed on other samples.
AUROC is about ranking and is not enough: 1/2 does not mean that no rule works, and 0.96 does not mean that one does.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linprog
from scipy.special import ndtr, ndtri

from oilwater_jax.intervals import ALPHA, clopper_pearson

PERMUTATIONS = 499
BLOCK = 50  # permutations that exist at once
ROUNDING = 1e-12  # of a sum of steps
KOLMOGOROV = 1.3581  # 95% quantile of Kolmogorov's distribution
TIGHT = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}  # of the linear programs
SCALE = 1e4  # of the shares in them


class Advantage(NamedTuple):
    """Plug-in figures of two sets, biased upwards: see `permuted`."""

    upper: float  # best upper tail {score > c} in favour of the first set, -min D
    half_lines: float  # best half-line, either side, max |D|: the Kolmogorov-Smirnov distance
    band: float  # best interval of scores, either set, max D - min D
    dominance: float  # -max D: 0 where the first set is nowhere the lower, else by how much it is


class Permuted(NamedTuple):
    """The same under permutations of the two sets: what equal distributions would give at these sizes."""

    null: Advantage  # means
    p: Advantage  # share of permutations at least as extreme, the data counted as one of them


class Rule(NamedTuple):
    """A rule that was fixed on other samples: its advantage, and a lower bound of the total variation."""

    value: float
    low: float


class Law(NamedTuple):
    """What equal variances say of the loss from two shares alone, Proposition 4."""

    d_prime: float
    auroc: float
    tv: float


class Bounds(NamedTuple):
    """Half-line advantage that goes with an AUROC."""

    low: float  # at least this, whatever the distributions
    high: float  # at most this where the ROC is concave; no bound otherwise
    normal: float  # this for two normals of equal variance


class Minimax(NamedTuple):
    """The best rule against the worst attack, and the mixture of attacks that no rule beats."""

    value: float
    rule: Float[np.ndarray, " j"]  # probability to keep a sample of each bin for the minority
    mixture: Float[np.ndarray, " k"]
    gap: float  # of the two programs: 0 up to rounding


def _check(n: int, m: int) -> None:
    if not n or not m:
        raise ValueError(f"advantage: {n} and {m} samples; each set needs at least one")


def _ends(pooled: Float[np.ndarray, " k"]) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " b"]]:
    """Order of the pooled scores, and where each run of equal scores ends in it."""
    order = np.argsort(pooled, kind="stable")
    ascending = pooled[order]
    return order, np.flatnonzero(np.append(ascending[1:] != ascending[:-1], True))


def _walks(
    is_first: Bool[np.ndarray, "*r k"], ends: Int[np.ndarray, " b"], n: int, m: int
) -> Float[np.ndarray, "*r c"]:
    """D = F - G at -inf and at each distinct score, from the sets' membership in ascending order."""
    steps = np.where(is_first, 1 / n, -1 / m)
    walk = np.cumsum(steps, axis=-1)[..., ends]
    walk[..., -1] = 0.0  # both are 1 there
    return np.concatenate([np.zeros_like(walk[..., :1]), walk], axis=-1)


def difference(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " m"]) -> Float[np.ndarray, " c"]:
    """D = F - G, the first set's empirical distribution function less the second's, at -inf and every distinct score.

    Raises ValueError for an empty set.
    """
    _check(len(first), len(second))
    order, ends = _ends(np.concatenate([first, second]))
    return _walks(order < len(first), ends, len(first), len(second))


def _figures(walks: Float[np.ndarray, "*r c"]) -> list[Any]:
    """The fields of `Advantage`, one value for each walk."""
    highest, lowest = walks.max(axis=-1), walks.min(axis=-1)
    return [-lowest, np.maximum(highest, -lowest), highest - lowest, -highest]


def advantage(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " m"]) -> Advantage:
    """Advantage of the best upper tail, half-line and band, and whether the first set dominates the second.

    Edge case                    Result
    equal sets                   0 everywhere
    disjoint, the first above    1, 1, 1 and dominance 0
    ties                         a rule takes all of equal scores or none
    one sample in a set          allowed; the figures are then hardly evidence: see `radius`
    an empty set                 ValueError
    """
    return Advantage(*(float(figure) + 0.0 for figure in _figures(difference(first, second))))


def permuted(
    first: Float[np.ndarray, " n"],
    second: Float[np.ndarray, " m"],
    rng: np.random.Generator,
    *,
    permutations: int = PERMUTATIONS,
) -> Permuted:
    """Means and p-values of `Advantage` under random exchanges of samples between the sets.

    A small p of `upper`, `half_lines`, `band`: the sets differ. A small p of `dominance`: the first set is somewhere
    the lower by more than chance, that is, dominance is refuted. Without ties the null depends on the sizes alone.
    """
    n, m = len(first), len(second)
    _check(n, m)
    _, ends = _ends(np.concatenate([first, second]))
    return against(advantage(first, second), null(n, m, ends, rng, permutations=permutations))


def tie_ends(pooled: Float[np.ndarray, " k"]) -> Int[np.ndarray, " b"]:
    """Where each run of equal scores ends in ascending order: all that a permutation null depends on but the sizes."""
    return _ends(pooled)[1]


def null(
    n: int, m: int, ends: Int[np.ndarray, " b"], rng: np.random.Generator, *, permutations: int = PERMUTATIONS
) -> Float[np.ndarray, "4 r"]:
    """The fields of `Advantage` under random exchanges, for scores with ties as in `ends` (see `tie_ends`)."""
    labels, found = np.arange(n + m) < n, []
    for start in range(0, permutations, BLOCK):
        rows = min(BLOCK, permutations - start)
        drawn = rng.permuted(np.tile(labels, (rows, 1)), axis=1)
        found.append(np.stack(_figures(_walks(drawn, ends, n, m))))
    return np.concatenate(found, axis=1)


def against(observed: Advantage, nulls: Float[np.ndarray, "4 r"]) -> Permuted:
    """Means of a null and the p-values of what was observed."""
    own = np.array(observed)[:, None]
    # Dominance is the more violated the lower it is; sums of steps are equal up to rounding.
    extreme = np.concatenate([nulls[:3] >= own[:3] - ROUNDING, nulls[3:] <= own[3:] + ROUNDING])
    p = (1 + extreme.sum(axis=1)) / (1 + nulls.shape[1])
    return Permuted(Advantage(*nulls.mean(axis=1).tolist()), Advantage(*p.tolist()))


def radius(n: int, m: int, *, alpha: float = ALPHA, asymptotic: bool = False) -> float:
    """Half width e of the interval of `upper` and `half_lines`; `band` has 2 e.

    By default from Dvoretzky, Kiefer and Wolfowitz with Massart's constant, each set at alpha / 2: holds at any size.
    `asymptotic`: Kolmogorov's, for alpha = 0.05 alone; exact for equal distributions, no theorem otherwise.

    References: Massart 1990, "The tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality".
    """
    _check(n, m)
    if asymptotic:
        if alpha != ALPHA:
            raise ValueError(f"alpha = {alpha}: the asymptotic radius is for {ALPHA}")
        return float(KOLMOGOROV * np.sqrt(1 / n + 1 / m))
    reach = np.log(4 / alpha) / 2
    return float(np.sqrt(reach / n) + np.sqrt(reach / m))


def rule_bound(
    first: Bool[np.ndarray, " n"], second: Bool[np.ndarray, " m"], *, alpha: float = ALPHA
) -> Rule:
    """Advantage of a rule, from whom it flags in the two sets, neither of which it was made on.

    `low` is a lower bound of the total variation: Clopper-Pearson ends at alpha / 2 each. There is no upper bound.
    """
    _check(len(first), len(second))
    low, _ = clopper_pearson(int(first.sum()), len(first), alpha=alpha)
    _, high = clopper_pearson(int(second.sum()), len(second), alpha=alpha)
    return Rule(float(first.mean() - second.mean()), low - high)


def from_auroc(value: float) -> Bounds:
    """What an AUROC alone says of the half-line advantage; below 1/2, of the other direction.

    Raises ValueError for a value outside 0..1.
    """
    if not 0 <= value <= 1:
        raise ValueError(f"auroc = {value} is outside 0..1")
    best = max(value, 1 - value)
    normal = 2 * ndtr(ndtri(best) / np.sqrt(2)) - 1
    return Bounds(max(0.0, float(1 - np.sqrt(2 * (1 - best)))), 2 * best - 1, float(normal))


def smoothed(k: int, n: int) -> float:
    """A share away from 0 and 1, (k + 3/8) / (n + 3/4).

    References: Anscombe 1948, "The transformation of Poisson, binomial and negative-binomial data".
    """
    return (k + 0.375) / (n + 0.75)


def probit_law(minority: float, poison: float) -> Law:
    """The loss's d', AUROC (poisons above) and total variation from the shares of both sets that the model fits.

    For a dirty-label attack the share of poisons that is fitted is the attack's success on its training sources.
    Holds where both sets' margins are normal with equal variances; no parameter is fitted.
    """
    d_prime = float(ndtri(minority) - ndtri(poison))
    return Law(d_prime, float(ndtr(d_prime / np.sqrt(2))), float(2 * ndtr(abs(d_prime) / 2) - 1))


def shares(scores: Float[np.ndarray, " n"], edges: Float[np.ndarray, " e"]) -> Float[np.ndarray, " j"]:
    """Shares of a set in the e + 1 bins between ascending edges; an edge belongs to the bin above it."""
    _check(len(scores), 1)
    return np.bincount(np.searchsorted(edges, scores, "right"), minlength=len(edges) + 1) / len(scores)


def minimax(
    minority: Float[np.ndarray, " j"] | Float[np.ndarray, "k j"], attacks: Float[np.ndarray, "k j"]
) -> Minimax:
    """The best rule where the attack is unknown: max over rules of min_i (P_i(A) - Q_i(A)), on j bins.

    A row of `attacks` holds the shares of the bins of one Q_i, `minority` P's, or a row of each P_i where a model
    trained under each attack sees the minority otherwise; A is what is taken for minority. By the minimax theorem the
    value is the least over mixtures a of the sum of the positive parts of sum_i a_i (P_i - Q_i); for one P that is its
    least total variation to a mixture of attacks. Fix the bins on other samples than these shares are of: the plug-in
    is biased upwards here too.

    Raises ValueError if a row does not sum to 1.
    """
    minority = np.broadcast_to(minority, attacks.shape)
    for row in (*minority, *attacks):
        if row.min() < 0 or abs(row.sum() - 1) > 1e-9:
            raise ValueError(f"minimax: shares must be 0 or above and sum to 1, not to {row.sum():g}")
    k, j = attacks.shape
    if k == 1:  # no programs: keep the bins in which the minority has more
        gains = (minority - attacks)[0]
        return Minimax(float(np.maximum(gains, 0).sum()), (gains > 0).astype(np.float64), np.ones(1), 0.0)
    # The solver drops matrix entries below 1e-9, and shares in the tails are that small.
    gains = SCALE * (minority - attacks)
    # The rule: maximise t, with t <= (P_i - Q_i).x for every attack and 0 <= x <= 1.
    gain = np.hstack([-gains, np.ones((k, 1))])
    free = [(0.0, 1.0)] * j + [(None, None)]
    rule = linprog(np.append(np.zeros(j), -1.0), A_ub=gain, b_ub=np.zeros(k), bounds=free, options=TIGHT)
    # The mixture: minimise sum u, with u >= sum a_i (P_i - Q_i), u >= 0 and a in the simplex.
    short = np.hstack([-np.eye(j), gains.T])
    mixed = linprog(
        np.append(np.ones(j), np.zeros(k)),
        A_ub=short,
        b_ub=np.zeros(j),
        A_eq=np.append(np.zeros(j), np.ones(k))[None],
        b_eq=[1.0],
        bounds=(0, None),
        options=TIGHT,
    )
    return Minimax(float(-rule.fun) / SCALE, rule.x[:j], mixed.x[j:], float(mixed.fun + rule.fun) / SCALE)
