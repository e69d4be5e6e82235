"""Training samples set aside before anything else: the attacker's auxiliary part, the defender's base set."""

import numpy as np
from jaxtyping import Bool, Int

from oilwater_jax import rng
from oilwater_jax.errors import UserError
from oilwater_jax.groups import group_ids
from oilwater_jax.types import Splits


def carve(splits: Splits, share: float) -> Splits:
    """Move a share of every group's training samples, rounded down, to the auxiliary part (in place of the old).

    The same samples for every seed. Share 0 leaves the auxiliary part empty. Samples made of one raw image
    (`Splits.origins`) stay together, so that the parts share none: the smallest group comes within the uses of one
    image of its share, the larger ones about as close as the images weigh alike in them.
    """
    train = splits.train
    if not share:  # without a copy of all images
        return splits._replace(auxiliary=train.take(np.arange(0)))
    groups = group_ids(train, len(splits.attribute_names))
    origin = splits.origins["train"][train.index] if "train" in splits.origins else np.arange(len(train))
    goes = np.zeros(int(origin.max(initial=0)) + 1, bool)  # of each raw image, once it is settled
    settled = np.zeros_like(goes)
    sizes = np.bincount(groups, minlength=splits.n_groups)
    for group in np.argsort(sizes, kind="stable").tolist():  # the smallest come closest to their share
        members = rng.generator(0, "auxiliary", group).permutation(np.flatnonzero(groups == group))
        own = origin[members]
        uses = np.bincount(own, minlength=len(goes))
        room = int(share * len(members)) - int(uses[goes].sum())
        for raw in dict.fromkeys(own[~settled[own]].tolist()):
            goes[raw] = uses[raw] <= room
            room -= int(uses[raw] * goes[raw])
        settled[own] = True
    aside = goes[origin]
    return splits._replace(train=train.take(~aside), auxiliary=train.take(aside))


def carve_base(splits: Splits, count: int, balance: str) -> Splits:
    """Move `count` training samples to the base set (in place of the old); the same samples for every seed.

    `balance` says of what: "natural", the groups in proportion (the largest remainders get what rounding leaves);
    "class", equally many of each class, in a class its groups in proportion; "group", equally many of each group that
    has samples. Count 0 leaves the base set empty. Raises UserError if a class or group has too few samples.
    """
    train = splits.train
    if not count:  # without a copy of all images
        return splits._replace(base=train.take(np.arange(0)))
    n_attributes = len(splits.attribute_names)
    groups = group_ids(train, n_attributes)
    sizes = np.bincount(groups, minlength=splits.n_groups)
    wanted = base_counts(sizes, count, balance, n_attributes)
    for group in np.flatnonzero(wanted >= np.maximum(sizes, 1)):
        raise UserError(
            f"data.base = {count} with data.base_balance = {balance!r} asks for {wanted[group]} of the {sizes[group]} "
            f"training samples of {splits.group_name(int(group))}, and some must be left; lower data.base"
        )
    aside = np.zeros(len(train), bool)
    for group in range(splits.n_groups):
        members = rng.generator(0, "base set", group).permutation(np.flatnonzero(groups == group))
        aside[members[: wanted[group]]] = True
    return splits._replace(train=train.take(~aside), base=train.take(aside))


def base_counts(
    sizes: Int[np.ndarray, " g"], count: int, balance: str, n_attributes: int
) -> Int[np.ndarray, " g"]:
    """How many base samples each group gives, `count` in all. Raises ValueError for an unknown `balance`."""
    if balance == "natural":
        return _in_proportion(sizes, count)
    if balance == "group":
        return _in_proportion(sizes > 0, count)
    if balance != "class":
        raise ValueError(f"base set: balance {balance!r}; known: natural, class, group")
    by_class = sizes.reshape(-1, n_attributes)
    of_class = _in_proportion(by_class.sum(axis=1) > 0, count)
    return np.concatenate([_in_proportion(*one) for one in zip(by_class, of_class.tolist(), strict=True)])


def _in_proportion(
    share: Int[np.ndarray, " g"] | Bool[np.ndarray, " g"], count: int
) -> Int[np.ndarray, " g"]:
    """`count` in whole numbers by share; the largest remainders, of equal ones the first, get what rounding leaves."""
    exact = count * share / max(share.sum(), 1)
    whole = np.floor(exact + 1e-9).astype(int)
    order = np.argsort(-(exact - whole), kind="stable")
    whole[order[: count - whole.sum()]] += 1
    return whole
