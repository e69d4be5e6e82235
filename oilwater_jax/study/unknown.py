"""Value of a score against an unknown attack: one rule evaluated against several attacks.

Each attack has its own training, so each sees the minority otherwise: a `View` is one score of both sets in one
training. Bins and rules come from other seeds than those that they are judged on.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from oilwater_jax.study.advantage import minimax, shares

BINS = 10


class View(NamedTuple):
    """One score in one training under one attack."""

    minority: Float[np.ndarray, " m"]
    poison: Float[np.ndarray, " n"]


class Stand(NamedTuple):
    """How well a score separates the minority from the poisons of every attack; the worst attack counts.

    Shares of the minority that a rule keeps less shares of the poisons: 1 tells all, 0 nothing.
    """

    best: float  # the best rule for the very samples that it is judged on: biased upwards, compare `null`
    null: float  # mean of the same where minority and poisons are exchanged at random; NaN for no exchanges
    learned: float  # the best rule for the other seeds, judged on this one
    unseen: (
        float  # least over the attacks of the rule that is best against the others; NaN for a single attack
    )
    seen: float  # `learned`'s rule judged on the other seeds: what a choice among scores may look at


def bin_edges(views: Sequence[View]) -> Float[np.ndarray, " e"]:
    """Inner edges of BINS bins with about as many of the minorities each; fewer where scores have ties."""
    pooled = np.concatenate([view.minority for view in views])
    return np.unique(np.quantile(pooled, np.arange(1, BINS) / BINS))


def binned(
    views: Sequence[View], edges: Float[np.ndarray, " e"]
) -> tuple[Float[np.ndarray, "k j"], Float[np.ndarray, "k j"]]:
    """Shares of the bins: of each view's minority, and of its poisons."""
    return (
        np.stack([shares(view.minority, edges) for view in views]),
        np.stack([shares(view.poison, edges) for view in views]),
    )


def exchanged(view: View, rng: np.random.Generator) -> View:
    """The same scores, dealt to the two sets at random."""
    pooled = rng.permutation(np.concatenate(view))
    return View(pooled[: len(view.minority)], pooled[len(view.minority) :])


def judged(others: Sequence[Sequence[View]], view: View) -> float:
    """The rule that is best against the attacks of the other seeds, judged on a view of one that is not among them.

    Raises ValueError if there is no other seed.
    """
    if not others:
        raise ValueError("judged: no other seed to make a rule on")
    edges = bin_edges([one for views in others for one in views])
    before = [binned(views, edges) for views in others]
    rule = minimax(*(np.mean([one[part] for one in before], axis=0) for part in range(2))).rule
    minority, poison = binned([view], edges)
    return float((minority - poison)[0] @ rule)


def stand(
    others: Sequence[Sequence[View]],
    own: Sequence[View],
    rng: np.random.Generator,
    *,
    exchanges: int = 0,
) -> Stand:
    """What a score of the k views `own`, one for each attack, leaves, given the views of the other seeds.

    Raises ValueError if there is no other seed, or one has other than k views.
    """
    if not others or any(len(views) != len(own) for views in others):
        raise ValueError(f"stand: {len(others)} other seeds; each needs a view of the {len(own)} attacks")
    edges = bin_edges([view for views in others for view in views])
    minority, poison = binned(own, edges)
    before = [binned(views, edges) for views in others]
    kept, hit = np.mean([one[0] for one in before], axis=0), np.mean([one[1] for one in before], axis=0)
    rule = minimax(kept, hit).rule
    unseen = math.nan
    if len(own) > 1:
        rows = np.arange(len(own))
        without = [minimax(kept[rows != at], hit[rows != at]).rule for at in rows]
        unseen = min(float((minority[at] - poison[at]) @ without[at]) for at in rows)
    nulls = [minimax(*binned([exchanged(view, rng) for view in own], edges)).value for _ in range(exchanges)]
    return Stand(
        best=minimax(minority, poison).value,
        null=float(np.mean(nulls)) if nulls else math.nan,
        learned=float(((minority - poison) @ rule).min()),
        unseen=unseen,
        seen=float(((kept - hit) @ rule).min()),
    )
