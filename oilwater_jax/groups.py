"""Groups, and the sets that figures are reported on: poisons, minorities (LRG), majorities (HRG)."""

import numpy as np
from jaxtyping import Bool, Int

from oilwater_jax.types import Examples


def group_ids(examples: Examples, n_attributes: int) -> Int[np.ndarray, " n"]:
    """Group of each sample: `true_label * n_attributes + attribute`, int32.

    A poison keeps its source's group (Objective and figures treat it apart by `is_poison`).
    """
    return (examples.true_label * n_attributes + examples.attribute).astype(np.int32)


def group_counts(examples: Examples, n_classes: int, n_attributes: int) -> Int[np.ndarray, " g"]:
    """Number of clean samples in each group; poisons belong to none."""
    clean = group_ids(examples, n_attributes)[~examples.is_poison]
    return np.bincount(clean, minlength=n_classes * n_attributes)


def minority_groups(counts: Int[np.ndarray, " g"], n_classes: int) -> Bool[np.ndarray, " g"]:
    """Which groups are minorities (LRG, low-representation groups): fewer than n / (|Y||Y||A|) samples.

    The paper counts groups over true label x given label x attribute, so the bar is the mean size of
    |Y| * |G| groups (8 for Waterbirds: 4795 / 8 = 599, which makes 56 and 184 the minorities).

    Edge case              Result
    equal groups           none is a minority
    an empty group         a minority of size 0

    Examples:
        >>> minority_groups(np.array([3498, 184, 56, 1057]), 2).tolist()
        [False, True, True, False]

    """
    return counts < counts.sum() / (n_classes * len(counts))


def report_sets(examples: Examples, n_classes: int, n_attributes: int) -> dict[str, Bool[np.ndarray, " n"]]:
    """The named sets of training samples that IDNF and ELMF are reported on, as masks.

    `poison`; `lrg_1` (the smallest minority), `lrg_2`, ...; `hrg_1` (the largest majority), `hrg_2`, ...
    Ties in size go to the lower group id. Poisons are in no LRG or HRG.
    """
    counts = group_counts(examples, n_classes, n_attributes)
    minority = minority_groups(counts, n_classes)
    groups = group_ids(examples, n_attributes)
    by_size = np.argsort(counts, kind="stable")
    by_size_down = np.argsort(-counts, kind="stable")
    named = {f"lrg_{k}": g for k, g in enumerate((g for g in by_size if minority[g]), 1)}
    named |= {f"hrg_{k}": g for k, g in enumerate((g for g in by_size_down if not minority[g]), 1)}
    sets = {"poison": examples.is_poison}
    return sets | {name: (groups == g) & ~examples.is_poison for name, g in named.items()}
