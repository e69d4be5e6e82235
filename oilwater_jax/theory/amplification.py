"""Amplification: what JTT, any interval of margins, and a group-level re-weighting do to the training set.

Theorem 6 and Corollary 7 are about whole groups, flags independent of the noise; `amplified` is exact for flags that
depend on the sample's own margin.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import root_scalar
from scipy.special import ndtr, ndtri

from oilwater_jax.theory.budgets import first_crossing, rare
from oilwater_jax.theory.model import (
    MAJ,
    MIN,
    POI,
    Model,
    Moments,
    Reals,
    closed_form,
    erm,
    followed,
    groups,
    margins,
    parts,
    spread,
    stacked,
)

MODES = ("standard", "ideal", "worst")
WHOLE = (1.0, 1.0, 1.0)


class Flagged(NamedTuple):
    """Of each group: the share r_g that is flagged, and E[1 v] and E[1 v v^T] over its samples."""

    share: Float[np.ndarray, "*b 3"]
    first: Float[np.ndarray, "*b 3 3"]
    second: Float[np.ndarray, "*b 3 3 3"]


def _density(x: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi)


def _times_density(x: np.ndarray) -> np.ndarray:
    """The product x phi(x), which is 0 at both infinities."""
    return np.where(np.isinf(x), 0.0, x) * _density(x)


def flagged_moments(
    model: Model, w: Float[np.ndarray, "*b 3"], low: Reals = -np.inf, high: Reals = 0.0
) -> Flagged:
    """The samples with low < w.v <= high, of each group; the defaults are JTT's: the misclassified.

    Edge case                   Result
    low = high                  nothing is flagged: zeros
    low = -inf, high = inf      everything: r = 1, the group's own moments
    w = 0                       every margin is 0: everything where low < 0 <= high, else nothing
    low > high                  ValueError
    """
    if np.any(np.asarray(low) > high):
        raise ValueError(f"low = {low} is above high = {high}")
    mean, noise = groups(model).mean, np.asarray(model.sigma, dtype=float)[..., None] ** 2
    s, centre = np.asarray(spread(model, w))[..., None], margins(model, w)
    ends = np.asarray(low, dtype=float)[..., None], np.asarray(high, dtype=float)[..., None]
    still = s == 0
    safe = np.where(still, 1.0, s)
    a, b = ((end - centre) / safe for end in ends)
    inside = ((ends[0] < 0) & (ends[1] >= 0)).astype(float)
    share = np.where(still, inside, ndtr(b) - ndtr(a))
    e1 = np.where(still, 0.0, safe * (_density(a) - _density(b)))
    e2 = np.where(still, 0.0, safe**2 * (share + _times_density(a) - _times_density(b)))
    d = np.where(still, 0.0, noise * w / safe**2)  # [*b 3], along the weights
    first = share[..., None] * mean + e1[..., None] * d[..., None, :]
    across = np.einsum("...gi,...j->...gij", mean, d)
    own = np.einsum("...gi,...gj->...gij", mean, mean)
    dd = np.einsum("...i,...j->...ij", d, d)[..., None, :, :]
    isotropic = noise[..., None, None] * np.eye(3)
    second = share[..., None, None] * (isotropic - safe[..., None, None] ** 2 * dd + own)
    second = second + e1[..., None, None] * (across + np.swapaxes(across, -1, -2)) + e2[..., None, None] * dd
    return Flagged(share, first, second)


def by_mode(model: Model, found: Flagged, mode: str) -> Flagged:
    """What is amplified: `standard` the flagged, `ideal` without the poisons, `worst` with all poisons.

    Raises ValueError for another mode.
    """
    if mode == "standard":
        return found
    share, first, second = (part.copy() for part in found)
    if mode == "ideal":
        share[..., POI], first[..., POI, :], second[..., POI, :, :] = 0.0, 0.0, 0.0
    elif mode == "worst":
        poisons = groups(model).mean[..., POI, :]
        noise = np.asarray(model.sigma, dtype=float)[..., None, None] ** 2 * np.eye(3)
        share[..., POI], first[..., POI, :] = 1.0, poisons
        second[..., POI, :, :] = np.einsum("...i,...j->...ij", poisons, poisons) + noise
    else:
        raise ValueError(f"mode = {mode!r} is unknown; known: {', '.join(MODES)}")
    return Flagged(share, first, second)


def amplified_moments(model: Model, found: Flagged, kept: Sequence[float] = WHOLE) -> Moments:
    """S' and b' of the training set in which the flagged are drawn lambda_up times.

    `kept` are the shares of the three groups that a defence has left, at random within each.
    """
    weight, mean = groups(model)
    weight = weight * np.asarray(kept)
    more = (np.asarray(model.lambda_up, dtype=float)[..., None] - 1) * weight
    total = np.sum(weight + more * found.share, axis=-1)
    noise = np.asarray(model.sigma, dtype=float)[..., None, None] ** 2 * np.eye(3)
    plain = np.einsum("...g,...gi,...gj->...ij", weight, mean, mean)
    plain = plain + np.sum(weight, axis=-1)[..., None, None] * noise
    second = plain + np.einsum("...g,...gij->...ij", more, found.second)
    first = np.einsum("...g,...gi->...i", weight, mean) + np.einsum("...g,...gi->...i", more, found.first)
    return Moments(second / total[..., None, None], first / total[..., None])


def amplified(
    model: Model,
    w: Float[np.ndarray, "*b 3"],
    *,
    low: Reals = -np.inf,
    high: Reals = 0.0,
    mode: str = "standard",
    kept: Sequence[float] = WHOLE,
    t: float = np.inf,
    start: Float[np.ndarray, "*b 3"] | None = None,
) -> Float[np.ndarray, "*b 3"]:
    """Weights of the second training, in which what `w` gives a margin in (low, high] is drawn lambda_up times.

    Edge case                                       Result (t = inf, all kept)
    lambda_up = 1, nothing or everything flagged    plain training's weights
    """
    found = by_mode(model, flagged_moments(model, w, low, high), mode)
    return followed(amplified_moments(model, found, kept), t, start)


def reweighted(model: Model, shares: Float[np.ndarray, "*b 3"]) -> Model:
    """The model with weights pi'_g in proportion to pi_g (1 + (lambda_up - 1) r_g): amplification of whole groups.

    With its p and beta all that holds for plain training holds for the second; beta' / beta is Lambda.
    """
    more = np.asarray(model.lambda_up, dtype=float)[..., None] - 1
    weight = groups(model).weight * (1 + more * shares)
    clean = weight[..., MAJ] + weight[..., MIN]
    return model._replace(p=weight[..., MAJ] / clean, beta=weight[..., POI] / (clean + weight[..., POI]))


def rare_ratio(model: Model, q: Reals) -> Reals:
    """R = A_s / A_c at the minimiser for rare poison, at a mean sign q of the spurious feature."""
    core_noise = (np.asarray(model.sigma) / model.mu_c) ** 2
    spurious_noise = (np.asarray(model.sigma) / model.mu_s) ** 2
    return core_noise * q / (1 - np.asarray(q) ** 2 + spurious_noise)


def rare_wga(model: Model, q: Reals) -> Reals:
    """Theorem 6: WGA for rare poison, strictly falling in |q|; the minority is the worst group where q >= 0."""
    ratio = np.abs(rare_ratio(model, q))
    scale = np.sqrt(1 / np.asarray(model.mu_c) ** 2 + ratio**2 / np.asarray(model.mu_s) ** 2)
    return ndtr((1 - ratio) / (model.sigma * scale))


def asr_index(model: Model, q: Reals, theta: Reals) -> Reals:
    """Theorem 6: J, whose Phi is the ASR of rare poison at a mean sign q and a trigger signal theta."""
    clean = rare(model._replace(p=(1 + np.asarray(q)) / 2))
    together = clean.core + clean.spurious
    trigger = theta / (1 + theta) * (1 + together)
    with np.errstate(invalid="ignore", divide="ignore"):
        seen = np.where(np.asarray(model.tau) > 0, trigger / model.tau, 0.0)
    size = np.sqrt((clean.core / model.mu_c) ** 2 + (clean.spurious / model.mu_s) ** 2 + seen**2)
    return ((theta - together) / ((1 + theta) * model.sigma * size))[()]


class Window(NamedTuple):
    """Budgets between which amplification turns an attack that fails into one that succeeds; NaN: no such end."""

    low: Reals
    high: Reals


def window(model: Model) -> Window:
    """(6) for one setting: rare poison, whole groups, their shares flagged by the clean minimiser with the trigger.

    The lower end is the smallest theta with theta Lambda(theta) = A_c' + A_s'.
    """
    if not model.tau:
        return Window(float("nan"), float("nan"))
    clean, small = rare(model), model._replace(beta=1e-12)

    def lacking(theta: Reals) -> Reals:
        """A_c' + A_s' - Lambda theta."""
        trigger = theta / (1 + theta) * (1 + clean.core + clean.spurious)
        w = stacked(clean.core / model.mu_c, clean.spurious / model.mu_s, trigger / model.tau)
        after = reweighted(small, flagged_moments(small, w).share)
        then = rare(after)
        return then.core + then.spurious - after.beta / small.beta * theta

    highest, unit = float(clean.core + clean.spurious), float((model.sigma / model.tau) ** 2)
    scanned = np.geomspace(1e-6 * highest, highest, 60)
    reached = np.flatnonzero(lacking(scanned) <= 0)
    if not len(reached):
        return Window(float("nan"), float("nan"))
    ends = tuple(scanned[max(reached[0] - 1, 0) : reached[0] + 1])
    low = float(root_scalar(lacking, bracket=ends).root) if len(ends) == 2 else 0.0
    return Window(low * unit, highest * unit)


def window_exact(model: Model) -> Window:
    """Between which budgets JTT's attack passes 1/2 and plain training's does not, both at their minimisers."""

    def plain(beta: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        core, spurious, trigger = closed_form(model._replace(beta=beta))
        return np.asarray(core + spurious - trigger)

    def after(beta: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        tried = model._replace(beta=beta)
        core, spurious, trigger = parts(tried, amplified(tried, erm(tried)))
        return np.asarray(core + spurious - trigger)

    return Window(first_crossing(after), first_crossing(plain))


def minority_lost(removed: Reals, d_prime: Reals) -> Reals:
    """Corollary 7: share of the minority that the best upper tail takes with a share `removed` of the poisons."""
    return ndtr(ndtri(removed) - d_prime)


def removal_needed(model: Model) -> float:
    """Corollary 7: share of the poisons to remove so that JTT's attack passes 1/2 no more; 0 if it does not anyway.

    1 - (A_c' + A_s') / (Lambda theta), parts and Lambda of the group-level amplification for rare poison.
    """
    after = reweighted(model, flagged_moments(model, erm(model)).share)
    then = rare(after)
    reached = float(after.theta)  # Lambda theta
    return max(0.0, 1 - float(then.core + then.spurious) / reached) if reached > 0 else 0.0
