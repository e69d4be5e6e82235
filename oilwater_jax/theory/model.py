"""The model: three groups of Gaussian samples, squared loss, and its training in closed form.

Coordinates are label-aligned, v = y x, with y in {-1, +1} the label that a sample *carries*: core feature, spurious
feature, trigger, and perhaps noise. Group g has weight pi_g and v ~ N(m_g, sigma^2 I):

    maj   (1 - beta) p         ( mu_c,  mu_s,   0)   attribute agrees with the label
    min   (1 - beta) (1 - p)   ( mu_c, -mu_s,   0)   it does not
    poi   beta                 (-mu_c, -mu_s, tau)   majority sample of the other class, flipped label, trigger

A linear model w has the margin w.v. In every group that is normal, with standard deviation sigma |w| and a mean that
is a sum of the model's parts A_c = mu_c w_c, A_s = mu_s w_s, A_t = tau w_t.

Every function takes one setting or an array of settings: the fields of `Model` broadcast, and results have their
shape `*b` in front.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

# One number or truth, or one for each setting; static checkers cannot follow arithmetic on such a union.
if TYPE_CHECKING:
    Reals = Flags = Any
else:
    Reals = float | Float[np.ndarray, "..."]
    Flags = bool | np.bool | Bool[np.ndarray, "..."]

GROUPS = ("maj", "min", "poi")
MAJ, MIN, POI = range(3)


class Model(NamedTuple):
    """The model's seven numbers. The defaults: fitted by hand to plain training's figures on waterdigits."""

    mu_c: Reals = 1.5  # strength of the core feature
    mu_s: Reals = 2.5  # of the spurious feature
    tau: Reals = 4.5  # of the trigger
    sigma: Reals = 1.0  # standard deviation of every coordinate
    p: Reals = 0.95  # the majority's share of the clean samples
    beta: Reals = 0.01  # the poisons' share of all samples
    lambda_up: Reals = 50.0  # draws of a flagged sample

    @property
    def theta(self) -> Reals:
        """The trigger's signal, beta tau^2 / sigma^2."""
        return self.beta * self.tau**2 / self.sigma**2

    @property
    def kappa(self) -> Reals:
        """The share of the poisons' residual that the trigger takes up, theta / (1 + theta)."""
        return self.theta / (1 + self.theta)

    @property
    def q(self) -> Reals:
        """Mean sign of the spurious feature, (1 - beta)(2 p - 1) + beta."""
        return (1 - self.beta) * (2 * self.p - 1) + self.beta

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape `*b` of the settings; () for one."""
        return np.broadcast_shapes(*(np.shape(field) for field in self))


RANGES = {
    "mu_c": ("above 0", lambda x: x > 0),
    "mu_s": ("above 0", lambda x: x > 0),
    "tau": ("0 or above", lambda x: x >= 0),
    "sigma": ("above 0: it is a standard deviation", lambda x: x > 0),
    "p": ("between 0 and 1: it is the majority's share of the clean samples", lambda x: (x > 0) & (x < 1)),
    "beta": (
        "0 or above and below 1: it is the poisons' share of all samples",
        lambda x: (x >= 0) & (x < 1),
    ),
    "lambda_up": ("above 0: it is how often a flagged sample is drawn", lambda x: x > 0),
}


def check(model: Model) -> None:
    """Raise ValueError naming the first number that is out of its range (NaN and infinity are)."""
    for name, values in model._asdict().items():
        words, within = RANGES[name]
        array = np.asarray(values, dtype=float)
        wrong = array[~(np.isfinite(array) & within(array))]
        if wrong.size:
            raise ValueError(f"{name} = {wrong.flat[0]:g} must be {words}")


class Groups(NamedTuple):
    """Weights pi_g and means m_g of the three groups, in the order of GROUPS."""

    weight: Float[np.ndarray, "*b 3"]
    mean: Float[np.ndarray, "*b 3 3"]  # [..., group, coordinate]


class Moments(NamedTuple):
    """S = E[v v^T] and b = E[v]: all that squared loss knows of its training set."""

    second: Float[np.ndarray, "*b 3 3"]
    first: Float[np.ndarray, "*b 3"]


class Parts(NamedTuple):
    """A_c, A_s, A_t: what core, spurious feature and trigger add to a margin."""

    core: Reals
    spurious: Reals
    trigger: Reals


def stacked(*values: Reals) -> Float[np.ndarray, "*b k"]:
    """Numbers as the last axis of one array."""
    return np.stack(np.broadcast_arrays(*(np.asarray(value, dtype=float) for value in values)), axis=-1)


def groups(model: Model) -> Groups:
    """The three groups. Raises what `check` raises."""
    check(model)
    clean = 1 - np.asarray(model.beta, dtype=float)
    weight = stacked(clean * model.p, clean * (1 - np.asarray(model.p)), model.beta)
    zero = 0.0
    rows = (
        stacked(model.mu_c, model.mu_s, zero),
        stacked(model.mu_c, -np.asarray(model.mu_s), zero),
        stacked(-np.asarray(model.mu_c), -np.asarray(model.mu_s), model.tau),
    )
    mean = np.stack(np.broadcast_arrays(*rows), axis=-2)
    return Groups(np.broadcast_to(weight, (*model.shape, 3)), np.broadcast_to(mean, (*model.shape, 3, 3)))


def moments(model: Model) -> Moments:
    """S = sigma^2 I + sum_g pi_g m_g m_g^T and b = sum_g pi_g m_g."""
    weight, mean = groups(model)
    noise = np.asarray(model.sigma, dtype=float)[..., None, None] ** 2 * np.eye(3)
    second = np.einsum("...g,...gi,...gj->...ij", weight, mean, mean) + noise
    return Moments(second, np.einsum("...g,...gi->...i", weight, mean))


def followed(
    found: Moments, t: float = np.inf, start: Float[np.ndarray, "*c k"] | None = None
) -> Float[np.ndarray, "*b k"]:
    """Gradient flow of E(1 - w.v)^2 / 2 from `start` (default 0) for a time t: e^{-St} w0 + (I - e^{-St}) S^-1 b.

    Infinite t is the minimiser. Raises ValueError for a negative t.
    """
    if not t >= 0:
        raise ValueError(f"t = {t:g} must be 0 or above (inf: the minimiser)")
    if np.isinf(t):
        return np.linalg.solve(found.second, found.first[..., None])[..., 0]
    values, vectors = np.linalg.eigh(found.second)
    along = np.einsum("...ij,...i->...j", vectors, found.first)
    moved = -np.expm1(-values * t) / values * along
    if start is not None:
        moved = moved + np.exp(-values * t) * np.einsum("...ij,...i->...j", vectors, start)
    return np.einsum("...ij,...j->...i", vectors, moved)


def flow(
    model: Model, t: float = np.inf, start: Float[np.ndarray, "*c 3"] | None = None
) -> Float[np.ndarray, "*b 3"]:
    """Weights after a training of length t from `start`: 0 by default, the core coordinate alone for "pretrained".

    Edge case     Result
    t = 0         the start
    t = inf       the minimiser, whatever the start
    t < 0, NaN    ValueError
    """
    return followed(moments(model), t, start)


def erm(model: Model) -> Float[np.ndarray, "*b 3"]:
    """Weights at the minimiser of the squared loss, by solving S w = b."""
    return flow(model)


def closed_form(model: Model) -> Parts:
    """The minimiser's parts in closed form, equation (1).

    Edge case     Result
    beta -> 0     no trigger part; core and spurious are those without poison
    tau = 0       kappa = 0, no trigger part
    """
    check(model)
    core_noise = (np.asarray(model.sigma) / model.mu_c) ** 2
    spurious_noise = (np.asarray(model.sigma) / model.mu_s) ** 2
    kappa, q = model.kappa, model.q
    eps = 2 * np.asarray(model.beta) * (1 - kappa)
    whole, lean = 1 - model.beta * kappa, q - model.beta * kappa
    determinant = (whole + core_noise) * (whole + spurious_noise) - lean**2
    core = whole**2 - lean**2 + spurious_noise * (whole - eps) - eps * (whole - lean)
    spurious = core_noise * (lean - eps) - eps * (whole - lean)
    core, spurious = core / determinant, spurious / determinant
    return Parts(core, spurious, kappa * (1 + core + spurious))


def parts(model: Model, w: Float[np.ndarray, "*b k"]) -> Parts:
    """The parts of any weights; coordinates after the third are noise and have none."""
    return Parts(model.mu_c * w[..., 0], model.mu_s * w[..., 1], model.tau * w[..., 2])


def spread(model: Model, w: Float[np.ndarray, "*b k"]) -> Reals:
    """Standard deviation of the margin in every group, sigma |w|; noise coordinates count."""
    return model.sigma * np.linalg.norm(w, axis=-1)


def margins(model: Model, w: Float[np.ndarray, "*b k"]) -> Float[np.ndarray, "*b 3"]:
    """Mean margin of each group, in the order of GROUPS."""
    core, spurious, trigger = parts(model, w)
    return stacked(core + spurious, core - spurious, trigger - core - spurious)
