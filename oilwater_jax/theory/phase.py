"""The phase diagram: every figure over poison budget and minority share, and the curves that theory draws there."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from oilwater_jax.theory import budgets
from oilwater_jax.theory.amplification import (
    Flagged,
    Window,
    amplified,
    amplified_moments,
    flagged_moments,
    window,
)
from oilwater_jax.theory.figures import figures
from oilwater_jax.theory.model import Model, erm, flow, followed, margins, spread

GRID = 49
BUDGETS = (1e-4, 0.3)
SHARES = (0.005, 0.5)
EARLY = 0.3  # time of the panel of early training
THRESHOLDS = 64
MOST_ASR = 0.1  # that a rule of the last panel may leave
POINT = 0.01  # a change of WGA or ASR of less counts as none


class Phase(NamedTuple):
    """Figures on a grid: budgets beta [b], minority shares 1 - p [s], everything else [s b] or a curve [s]."""

    beta: Float[np.ndarray, " b"]
    share: Float[np.ndarray, " s"]
    early: float  # the time of `auroc_early`
    auroc: Float[np.ndarray, "s b"]
    auroc_early: Float[np.ndarray, "s b"]
    wga: Float[np.ndarray, "s b"]
    asr: Float[np.ndarray, "s b"]
    wga_jtt: Float[np.ndarray, "s b"]
    asr_jtt: Float[np.ndarray, "s b"]
    flagged: Float[np.ndarray, "s b 3"]
    tail: Float[np.ndarray, "s b"]  # best WGA of an upper tail with ASR <= MOST_ASR; NaN: none
    band: Float[np.ndarray, "s b"]  # the same of a band, upper tails among them
    late: Float[np.ndarray, " s"]  # (4)
    begin: Float[np.ndarray, " s"]  # (4), t -> 0
    window: Window  # (6), an array [s] at each end


def nothing(done: int, total: int) -> None:
    """Report no progress."""


def phase(
    model: Model,
    *,
    grid: int = GRID,
    early: float = EARLY,
    thresholds: int = THRESHOLDS,
    tell: Callable[[int, int], None] = nothing,
) -> Phase:
    """The figures over the grid; the model's own p and beta are ignored.

    `tell(done, total)` is called after each minority share. `thresholds` are those that bands are tried at.
    """
    beta, share = np.geomspace(*BUDGETS, grid), np.geomspace(*SHARES, grid)
    plane = model._replace(beta=beta[None, :], p=1 - share[:, None])
    w = erm(plane)
    plain = figures(plane, w)
    after = figures(plane, amplified(plane, w))
    tails, bands, windows = [], [], []
    for row, own in enumerate(share):
        line = model._replace(beta=beta, p=1 - own)
        tail, band = best_rules(line, w[row], thresholds=thresholds)
        tails.append(tail)
        bands.append(band)
        windows.append(window(model._replace(p=float(1 - own))))
        tell(row + 1, grid)
    edge = model._replace(p=1 - share)
    return Phase(
        beta=beta,
        share=share,
        early=early,
        auroc=plain.auroc,
        auroc_early=figures(plane, flow(plane, early)).auroc,
        wga=plain.wga,
        asr=plain.asr,
        wga_jtt=after.wga,
        asr_jtt=after.asr,
        flagged=flagged_moments(plane, w).share,
        tail=np.array(tails),
        band=np.array(bands),
        late=np.broadcast_to(budgets.late(edge), share.shape),
        begin=np.broadcast_to(budgets.early(edge), share.shape),
        window=Window(np.array([one.low for one in windows]), np.array([one.high for one in windows])),
    )


def best_rules(
    model: Model, w: Float[np.ndarray, "b 3"], *, thresholds: int = THRESHOLDS, most: float = MOST_ASR
) -> tuple[Float[np.ndarray, " b"], Float[np.ndarray, " b"]]:
    """Best WGA after amplifying an upper tail of the loss, and a band of it, with an ASR of at most `most`.

    The thresholds lie evenly between 3 standard deviations below the lowest mean margin and 1 above the highest.
    Flagging nobody is a rule too; a band may be an upper tail. NaN where no rule keeps the ASR down.
    """
    mean, sd = margins(model, w), np.asarray(spread(model, w))
    lowest, highest = mean.min(axis=-1) - 3 * sd, mean.max(axis=-1) + sd
    steps = np.linspace(0, 1, thresholds)[:, None]
    upto = flagged_moments(model, w, -np.inf, lowest + steps * (highest - lowest))
    upto = Flagged(*(np.concatenate([np.zeros_like(part[:1]), part]) for part in upto))
    low, high = np.triu_indices(thresholds + 1, 1)
    low, high = np.concatenate([[0], low]), np.concatenate([[0], high])  # first of all: nobody
    between = Flagged(*(part[high] - part[low] for part in upto))
    found = figures(model, followed(amplified_moments(model, between)))
    allowed = np.where(found.asr <= most, found.wga, -np.inf)
    best = np.stack([allowed[low == 0].max(axis=0), allowed.max(axis=0)])
    best[np.isinf(best)] = np.nan
    return best[0], best[1]


def signs(found: Phase) -> dict[str, Bool[np.ndarray, "s b"]]:
    """Where JTT raises WGA and ASR by more than POINT: both, one of them, or neither, as masks."""
    wga, asr = found.wga_jtt - found.wga > POINT, found.asr_jtt - found.asr > POINT
    return {"both": wga & asr, "asr_only": ~wga & asr, "wga_only": wga & ~asr, "neither": ~wga & ~asr}
