"""`oilwater doctor`: find stale or damaged files in the folder of a run or a sweep, and say how to fix them.

What is found     It is                                                      --repair
damaged           not what was written there, or not readable                removes it if it can be computed again
stale             of another version, other settings or data than now        removes it
left over         of a process that was killed                               removes it
missing           not there, and the same command makes it                   -
lost              damaged, and nothing can compute it again (config.json)    leaves it
"""

import contextlib
import fcntl
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from oilwater_jax import __version__, rows
from oilwater_jax.errors import UserError, plain
from oilwater_jax.files import BESIDE, Damaged, load_json, open_lock, read_json, read_plain
from oilwater_jax.frontier import report as frontier
from oilwater_jax.reporting import summary
from oilwater_jax.run_folder import LOCK, is_run_folder
from oilwater_jax.settings.config import Config, checked, looks_of, rows_of
from oilwater_jax.shapes import ENVIRONMENT, GRID, RUN_CONFIG, STAGE, SWEEP_CONFIG
from oilwater_jax.stages import MOST_METRICS, read_arrays, read_metrics

REMOVABLE = ("damaged", "stale", "left over")


class Finding(NamedTuple):
    """A problem. `kind` is one of the table above."""

    kind: str
    path: Path
    why: str

    def __str__(self) -> str:
        """One line, whatever the path and what a file says have in them."""
        mend = {"missing": "the same command makes it", "lost": "keep what is of use, and begin a new folder"}
        return plain(
            f"{self.kind}: {self.path}: {self.why}; {mend.get(self.kind, 'it can be computed again')}"
        )


def examine(folder: Path, *, keys: bool = True) -> list[Finding]:
    """All problems in the folder of a run or a sweep; reads every file. Raises UserError.

    With `keys` the data are loaded too, to tell which stages the run of this config would use as they are now.
    """
    if not is_run_folder(folder):
        raise UserError(f"{folder} is not the folder of a run or a sweep; give one that oilwater made")
    found: list[Finding] = []
    try:
        config = load_json(folder / "config.json", (RUN_CONFIG, SWEEP_CONFIG))
    except Damaged as damage:
        config = None
        found.append(Finding("lost", folder / "config.json", str(damage)))
    else:
        if config is None:
            found.append(Finding("lost", folder / "config.json", "it is not there"))
    found += _left_over(folder)
    if config is not None and config.get("sweep"):
        return found + _sweep(folder, config, keys=keys)
    names = _expected(config, folder, found) if config is not None and keys else None
    return found + _stages(folder, names, shared=False) + _run(folder, names)


def _sweep(folder: Path, of: Mapping[str, object], *, keys: bool) -> list[Finding]:
    found, names = [], {}
    try:
        grid = load_json(folder / "grid.json", GRID)
        if grid is None:
            found.append(Finding("missing", folder / "grid.json", "it is not there"))
    except Damaged as damage:
        found.append(Finding("damaged", folder / "grid.json", str(damage)))
    if of.get("frontier"):
        try:
            of_all = frontier.FILE if frontier.read(folder) is None else "report.html"
            if not (folder / of_all).is_file():
                found.append(Finding("missing", folder / of_all, "it is not there"))
        except UserError as error:
            found.append(Finding("damaged", folder / frontier.FILE, str(error)))
    for run in sorted((folder / "runs").glob("*")):
        try:
            config = load_json(run / "config.json", RUN_CONFIG)
        except Damaged as damage:
            found.append(Finding("lost", run / "config.json", str(damage)))
            continue
        if config is None:
            continue
        own = _expected(config, run, found) if keys else None
        names |= own or {}
        found += _left_over(run) + _run(run, own)
    return found + _stages(folder, names if keys else None, shared=True)


def _expected(config: Mapping[str, object], folder: Path, found: list[Finding]) -> dict[str, str] | None:
    """The keys of a run's stages as they would be computed now, by name; None where that cannot be told."""
    from oilwater_jax import pipeline
    from oilwater_jax.keys import Keys

    if config.get("command") == "study":
        return None
    try:
        whole = checked(ConfigDict(dict(config)), {}, str(folder / "config.json"))
        small, splits = pipeline.prepare(whole)
    except UserError as error:
        found.append(Finding("stale", folder / "config.json", f"it cannot be run as it is ({error})"))
        return None
    seeds = _seeds(folder, whole)
    keys = Keys(small, splits.identity)
    names = {"": keys.run(seeds)}
    for seed in seeds:
        names[f"seed{seed}/attack"] = keys.attack(seed)
        for row in (*looks_of(small), *rows_of(small)):
            for part in rows.parts(row):
                for atom in part.last:
                    if keys.registry.method(atom.name).find:
                        on = part._replace(stages=(*part.before.stages, (rows.Atom(atom.name),)))
                        names[f"seed{seed}/{on.slug}.found"] = keys.found(part, atom, seed)
        for row in rows_of(small):
            names[f"seed{seed}/{row.slug}"] = keys.row(row, seed)
    return names


def _seeds(folder: Path, config: Config) -> list[int]:
    """The seeds of a run: its summary's, or those of its stages."""
    with contextlib.suppress(UserError):
        if (found := summary.read(folder)) is not None:
            return found["seeds"]
    numbers = (path.name.removeprefix("seed") for path in folder.glob("stages/seed*"))
    return sorted(int(one) for one in numbers if one.isdecimal() and len(one) < 10) or [config.seed]


def _stages(folder: Path, names: Mapping[str, str] | None, *, shared: bool) -> list[Finding]:
    """What is wrong with the stages and checkpoints of a store."""
    found = []
    root = folder / "stages"
    for path in sorted({file.parent for name in ("stage.json", "arrays.npz") for file in root.rglob(name)}):
        name = str(path.relative_to(root))
        try:
            record = load_json(path / "stage.json", STAGE, sealed=True)
            if record is None:
                found.append(Finding("left over", path, "the stage was not finished"))
                continue
            if record["name"] != name:
                raise Damaged(f"it holds the stage {record['name']}")
            read_arrays(path / "arrays.npz", record["arrays"])
        except Damaged as damage:
            found.append(Finding("damaged", path, str(damage)))
            continue
        made = record["made"].get("oilwater_jax")
        if made != __version__:
            found.append(
                Finding("stale", path, f"it was made by oilwater_jax {made}, and this is {__version__}")
            )
            continue
        if names is not None and not shared and names.get(name) not in (None, record["key"]):
            found.append(Finding("stale", path, "it is of other settings, code or data than the run's"))
    for key in sorted({path.parent for path in (folder / "checkpoints").rglob("*") if path.name.isdecimal()}):
        if not (key / "key").is_file():
            found.append(Finding("damaged", key, "nobody knows what the checkpoints are of"))
    return found


def _run(folder: Path, names: Mapping[str, str] | None) -> list[Finding]:
    """What is wrong with a run's own files."""
    found = []
    for name, shape in (("environment.json", ENVIRONMENT),):
        try:
            if load_json(folder / name, shape) is None and (folder / "summary.json").exists():
                found.append(Finding("missing", folder / name, "what the run was made on is not known"))
        except Damaged as damage:
            found.append(Finding("lost", folder / name, str(damage)))
    try:
        finished = summary.read(folder)
        if finished is not None and names is not None and finished["key"] != names[""]:
            why = "it is of other settings, code or data than now"
            found.append(Finding("stale", folder / "summary.json", why))
    except UserError as error:
        finished = None
        found.append(Finding("damaged", folder / "summary.json", str(error)))
    report = folder / ("scores.npz" if finished and finished.get("command") == "study" else "report.html")
    if finished is not None and not report.is_file():
        kind = "damaged" if report.exists() else "missing"
        found.append(Finding(kind, report, "it is not a file" if report.exists() else "it is not there"))
    metrics = folder / "metrics.jsonl"
    if metrics.exists():
        try:
            lines = len(read_plain(metrics, MOST_METRICS).splitlines())
        except OSError as error:
            found.append(Finding("lost", metrics, str(error.strerror)))
        else:
            if bad := lines - len(read_metrics(metrics)):
                found.append(Finding("lost", metrics, f"{bad} of {lines} rows cannot be read"))
    return found


def _left_over(folder: Path) -> list[Finding]:
    """Files that a killed process was writing."""
    own = list(folder.glob(BESIDE))
    inner = [path for part in ("stages", "figures", "metrics") for path in (folder / part).rglob(BESIDE)]
    return [Finding("left over", path, "a killed process was writing it") for path in sorted(own + inner)]


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """The folder, held by this process. Raises UserError if another one works in it."""
    try:
        lock = open_lock(folder / LOCK)
    except OSError as error:
        raise UserError(f"{folder / LOCK} cannot be used ({error.strerror}); check what it is") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{folder} is held by another oilwater process; wait for it") from None
        yield


def repair(folder: Path, found: list[Finding]) -> list[Finding]:
    """Remove what can be computed again; returns the remaining problems. Raises UserError if the folder is in use."""
    left = []
    with _held(folder):
        for one in found:
            if one.kind not in REMOVABLE or one.path.name in ("config.json", "environment.json"):
                left.append(one)
            elif one.path.is_dir() and not one.path.is_symlink():
                shutil.rmtree(one.path)
            else:
                one.path.unlink(missing_ok=True)
    return left


def tell(folder: Path, *, mend: bool = False, keys: bool = True) -> bool:
    """Print problems and, with `mend`, remove what can be computed again. True if no problem remains."""
    found = examine(folder, keys=keys)
    for one in found:
        print(one)
    left = repair(folder, found) if mend else found
    what = "sweep" if (read_json(folder / "config.json", {}) or {}).get("sweep") else "run"
    if not found:
        said = f"the {what} is sound"
    elif mend:
        said = (
            f"{len(found) - len(left)} of {len(found)} removed; the command that made it computes them again"
        )
    else:
        said = f"{len(found)} found; --repair removes what can be computed again"
    print(plain(f"{folder}: {said}"))
    return not left
