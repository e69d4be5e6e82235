"""Critical budgets: from which poison budget on a poison is easier than the minority, and the attack succeeds."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import root_scalar

from oilwater_jax.theory.model import Flags, Model, Parts, Reals, check, closed_form, flow, parts

LEAST, MOST = 1e-7, 0.5  # the budgets that are searched
SCANNED = 400  # of them, spaced evenly in log(budget)


class Thresholds(NamedTuple):
    """Critical trigger signals theta at the minimiser: (2) and (3)."""

    harder: Reals  # up to here a poison is at least as hard as a minority sample
    half: Reals  # up to here the attack succeeds at most half of the time


class Budgets(NamedTuple):
    """Critical budgets of a setting whose own budget is ignored; NaN: none between LEAST and MOST."""

    easier: float  # from here on a poison is easier than the minority, after training for t
    half: float  # from here on the attack succeeds more than half of the time, after training for t
    easier_early: float  # (4): `easier` for t -> 0, exact
    easier_late: float  # (4): `easier` at the minimiser for rare poison
    half_rare: float  # (4): `half` at the minimiser for rare poison


def thresholds(model: Model) -> Thresholds:
    """The right-hand sides of (2) and (3), the parts taken at the model's own budget.

    Infinite `harder`: no signal makes the poison easier (the minority is fitted beyond margin 1).
    """
    core, spurious, _ = closed_form(model)
    room = np.asarray(1 - core + spurious)
    harder = np.divide(2 * core, room, out=np.full(room.shape, np.inf), where=room > 0)
    return Thresholds(harder[()], core + spurious)


def poison_harder(model: Model) -> Flags:
    """(2): whether a poison is at least as hard as a minority sample at the minimiser."""
    return model.theta <= thresholds(model).harder


def attack_fails(model: Model) -> Flags:
    """(3): whether the attack succeeds at most half of the time at the minimiser."""
    return model.theta <= thresholds(model).half


def rare(model: Model) -> Parts:
    """Core and spurious part at the minimiser for beta -> 0; the trigger's at the model's theta, held fixed."""
    core, spurious, _ = closed_form(model._replace(beta=0.0 * np.asarray(model.beta)))
    return Parts(core, spurious, model.kappa * (1 + core + spurious))


def early(model: Model) -> Reals:
    """(4): budget at which poison and minority are equally hard as training begins, 2 mu_c^2/(tau^2 + 4 mu_c^2)."""
    check(model)
    core = np.asarray(model.mu_c, dtype=float) ** 2
    return (2 * core / (np.asarray(model.tau) ** 2 + 4 * core))[()]


def late(model: Model) -> Reals:
    """(4): the same at the minimiser for rare poison; infinite for tau = 0."""
    core, spurious, _ = rare(model)
    with np.errstate(divide="ignore"):
        return np.divide(
            2 * core / (1 - core + spurious) * np.asarray(model.sigma) ** 2, np.asarray(model.tau) ** 2
        )


def half_rare(model: Model) -> Reals:
    """(4): budget at which a rare poison's attack succeeds half of the time; infinite for tau = 0."""
    core, spurious, _ = rare(model)
    with np.errstate(divide="ignore"):
        return np.divide((core + spurious) * np.asarray(model.sigma) ** 2, np.asarray(model.tau) ** 2)


def first_crossing(above: Callable[[Float[np.ndarray, " k"]], Float[np.ndarray, " k"]]) -> float:
    """Smallest budget at which a function of it goes from above 0 to below.

    Edge case                    Result
    below 0 at LEAST already     0
    above 0 up to MOST           NaN
    """
    scanned = np.geomspace(LEAST, MOST, SCANNED)
    values = above(scanned)
    if values[0] <= 0:
        return 0.0
    below = np.flatnonzero(values <= 0)
    if not len(below):
        return float("nan")
    at = below[0]
    ends = float(scanned[at - 1]), float(scanned[at])
    return float(root_scalar(lambda beta: float(above(np.array([beta]))[0]), bracket=ends, xtol=1e-14).root)


def budgets(model: Model, t: float = np.inf, start: Float[np.ndarray, " 3"] | None = None) -> Budgets:
    """Critical budgets of one setting after a training of length t, by root finding, beside their formulas (4).

    AUROC - 1/2 may change its sign twice in t and need not fall with the budget; `easier` is the smallest root.

    Edge case                                     Result
    tau = 0                                       NaN and infinite: no budget makes a poison easier
    a start that already fits the trigger         `easier` 0
    t = 0                                         0 or NaN by the sign of the start's 2 A_c - A_t
    """
    check(model)

    def at(beta: Float[np.ndarray, " k"]) -> Parts:
        tried = model._replace(beta=beta)
        return parts(tried, flow(tried, t, start))

    def easier(beta: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        core, _, trigger = at(beta)
        return np.asarray(2 * core - trigger)

    def half(beta: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        core, spurious, trigger = at(beta)
        return np.asarray(core + spurious - trigger)

    return Budgets(
        first_crossing(easier),
        first_crossing(half),
        float(early(model)),
        float(late(model)),
        float(half_rare(model)),
    )
