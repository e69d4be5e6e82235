"""SCAn: eliminate one part of a class that splits in two although the base set does not.

Features are whitened by the variation within classes that the base set has. Each class is then cut in two, and the gain
of two means over one is held against a null: the same gain for as many draws from the base set's own variation. The
published index compares the classes with one another, by medians: with two classes it is 0.674 for both, always, and
never fires.

References: Tang et al. 2021, "Demon in the Variant: Statistical Analysis of DNNs for Robust Backdoor Contamination
Detection", section 4; vtu81/backdoor-toolbox, scan.py. Ours: the null; the within-class covariance is the base set's,
shrunk (Ledoit and Wolf 2004), not by EM with a between-class one, which two classes give one direction.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from oilwater_jax import rng
from oilwater_jax.defenses import flagging
from oilwater_jax.defenses.two_means import two_means
from oilwater_jax.entries import Config, Method
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Evidence, Found

MOST_DRAWN = 500  # samples of one draw of the null: fewer make it wider, so larger classes are judged mildly
LEAST_BASE = 8  # of residuals in each half of the base set


def gain(points: Float[np.ndarray, "n p"], small: Bool[np.ndarray, " n"]) -> float:
    """Twice the log-likelihood ratio per sample of two means over one, for normal points of covariance 1.

    It is the squared distance of the parts' means, times the parts' shares. 0 where a part is empty.
    """
    if small.all() or not small.any():
        return 0.0
    apart = points[small].mean(axis=0) - points[~small].mean(axis=0)
    share = float(small.mean())
    return share * (1 - share) * float(apart @ apart)


def residuals(points: Float[np.ndarray, "m p"], label: Int[np.ndarray, " m"]) -> Float[np.ndarray, "r p"]:
    """Points less their class's mean, scaled so that their variance is unbiased; classes of one are left out."""
    found = [np.zeros((0, points.shape[1]))]
    for one in np.unique(label):
        own = points[label == one]
        if len(own) > 1:
            found.append((own - own.mean(axis=0, keepdims=True)) * np.sqrt(len(own) / (len(own) - 1)))
    return np.concatenate(found)


def whitener(spread: Float[np.ndarray, "r p"]) -> Float[np.ndarray, "p p"]:
    """What makes residuals of this covariance, shrunk, have covariance 1."""
    from sklearn.covariance import ledoit_wolf  # here: half a second that other methods need not pay

    values, vectors = np.linalg.eigh(ledoit_wolf(spread, assume_centered=True)[0])
    floor = max(1e-9 * float(values[-1]), 1e-300)
    return vectors / np.sqrt(np.maximum(values, floor))[None]


def null_gains(
    white: Float[np.ndarray, "r p"], size: int, draws: int, generator: np.random.Generator
) -> Float[np.ndarray, " draws"]:
    """The gains of `draws` classes of `size` samples, each drawn with replacement from the whitened residuals."""
    found = np.empty(draws)
    for at in range(draws):
        drawn = white[generator.integers(len(white), size=size)]
        found[at] = gain(drawn, two_means(drawn))
    return found


def find(config: Config, evidence: Evidence) -> Found:
    """Flagged: in each class whose gain the null allows no more than `false_alarms` of the time, the part less trusted.

    One half of the base set gives the covariance, the other the null, so that neither is fitted to itself. The classes
    share the false alarms out. Of a class's two parts the one with the smaller share of the class's base samples is
    flagged, of equal shares the smaller part. The suspicion is the log-likelihood ratio of that part over the other.

    The reference model was fitted to the training samples and not to the base set: kinds that it tells apart only there
    (e.g. the groups of a class) count as a finding. The flagged part is the largest split, poisons or not.

    Edge case                                          Result
    fewer than 8 residuals in a half of the base set   nobody flagged, and a warning
    too few draws for `false_alarms` over all classes  nobody flagged, and a warning
    a class without base samples                       judged by the others' variation, and a warning
    the base set lacks a group                         a warning: the class will look like two kinds
    all features equal                                 nobody flagged
    features that are not finite                       UserError
    """
    s, label, own = config.scan, evidence.label, evidence.base.label
    points, base = (one[s.layer].astype(np.float64) for one in (evidence.scores, evidence.base_scores))
    flagging.check_finite("scan", points, base)
    flagged, suspicion = np.zeros(len(label), bool), np.zeros(len(label))
    lacks, few = flagging.base_warnings(evidence, groups=True), ()
    axes = leading(points, label, s.components)
    points, base = points @ axes, base @ axes
    half = halves(own)
    spread, rest = residuals(base[half], own[half]), residuals(base[~half], own[~half])
    classes = np.unique(label)
    level = s.false_alarms / len(classes)
    if min(len(spread), len(rest)) < LEAST_BASE:
        few = (f"{len(own)} base samples are too few to tell how samples of a class vary; raise data.base",)
    elif level * (s.draws + 1) * (1 + 1e-9) < 1:
        few = (
            f"{s.draws} draws cannot tell of false alarms of {s.false_alarms:g} over {len(classes)} classes; raise "
            "scan.draws",
        )
    if few or not spread.any():
        return flagging.found(evidence, flagged, suspicion, warnings=lacks + few)
    white = whitener(spread)
    size = min(int(np.unique(label, return_counts=True)[1].min()), MOST_DRAWN)
    null = null_gains(rest @ white, size, s.draws, rng.generator(evidence.seed, "scan"))
    p_values = {}
    for one in classes:
        at, trusted = np.flatnonzero(label == one), base[own == one] @ white
        mine = points[at] @ white
        small = two_means(mine)
        p = (1 + int(np.sum(null >= gain(mine, small)))) / (s.draws + 1)
        p_values[str(one)] = p
        if not small.any():
            continue
        nearer = to_first(mine, small, trusted) > 0
        part = small if not len(nearer) or 2 * nearer.mean() <= 1 else ~small
        suspicion[at] = to_first(mine, part, mine)
        flagged[at] = part & (p <= level * (1 + 1e-9))
    return flagging.found(evidence, flagged, suspicion, figures={"p_values": p_values}, warnings=lacks)


def leading(
    points: Float[np.ndarray, "n d"], label: Int[np.ndarray, " n"], components: int
) -> Float[np.ndarray, "d p"]:
    """The leading directions of the training samples' variation within their classes."""
    spread = residuals(points, label)
    return np.linalg.eigh(spread.T @ spread)[1][:, ::-1][:, :components]


def halves(label: Int[np.ndarray, " m"]) -> Bool[np.ndarray, " m"]:
    """Every other sample of each class."""
    found = np.zeros(len(label), bool)
    for one in np.unique(label):
        found[np.flatnonzero(label == one)[::2]] = True
    return found


def to_first(
    points: Float[np.ndarray, "n p"], part: Bool[np.ndarray, " n"], others: Float[np.ndarray, "m p"]
) -> Float[np.ndarray, " m"]:
    """Log-likelihood ratio of the part's mean over that of the rest, for each of the others, under covariance 1."""
    one, two = points[part].mean(axis=0), points[~part].mean(axis=0)
    return others @ (one - two) - 0.5 * float(one @ one - two @ two)


METHOD = Method(
    name="scan",
    label="SCAn",
    help="eliminate one part of each class that splits in two although the base set does not",
    aim="eliminate",
    base=True,
    fields={
        "components": Field(10, "leading directions of the variation within classes", 1, 10_000),
        "draws": Field(199, "classes resampled from the base set for the null distribution", 1, 1_000_000),
        "false_alarms": flagging.false_alarms_field()._replace(
            help="false alarm rate per data set: probability of flagging any class if classes vary as the base set's do"
        ),
        "layer": flagging.layer_field(),
    },
    dials={"false_alarms": (0.01, 0.1, 0.3)},
    smoke={"draws": 39},
    scores=lambda config: (config.scan.layer,),
    find=find,
    treat=flagging.eliminate,
)
