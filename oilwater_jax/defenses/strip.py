"""STRIP: eliminate samples whose prediction stays confident when blended with clean ones.

A trigger survives the blending and keeps deciding. The blend is a weighted mean of pixels, which stays in their range;
the code in vtu81/backdoor-toolbox (strip.py) adds normalised images up.

References: Gao et al. 2019, "STRIP: A Defence Against Trojan Attacks on Deep Neural Networks".
"""

import numpy as np
from jaxtyping import Float

from oilwater_jax import rng
from oilwater_jax.defenses import flagging
from oilwater_jax.entries import Config, Method
from oilwater_jax.images import Inputs
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Evidence, Found

BLOCK = 4096  # images that are blended at once


def entropy(logits: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    """Entropy of the softmax of each row, in nats."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    p = np.exp(shifted)
    total = p.sum(axis=1)
    return np.log(total) - (p * shifted).sum(axis=1) / total


def blended(image: np.ndarray, other: np.ndarray, weight: float) -> np.ndarray:
    """Each image with `weight` of the other one in it; pixels that are whole numbers are rounded."""
    mixed = (1 - weight) * image.astype(np.float32) + weight * other.astype(np.float32)[None]
    return np.rint(mixed).astype(image.dtype) if image.dtype.kind in "iu" else mixed.astype(image.dtype)


def sureness(
    evidence: Evidence, image: Inputs, others: np.ndarray, weight: float
) -> Float[np.ndarray, "n b"]:
    """Minus the entropy of the prediction for each image, blended with each of the others."""
    found = np.empty((len(image), len(others)))
    for start in range(0, len(image), BLOCK):
        block = np.asarray(image[start : start + BLOCK])
        for at, other in enumerate(others):
            logits = evidence.score(blended(block, other, weight), ("logits",))["logits"]
            found[start : start + BLOCK, at] = -entropy(logits)
    return found


def find(config: Config, evidence: Evidence) -> Found:
    """Flagged: a mean sureness over the blends that the base set allows no more than `false_alarms` of the time.

    All samples are blended with the same base images, drawn by the seed, so that their order decides nothing. A base
    image is not blended with itself.

    Edge case                                   Result
    more blends than base samples               each base sample once
    weight = 0                                  plain sureness, without any blending
    a base set too small for `false_alarms`     nobody flagged, and a warning
    a base set of one sample                    nobody flagged, and a warning
    predictions that are not finite             UserError
    """
    s, m = config.strip, len(evidence.base)
    drawn = rng.generator(evidence.seed, "strip").permutation(m)[: s.blends]
    others = np.asarray(evidence.base.take(drawn).image)
    suspicion = sureness(evidence, evidence.image, others, s.weight).mean(axis=1)
    own = sureness(evidence, evidence.base.image, others, s.weight)
    own[drawn, np.arange(len(drawn))] = np.nan  # itself
    flagging.check_finite("strip", suspicion, own[~np.isnan(own)])
    counted = ~np.isnan(own).all(axis=1)
    flagged, few = flagging.above_base(suspicion, np.nanmean(own[counted], axis=1), s.false_alarms)
    return flagging.found(
        evidence,
        flagged,
        suspicion,
        figures={"blends": len(drawn)},
        warnings=few + flagging.base_warnings(evidence),
    )


METHOD = Method(
    name="strip",
    label="STRIP",
    help="eliminate samples whose prediction stays confident when blended with base samples",
    aim="eliminate",
    base=True,
    fields={
        "blends": Field(100, "number of base samples to blend with each sample", 1, 100_000),
        "weight": Field(0.5, "weight of the base sample in a blend", 0, 1),
        "false_alarms": flagging.false_alarms_field()._replace(default=0.1),
    },
    dials={"false_alarms": (0.02, 0.1, 0.3)},
    smoke={"blends": 4},
    find=find,
    treat=flagging.eliminate,
    in_find=lambda config, n, base: min(config.strip.blends, base) * (n + base),
)
