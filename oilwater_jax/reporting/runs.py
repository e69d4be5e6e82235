"""Finished runs by name, from folders of runs and sweeps. Needs no JAX."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from oilwater_jax.errors import UserError
from oilwater_jax.files import Damaged, load_json, read_json
from oilwater_jax.reporting import grid, summary
from oilwater_jax.reporting.grid import Line
from oilwater_jax.shapes import RUN_CONFIG, mismatch


class Run(NamedTuple):
    """A finished run: its name among the others, its folder, its config, its summary."""

    name: str
    folder: Path
    config: dict[str, Any]
    summary: dict[str, Any]


class Runs(NamedTuple):
    """The finished runs of some folders, and the names of those of a sweep that are not finished."""

    done: list[Run]
    unfinished: list[str]


def gather(folders: Sequence[Path]) -> Runs:
    """The runs of the folders, in order; those of a sweep as its grid has them.

    A run is called by its folder, and by as much of the path before it as tells it from the others. Raises UserError
    for a folder that is no run's and no sweep's, for a study or a frontier, and for what is not finished.
    """
    found: list[tuple[Path, dict[str, Any], dict[str, Any]]] = []
    unfinished = []
    for folder in folders:
        if (read_json(folder / "config.json", {}) or {}).get("frontier"):
            raise UserError(
                f"{folder} holds a frontier, which has a page of its own ({folder / 'report.html'}) and its figures "
                f"in {folder / 'points.csv'}"
            )
        if not is_sweep(folder):
            config, one = _config(folder), _finished(folder)
            if one is None:
                raise UserError(f"{folder} is not finished; run the same command again to resume")
            found.append((folder, config, one))
            continue
        before = len(found)
        for name in grid.names(folder):
            path = folder / "runs" / name
            if (one := _finished(path)) is None:
                unfinished.append(name)
            else:
                found.append((path, _config(path), one))
        if len(found) == before:
            raise UserError(f"{folder} has no finished run yet; run the same sweep again to resume")
    names = called([path for path, *_ in found])
    return Runs([Run(name, *one) for name, one in zip(names, found, strict=True)], unfinished)


def is_sweep(folder: Path) -> bool:
    """Whether a folder is a sweep's: it has a list of runs, or its config says so."""
    return (folder / "grid.json").exists() or bool((read_json(folder / "config.json", {}) or {}).get("sweep"))


def _config(folder: Path) -> dict[str, Any]:
    mend = "give one that run or sweep made"
    try:
        config = load_json(folder / "config.json", {})
    except Damaged as damage:
        raise UserError(f"{folder} is not a run's folder (config.json: {damage}); {mend}") from None
    if config is None:
        raise UserError(f"{folder} is neither a run's folder nor a sweep's (no config.json); {mend}")
    if config.get("command") == "study":
        raise UserError(f"{folder} holds a study, which has a page of its own ({folder / 'report.html'})")
    if fault := mismatch(config, RUN_CONFIG):
        raise UserError(f"{folder / 'config.json'} does not belong to a run ({fault}); {mend}")
    return config


def _finished(folder: Path) -> dict[str, Any] | None:
    found = summary.read(folder)
    if found is not None and found.get("command") == "study":
        raise UserError(
            f"{folder}: summary.json comes from another command than config.json; run the same command again"
        )
    return found


def called(folders: Sequence[Path]) -> list[str]:
    """A name for each folder: the end of its path, as long as it must be. Raises UserError for one that comes twice."""
    parts = [folder.resolve().parts for folder in folders]
    if twice := [folder for at, folder in enumerate(folders) if parts[at] in parts[:at]]:
        raise UserError(f"{twice[0]} is given twice; give it once")
    depth = [1] * len(parts)

    def names() -> list[str]:
        return ["/".join(one[-d:]) for one, d in zip(parts, depth, strict=True)]

    while len(set(now := names())) < len(now):
        depth = [d + (now.count(name) > 1) for d, name in zip(depth, now, strict=True)]
    return now


def lines(folders: Sequence[Path]) -> list[Line]:
    """The lines of the table of some runs."""
    return [line for run in gather(folders).done for line in grid.lines_of(run.name, run.summary)]
