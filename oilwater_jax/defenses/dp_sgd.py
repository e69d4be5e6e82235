"""DP-SGD: clip each sample's gradient and add noise to the sum, to limit the influence of single samples.

Nobody is chosen: few poisons are a nuisance of bounded size, and so is a small minority.

References: Abadi et al. 2016, "Deep Learning with Differential Privacy"; Mironov, Talwar and Zhang 2019, "Renyi
Differential Privacy of the Sampled Gaussian Mechanism", section 3.3; Canonne, Kamath and Steinke 2020, "The Discrete
Gaussian for Differential Privacy", proposition 12 (from Renyi divergences to epsilon).
"""

import math
from typing import Any

import numpy as np

from oilwater_jax import selectors
from oilwater_jax.entries import Config, Method
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Case, Private, Treatment

ORDERS = tuple(range(2, 257))  # of the Renyi divergences; the best of them counts


def divergence(order: int, noise: float, share: float) -> float:
    """Renyi divergence of one step in which each sample takes part with odds `share`.

    log(sum_k C(a, k) (1 - q)^(a - k) q^k exp((k^2 - k) / (2 noise^2))) / (a - 1) for the whole order a >= 2; for
    q = 1 it is a / (2 noise^2), for q = 0 it is 0.
    """
    if share == 0:
        return 0.0
    if share == 1:
        return order / (2 * noise**2)
    terms = [
        math.lgamma(order + 1)
        - math.lgamma(k + 1)
        - math.lgamma(order - k + 1)
        + (order - k) * math.log1p(-share)
        + k * math.log(share)
        + (k * k - k) / (2 * noise**2)
        for k in range(order + 1)
    ]
    return max(float(np.logaddexp.reduce(terms)), 0.0) / (order - 1)


def epsilon(*, noise: float, delta: float, share: float, steps: int) -> float:
    """The epsilon at `delta` after `steps` steps; neighbours differ by leaving out one sample's gradients.

    Edge case                    Result
    noise = 0                    infinite
    no steps, or share = 0       0
    """
    if steps == 0 or share == 0:
        return 0.0
    if noise == 0:
        return math.inf
    found = (
        steps * divergence(a, noise, share) + math.log1p(-1 / a) - (math.log(delta) + math.log(a)) / (a - 1)
        for a in ORDERS
    )
    return max(min(found), 0.0)


def account(*, noise: float, delta: float, n: int, batch: int, epochs: int) -> dict[str, Any]:
    """What a training of n samples guarantees: `epsilon` as it is done here, `epsilon_poisson` as papers count it.

    An epoch here shuffles: each sample takes part once, in a batch that does not depend on the others. So an epoch is
    one step with every sample in it, and `epsilon` counts `epochs` of these. `epsilon_poisson` would hold if each batch
    drew each sample by itself, with odds batch / n; it is what papers print, usually for shuffled batches too. Neither
    counts that validation, without noise, chooses the epoch that is reported. None: there is no guarantee.

    They are of this training alone. A row that draws samples more than once (`dp_sgd+jtt`) is told no figures; one that
    chooses samples by a model without noise before (`spectral/dp_sgd`) is private in its last stage only.
    """
    own = epsilon(noise=noise, delta=delta, share=1.0, steps=epochs)
    poisson = epsilon(noise=noise, delta=delta, share=min(batch / n, 1.0), steps=epochs * -(-n // batch))
    told = {"epsilon": own, "epsilon_poisson": poisson}
    return {name: one if math.isfinite(one) else None for name, one in told.items()} | {
        "delta": delta,
        "of": "the last stage's training",
    }


def treat(config: Config, case: Case) -> Treatment:
    """Every sample once per epoch; clipped and noised gradients.

    A network with batch normalisation couples the samples of a batch: it is refused where training begins.

    Edge case                             Result
    noise = 0                             clipping alone; the figures are None: no guarantee, and a warning
    fewer samples than a batch            each step has them all
    under + with another method           no figures are told (`treatments.together`)
    """
    d = config.dp_sgd
    figures = account(
        noise=d.noise, delta=d.delta, n=len(case.train), batch=config.train.batch, epochs=case.epochs
    )
    return Treatment(
        selectors.everyone(len(case.train)),
        private=Private(d.clip, d.noise),
        figures={"privacy": figures},
        warnings=() if d.noise else ("dp_sgd.noise = 0: gradients are clipped, and nothing is guaranteed",),
    )


METHOD = Method(
    name="dp_sgd",
    label="DP-SGD",
    help="clip the gradient of each sample and add noise to their sum",
    aim="train",
    sole=True,
    fields={
        "clip": Field(1.0, "clipping norm of a sample's gradient", high=1e6, above=0),
        "noise": Field(1.0, "standard deviation of the noise / clip", 0, 1e6),
        "delta": Field(1e-5, "delta of the privacy guarantee", high=0.5, above=0),
    },
    dials={"noise": (0.1, 0.3, 1.0)},
    reads=("train.batch",),
    treat=treat,
)
