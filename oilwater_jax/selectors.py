"""Selectors that every method is composed from, and how their weights become an epoch.

Stage: between epochs. A selector says how often each sample is drawn; `draw_epoch` draws.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from oilwater_jax.errors import UserError
from oilwater_jax.types import Examples, Scores, Selector, State


def fixed(weights: Float[np.ndarray, " n"]) -> Selector:
    """A selector whose weights never change and that needs no scores."""

    def update(state: State, epoch: int, scores: Scores | None) -> tuple[State, Float[np.ndarray, " n"]]:
        return state, weights

    return Selector(init=lambda examples: (), due=lambda epoch: (), update=update)


def everyone(n: int) -> Selector:
    """Plain training: each of the n samples once per epoch."""
    return fixed(np.ones(n))


def upsample(flagged: Bool[np.ndarray, " n"], factor: float) -> Selector:
    """JTT's second stage: each flagged sample drawn `factor` times per epoch, the others once.

    Edge case              Result
    nothing flagged        weights all 1 (plain training)
    everything flagged     weights all `factor`
    factor = 1             weights all 1 (plain training)
    factor < 1             ValueError naming the value

    References: Liu et al. 2021, Just Train Twice, Algorithm 1. Its code appends `factor` copies to the
    original (factor + 1 draws); here the factor is the number of draws.

    Examples:
        >>> selector = upsample(np.array([True, False, False]), 50)
        >>> selector.update((), 1, None)[1].tolist()
        [50.0, 1.0, 1.0]

    """
    if factor < 1:
        raise ValueError(f"upsample: factor must be at least 1, not {factor}")
    return fixed(np.where(flagged, float(factor), 1.0))


def balanced(groups: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Weights that draw every group that occurs equally often, n draws per epoch in all: n / (groups * n_g).

    For true groups the oracle's; for estimated ones GEORGE's uniform cluster sampling.

    Examples:
        >>> balanced(np.array([0, 0, 0, 1])).round(2).tolist()
        [0.67, 0.67, 0.67, 2.0]

    """
    _, at, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return len(groups) / (len(counts) * counts[at])


def one_each(weights: Any, n: int, epoch: int, who: str = "the selector") -> Float[np.ndarray, " n"]:
    """A selector's weights of an epoch. Raises UserError, naming both lengths, unless there is one per sample."""
    weights = np.asarray(weights, np.float64)
    if weights.shape != (n,):
        raise UserError(
            f"{who} gave {len(weights) if weights.ndim else 'a single number'} weights for {n} training samples "
            f"in epoch {epoch}; it must give one for each"
        )
    return weights


class ChainState(NamedTuple):
    """The state of each, and the product of the weights of those that do not say when they are done (`watched`)."""

    own: tuple[State, ...]
    watched: Float[np.ndarray, " n"]


def chain(*selectors: Selector) -> Selector:
    """All of them at once: their weights multiply, so what one eliminates stays eliminated.

    No model is reported from before the last of them has acted. Raises ValueError for no selectors.
    """
    if not selectors:
        raise ValueError("chain: needs at least one selector")

    def init(examples: Examples) -> ChainState:
        return ChainState(tuple(selector.init(examples) for selector in selectors), np.ones(len(examples)))

    def due(epoch: int) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for selector in selectors for name in selector.due(epoch)))

    def update(
        state: ChainState, epoch: int, scores: Scores | None
    ) -> tuple[ChainState, Float[np.ndarray, " n"]]:
        own, weights, seen = [], np.ones(len(state.watched)), np.ones(len(state.watched))
        for selector, before in zip(selectors, state.own, strict=True):
            after, given = selector.update(before, epoch, scores)
            given = one_each(given, len(weights), epoch)
            own.append(after)
            weights, seen = weights * given, seen * watched(selector, after, given)
        return ChainState(tuple(own), seen), weights

    def first(epochs: int) -> int:
        return max(earliest(selector, epochs) for selector in selectors)

    return Selector(init, due, update, first)


def watched(selector: Selector, state: State, weights: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """What of an epoch's weights says, by changing, that a selector acted: all 1 where it has a `first` of its own.

    Of a chain: what its members that have none contribute.
    """
    if isinstance(state, ChainState):
        return state.watched
    return weights if selector.first is None else np.ones_like(weights)


def rounds(selector: Selector, epochs: int) -> list[int]:
    """The epochs of a training that start with a round, where the selector needs scores."""
    return [epoch for epoch in range(1, epochs + 1) if selector.due(epoch)]


def earliest(selector: Selector, epochs: int) -> int:
    """The earliest epoch of a training whose model may be reported: not before its last round.

    An earlier one would be a model that a defence has not finished with: the better it was, the less the figures
    would say of the defence. A selector that decides again in every epoch has its own `first`.
    """
    own = max(rounds(selector, epochs), default=1) if selector.first is None else selector.first(epochs)
    return min(max(own, 1), epochs)


def foreseen(selector: Selector, examples: Examples, epochs: int) -> Float[np.ndarray, " n"] | None:
    """The weights of the last epoch, where no training is needed to know them; None where rounds look at a model."""
    if rounds(selector, epochs):
        return None
    state, weights = selector.init(examples), np.ones(len(examples))
    for epoch in range(1, epochs + 1):
        state, weights = selector.update(state, epoch, None)
    return weights


def draw_epoch(weights: Float[np.ndarray, " n"], rng: np.random.Generator) -> Int[np.ndarray, " draws"]:
    """One epoch's sample indices, shuffled: systematic resampling of the weights.

    Sample i is drawn floor(weights[i]) or ceil(weights[i]) times, exactly weights[i] times if that is a
    whole number, and weights[i] times in expectation. All-ones weights give a permutation.
    Raises ValueError for weights that are negative or not finite, or if nothing would be drawn.

    Examples:
        >>> draws = draw_epoch(np.array([0.0, 1.0, 3.0]), np.random.default_rng(0))
        >>> np.bincount(draws).tolist()
        [0, 1, 3]

    """
    if not np.all(np.isfinite(weights)) or np.any(weights < 0):
        bad = int(np.flatnonzero(~np.isfinite(weights) | (weights < 0))[0])
        raise ValueError(f"draw_epoch: weight of sample {bad} is {weights[bad]}")
    whole = np.floor(weights)
    rest = weights - whole
    # Walk the fractions in random order, so that neighbours do not share their luck.
    walk = rng.permutation(len(weights))
    ends = np.cumsum(rest[walk])
    start = rng.uniform()
    extra = np.zeros(len(weights), np.int64)
    extra[walk] = np.diff(np.floor(ends + start), prepend=0.0).astype(np.int64)
    # Rounding of the running sum must not add a draw to a sample without a fraction.
    extra[rest == 0] = 0
    draws = np.repeat(np.arange(len(weights)), whole.astype(np.int64) + extra)
    if not len(draws):
        raise ValueError("draw_epoch: every weight is 0, nothing is left to train on")
    return rng.permutation(draws)
