"""The minimiser of the logistic loss, which has no closed form: the check that squared loss is not the reason."""

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize
from scipy.special import expit

from oilwater_jax.theory.model import Model, erm, groups

NODES = 64  # of the Gauss-Hermite quadrature over a margin
POINTS, WEIGHTS = np.polynomial.hermite_e.hermegauss(NODES)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def logistic(model: Model) -> Float[np.ndarray, " 3"]:
    """Weights that minimise E log(1 + e^{-w.v}) over the whole population, for one setting.

    A margin is normal in each group, so the expectation is one quadrature per group; by Stein's identity so is its
    gradient: E[f(u) v] = E[f] m + sigma^2 E[f'] w for u = w.v.
    """
    found = groups(model)
    noise = float(model.sigma) ** 2

    def objective(w: np.ndarray) -> tuple[float, np.ndarray]:
        sd = np.sqrt(noise * (w @ w)) + 1e-300
        u = (found.mean @ w)[:, None] + sd * POINTS
        loss = np.logaddexp(0, -u) @ WEIGHTS
        slope, curve = -expit(-u) @ WEIGHTS, (expit(u) * expit(-u)) @ WEIGHTS
        gradient = slope[:, None] * found.mean + noise * curve[:, None] * w
        return float(found.weight @ loss), found.weight @ gradient

    found_w = minimize(objective, erm(model), jac=True, method="BFGS", options={"gtol": 1e-9})
    return found_w.x
