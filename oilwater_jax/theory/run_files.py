"""What `--fit` needs of a finished run, from its config.json and summary.json. The one place that knows their layout.

Rows are keyed by expressions (`erm`, `erm@clean`, `jtt`, `jtt:ideal`, `epic`, `epic+jtt`, ...), and what a method found
stands below `found`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from oilwater_jax.errors import UserError
from oilwater_jax.files import read_json
from oilwater_jax.reporting.summary import read as read_summary
from oilwater_jax.shapes import RUN_CONFIG, mismatch

N_GROUPS, N_CLASSES = 4, 2  # of the model's setting: two classes, two attributes
EXACT = 1e-6  # ACC adjusted is the groups' average up to rounding


class Run(NamedTuple):
    """A run as the model sees it; rates are means over the seeds, None where undefined."""

    p: float  # the majorities' share of the clean training samples
    beta: float  # the poisons' share of all
    lambda_up: float
    rows: dict[str, dict[str, float | None]]  # of each row `wga`, `majority`, `asr`
    flagged: dict[str, float]  # by JTT: `maj`, `min` (LRG-1), `poi`; those that the run has
    gone: dict[str, list[tuple[float, float, float]]]  # eliminated of maj, min, poi, a triple for each seed


def read(folder: Path, *, p: float | None = None, lambda_up: float | None = None) -> Run:
    """A finished run. `p` and `lambda_up` stand in for what the folder does not say.

    Raises UserError if the folder is no finished run, has no row `erm`, is of other than four groups, or its attack
    plants no trigger; and where neither the folder nor the options say p or lambda_up.
    """
    config, summary = read_json(folder / "config.json", RUN_CONFIG), read_summary(folder)
    if config is None or summary is None or "rows" not in summary:
        raise UserError(
            f"{folder} is not a finished run (no sound config.json and summary.json); let it finish first"
        )
    rows = summary["rows"]
    if rows.get("erm", {}).get("wga") is None:
        known = ", ".join(rows) or "none"
        raise UserError(f"{folder} has no row erm, which the model is fitted to; its rows: {known}")
    if "asr_untriggered" not in summary["measures"] or rows["erm"].get("asr") is None:
        attack = config.get("attack", {}).get("name", "none")
        raise UserError(
            f"{folder}: attack {attack} plants no trigger at test time; the model is of attacks that do"
        )
    if len(summary["groups"]) != N_GROUPS:
        raise UserError(
            f"{folder} has {len(summary['groups'])} groups; the model is of {N_GROUPS} (2 classes, 2 attributes)"
        )
    shares = group_shares(rows)
    if shares is None:
        if p is None:
            raise UserError(
                f"{folder}: its rows do not determine the group sizes; give the majority's share, e.g. --p=0.95"
            )
        # Which groups are small is then seen by accuracy alone.
        order = np.argsort(rows["erm"]["group_acc"])
        minority = np.isin(np.arange(N_GROUPS), order[: N_GROUPS // 2])
        shares = np.where(minority, (1 - p) / 2, p / 2)
    minority = shares < 1 / (N_GROUPS * N_CLASSES)
    if not minority.any():
        raise UserError(
            f"{folder} has no minority (a group below 12.5%); the model is of a minority beside a majority"
        )
    known = not mismatch(config, {"jtt": {"lambda_up": float}})
    times = config["jtt"]["lambda_up"] if lambda_up is None and known else lambda_up
    if times is None:
        raise UserError(f"{folder}: its config has no jtt.lambda_up; give it, e.g. --lambda_up=50")
    return Run(
        p=float(shares[~minority].sum()) if p is None else p,
        beta=float(np.mean([n / (n + summary["n_train"]) for n in summary["n_poison_seeds"]])),
        lambda_up=float(times),
        rows={name: _rates(row, shares, minority) for name, row in rows.items()},
        flagged=_flagged(summary, shares, minority),
        gone={name: found for name, row in rows.items() if (found := _gone(row, shares, minority))},
    )


def group_shares(rows: Mapping[str, Any]) -> Float[np.ndarray, " g"] | None:
    """The groups' shares of the clean training set; None where the rows do not say.

    ACC adjusted is the average of the group accuracies by these shares, exactly, in every row and seed: with as many
    independent rows as groups, a linear system that has one solution.
    """
    accuracies, adjusted = [], []
    for row in rows.values():
        for groups, value in zip(row["group_acc_seeds"], row["acc_adjusted_seeds"], strict=True):
            if value is not None and None not in groups:
                accuracies.append(groups)
                adjusted.append(value)
    if len(adjusted) < N_GROUPS:
        return None
    system, right = np.array(accuracies, dtype=float), np.array(adjusted, dtype=float)
    shares, _, rank, _ = np.linalg.lstsq(system, right, rcond=1e-9)
    off = max(np.abs(system @ shares - right).max(), abs(shares.sum() - 1))
    return shares if rank == N_GROUPS and off < EXACT and (shares > 0).all() else None


def _rates(
    row: Mapping[str, Any], shares: Float[np.ndarray, " g"], minority: Bool[np.ndarray, " g"]
) -> dict[str, float | None]:
    by_group = np.array(row["group_acc"], dtype=float)
    majority = float(np.average(by_group[~minority], weights=shares[~minority]))
    return {"wga": row["wga"], "majority": majority, "asr": row.get("asr")}


def _by_kind(
    values: Mapping[str, float | None], shares: Float[np.ndarray, " g"], minority: Bool[np.ndarray, " g"]
) -> dict[str, float]:
    """One value for maj, min and poi from those of the reported sets (`poison`, `lrg_1`, ..., `hrg_1`, ...)."""
    sizes = {
        **{f"lrg_{k}": size for k, size in enumerate(np.sort(shares[minority]), 1)},
        **{f"hrg_{k}": size for k, size in enumerate(np.sort(shares[~minority])[::-1], 1)},
    }
    found = {}
    for kind, prefix in (("maj", "hrg"), ("min", "lrg")):
        own = {name: size for name, size in sizes.items() if name.startswith(prefix)}
        known = [value for name in own if (value := values.get(name)) is not None]
        if own and len(known) == len(own):
            found[kind] = float(np.average(known, weights=list(own.values())))
    if (poison := values.get("poison")) is not None:
        found["poi"] = float(poison)
    return found


def _flagged(
    summary: Mapping[str, Any], shares: Float[np.ndarray, " g"], minority: Bool[np.ndarray, " g"]
) -> dict[str, float]:
    """Shares that JTT flagged; of the minority, LRG-1's, which the model's minority is fitted to."""
    idnf = summary.get("found", {}).get("jtt", {}).get("idnf") or {}
    found = _by_kind(idnf, shares, minority)
    if idnf.get("lrg_1") is not None:
        found["min"] = idnf["lrg_1"]
    return found


def _gone(
    row: Mapping[str, Any], shares: Float[np.ndarray, " g"], minority: Bool[np.ndarray, " g"]
) -> list[tuple[float, float, float]]:
    """What was eliminated in each seed; empty where nothing can have been."""
    elmf = row.get("elmf") or {}
    sets = [name for name in elmf if not name.endswith(("_std", "_seeds"))]
    if not any(row.get("rounds_seeds") or ()) and not any(elmf[name] for name in sets):
        return []
    seeds = zip(*(elmf[f"{name}_seeds"] for name in sets), strict=True)
    each = [_by_kind(dict(zip(sets, values, strict=True)), shares, minority) for values in seeds]
    return [(one["maj"], one["min"], one["poi"]) for one in each if len(one) == 3]
