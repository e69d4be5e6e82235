"""From what methods found to one training: modes, combined methods, and which epochs may be reported.

Mode       A method that amplifies                  A method that eliminates
standard   all that it flagged                      all that it flagged
ideal      the flagged without the poisons          the poisons among the flagged
worst      the flagged and all the poisons          the flagged without the poisons

`ideal` and `worst` know who is a poison: oracles, by which a method is judged (the paper's Table 2, carried over).
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float, Int

from oilwater_jax import selectors
from oilwater_jax.entries import Method
from oilwater_jax.types import MODES, Scores, Selector, State, Treatment


def chosen(
    aim: str, mode: str, flagged: Bool[np.ndarray, " n"], is_poison: Bool[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """The samples that a method acts on in a mode (see the table above). Raises ValueError for another mode."""
    if mode not in MODES:
        raise ValueError(f"mode {mode!r}; known: {', '.join(MODES)}")
    if mode == "standard":
        return flagged
    if aim == "eliminate":
        return flagged & (is_poison if mode == "ideal" else ~is_poison)
    return flagged & ~is_poison if mode == "ideal" else flagged | is_poison


def spare(selector: Selector, spared: Bool[np.ndarray, " n"]) -> Selector:
    """The selector with some samples spared: they are always drawn once per epoch."""

    def update(state: State, epoch: int, scores: Scores | None) -> tuple[State, Float[np.ndarray, " n"]]:
        state, weights = selector.update(state, epoch, scores)
        return state, np.where(spared, 1.0, selectors.one_each(weights, len(spared), epoch))

    return selector._replace(update=update)


def in_mode(method: Method, mode: str, treatment: Treatment, is_poison: Bool[np.ndarray, " n"]) -> Treatment:
    """A treatment of a method that eliminates, in a mode: also what it eliminates in rounds is as the mode has it."""
    if method.aim != "eliminate" or mode == "standard":
        return treatment
    spared = ~chosen("eliminate", mode, np.ones(len(is_poison), bool), is_poison)
    return treatment._replace(selector=spare(treatment.selector, spared))


def check(method: Method, treatment: Treatment, n: int) -> Treatment:
    """A method's treatment of n samples, if it is what the method said it would be.

    Raises ValueError for something of its own that it did not announce (`Method.sole`), a wrong number of groups, or
    what cannot go together.
    """
    if treatment.sole and not method.sole:
        raise ValueError(
            f"method {method.name!r}: its treatment brings an objective, group, rule, recipe, start, trained part or "
            "aggregation of its own, but the method does not say sole=True"
        )
    if treatment.group is not None and len(treatment.group) != n:
        raise ValueError(
            f"method {method.name!r}: its treatment has {len(treatment.group)} groups for {n} samples"
        )
    if treatment.start == "reference" and method.find is None:
        raise ValueError(
            f"method {method.name!r}: its training starts from the reference model, but it has no find; what a stage "
            "depends on is known by what its methods look at"
        )
    if treatment.private and treatment.objective:
        raise ValueError(
            f"method {method.name!r}: its treatment clips each sample's gradient of the mean loss, and an objective of "
            "its own would not be minimised; leave one of the two out"
        )
    for name, value, known in (
        ("start", treatment.start, ("fresh", "reference")),
        ("trained", treatment.trained, ("all", "head")),
    ):
        if value not in known:
            raise ValueError(f"method {method.name!r}: {name} {value!r}; known: {', '.join(known)}")
    return treatment


def together(treatments: list[Treatment]) -> Treatment:
    """Several treatments as one: the weights multiply, and what one alone may bring is that one's.

    Figures are those of a treatment that is alone: with others beside it they may not hold (e.g. a privacy guarantee).
    """
    sole = [one for one in treatments if one.sole] or treatments
    return sole[0]._replace(
        selector=selectors.chain(*(one.selector for one in treatments)),
        figures=treatments[0].figures if len(treatments) == 1 else {},
        warnings=tuple(warning for one in treatments for warning in one.warnings),
    )


NEARLY_EVERYTHING = 0.4  # of the samples; who eliminates so many is not looking for a few poisons


def done(
    methods: Iterable[Method],
    label: Int[np.ndarray, " n"],
    weights: Float[np.ndarray, " n"],
) -> tuple[str, ...]:
    """Warnings from a training's last weights [n], which show what a method with rounds did.

    Edge case                                              Result
    a class none of whose samples is drawn                 a warning naming it, whatever the methods
    one that eliminates in rounds eliminated nobody        a warning: as without it
    it eliminated 40% of all or more                       a warning
    one that looks beforehand                              warns where it looks (`Found.warnings`), not here
    """
    out = weights == 0
    drawn = set(label[~out].tolist())
    said = [
        f"no sample of class {one} is drawn: nothing of it is learned"
        for one in sorted(set(label.tolist()) - drawn)
    ]
    names = " + ".join(one.name for one in methods if one.aim == "eliminate" and one.find is None)
    if names and not out.any():
        said.append(f"{names} has eliminated nobody: what is reported is as without it")
    elif names and out.mean() >= NEARLY_EVERYTHING:
        said.append(
            f"{names} has eliminated {int(out.sum())} of {len(out)} samples: too many for a search for a few poisons"
        )
    return tuple(said)
