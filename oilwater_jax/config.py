"""Configs: the settings of `fields` as a locked ConfigDict, with every check, from files and command lines.

A config file is Python with `get_config()`, which returns `default()` plus a few changes. Importing this
module needs neither JAX nor NumPy, so that help answers at once.
"""

import ast
import difflib
import functools
import itertools
import json
import math
import os
import re
import runpy
import traceback
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from oilwater_jax import registry
from oilwater_jax.errors import UserError
from oilwater_jax.fields import FIELDS, Field

Config = Any
"""A checked, locked ml_collections.ConfigDict of `fields.FIELDS` (whose own types say less than Any)."""


class Grid(NamedTuple):
    """What a grid file's `get_grid()` returns: runs by name, each with `seeds` seeds."""

    runs: Mapping[str, Config]
    seeds: int


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """`{"a.b": 1}` to `{"a": {"b": 1}}`."""
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, leaf = path.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return tree


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` to `{"a.b": 1}`."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        path = f"{prefix}{name}"
        flat |= flatten(value, f"{path}.") if isinstance(value, Mapping) else {path: value}
    return flat


def default() -> Config:
    """All fields at their defaults; locked, so that a misspelt key raises."""
    return ConfigDict(nest({path: field.default for path, field in FIELDS.items()})).lock()


def nearest(key: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` for a key that is close to a known one by path or by last part, else empty."""
    known = list(known)
    close = difflib.get_close_matches(key, known, 1, 0.6)
    leaf = key.rpartition(".")[2]
    close = close or [path for path in known if path.rpartition(".")[2] == leaf]
    leaves = [path.rpartition(".")[2] for path in known]
    close = close or [known[leaves.index(match)] for match in difflib.get_close_matches(leaf, leaves, 1, 0.6)]
    return f"; did you mean {close[0]}?" if close else ""


def check_value(path: str, value: Any, field: Field, where: str) -> Any:
    """The value in the field's type; UserError naming value, place and what is allowed otherwise."""
    wanted = field.default
    if isinstance(wanted, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    refuse = functools.partial(_refusal, path, value, field, where)
    if isinstance(wanted, tuple):
        if not isinstance(value, tuple | list) or not (value or field.choices):
            raise refuse("is not a sequence")
        if field.length and len(value) != field.length:
            raise refuse(f"has {len(value)} entries")
        if field.choices and len(set(value)) != len(value):
            raise refuse("names one twice")
        entry = field._replace(default=wanted[0], length=None)
        return tuple(check_value(path, one, entry, where) for one in value)
    if isinstance(wanted, bool) != isinstance(value, bool):
        raise refuse("has the wrong type")
    if not isinstance(value, type(wanted)):
        raise refuse("has the wrong type")
    if isinstance(value, float) and not math.isfinite(value):
        raise refuse("is not finite")
    if field.choices and value not in field.choices:
        raise refuse("is not known" + nearest(str(value), field.choices))
    too_low = (field.low is not None and value < field.low) or (
        field.above is not None and value <= field.above
    )
    if too_low or (field.high is not None and value > field.high):
        raise refuse("is out of range")
    return value


def _refusal(path: str, value: Any, field: Field, where: str, reason: str) -> UserError:
    return UserError(f"{where}: {path} = {value!r} {reason} (allowed: {field.type_name}, {field.range})")


def call_file(path: str, function: str) -> Any:
    """Run a config file and return what its function of this name returns."""
    if not os.path.isfile(path):
        what = "is a folder" if os.path.isdir(path) else "does not exist"
        raise UserError(f"config file {path} {what}; give a Python file with {function}()")
    try:
        found = runpy.run_path(path).get(function)
        if not callable(found):
            raise UserError(f"config file {path} has no function {function}()")
        return found()
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # whatever a user's file raises is the user's to mend
        raise UserError(_blame(path, error)) from error


def _blame(path: str, error: BaseException) -> str:
    """One line for what a config file raised, with the line of the file where it can be told."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
    line = frames[-1].lineno if frames else getattr(error, "lineno", None)
    at = f"{path}, line {line}" if line else path
    if isinstance(error, AttributeError | KeyError) and frames and "config" in (frames[-1].line or ""):
        key = (frames[-1].line or "").split("=")[0].strip().removeprefix("config.")
        if key.replace(".", "").isidentifier() and key not in FIELDS:
            return f"config file {at}: unknown key {key}{nearest(key, FIELDS)}"
    reason = " ".join(str(error).split())
    return f"config file {at} raised {type(error).__name__}: {reason}"


def parse_override(path: str, text: str) -> Any:
    """A value from the command line: text for string fields, a Python literal otherwise."""
    if path not in FIELDS:
        raise UserError(f"--config.{path}: unknown key{nearest(path, FIELDS)} (--help-config lists all)")
    wanted = FIELDS[path].default
    if isinstance(wanted, str):
        return text
    if isinstance(wanted, tuple) and isinstance(wanted[0], str):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if isinstance(wanted, bool) and text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text  # of the wrong type; check_value says so
    return (value,) if isinstance(wanted, tuple) and not isinstance(value, tuple | list) else value


def load(path: str, overrides: Mapping[str, str]) -> Config:
    """The checked and locked config of a run: file, then `--config.*` overrides, then every check.

    Raises UserError, one line, for anything that does not fit; nothing has been written by then.
    """
    config = call_file(path, "get_config")
    if not isinstance(config, ConfigDict):
        raise UserError(
            f"config file {path}: get_config() returned {type(config).__name__}, not a ConfigDict; "
            "start from oilwater_jax.config.default()"
        )
    return checked(config, overrides, path)


def load_grid(path: str, overrides: Mapping[str, str]) -> Grid:
    """The checked runs of a sweep; the overrides change every run. Raises UserError as `load` does."""
    grid = call_file(path, "get_grid")
    whole = isinstance(grid, Grid) and all(isinstance(run, ConfigDict) for run in grid.runs.values())
    if not whole or not grid.runs or grid.seeds < 1:
        raise UserError(
            f"config file {path}: get_grid() must return an oilwater_jax.config.Grid of at least one run "
            "(a ConfigDict by its name) and at least one seed"
        )
    for name in grid.runs:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.=-]*", name):
            raise UserError(
                f"config file {path}: run name {name!r} must consist of letters, digits and _ . = -"
            )
    runs = {name: checked(run, overrides, f"{path}, run {name}") for name, run in grid.runs.items()}
    return grid._replace(runs=runs)


def checked(config: ConfigDict, overrides: Mapping[str, str], path: str) -> Config:
    """A file's config with overrides, every field checked. Raises UserError."""
    given = flatten(config.to_dict())
    for key in given:
        if key not in FIELDS:
            raise UserError(f"config file {path}: unknown key {key}{nearest(key, FIELDS)}")
    values = {
        key: check_value(key, given[key], field, f"config file {path}")
        for key, field in FIELDS.items()
        if key in given
    }
    if missing := [key for key in FIELDS if key not in values]:
        raise UserError(f"config file {path} lacks {missing[0]}; start from oilwater_jax.config.default()")
    for key, text in overrides.items():
        value = parse_override(key, text)
        values[key] = check_value(key, value, FIELDS[key], "command line")
    whole = ConfigDict(nest(values)).lock()
    check_together(whole)
    return whole


def check_together(config: Config) -> None:
    """Checks between fields. Raises UserError."""
    if config.identify.epochs > config.robust.epochs:
        raise UserError(
            f"identify.epochs = {config.identify.epochs} (T) is more than robust.epochs = "
            f"{config.robust.epochs}; identification comes early: lower T or train longer"
        )
    if any(later <= earlier for earlier, later in itertools.pairwise(config.study.epochs)):
        raise UserError(
            f"study.epochs = {tuple(config.study.epochs)} must grow from one to the next; sort them, each once"
        )
    if config.pretrain.epochs and config.data.name in registry.LISTED:
        raise UserError(
            f"pretrain.epochs = {config.pretrain.epochs}, but {config.data.name} has no pretraining task; set it to 0"
        )
    if config.model.init_from:
        check_start(config)
    if any(width % 8 for width in config.model.widths):
        raise UserError(f"model.widths = {tuple(config.model.widths)}: each must be a multiple of 8")
    if config.george.k_min > config.george.k_max:
        raise UserError(
            f"george.k_min = {config.george.k_min} is more than george.k_max = {config.george.k_max}; "
            "give the smaller first"
        )
    if config.attack.name == "sa" and not config.data.auxiliary:
        raise UserError(
            "attack.name = 'sa' needs samples that nothing trains on, but data.auxiliary = 0; set it (to 0.2, say)"
        )
    if config.attack.name == "none" and (extra := {"ideal", "worst"} & set(config.rows)):
        raise UserError(
            f"rows: {', '.join(sorted(extra))} need poisons, but attack.name = 'none'; "
            "leave them out or choose an attack"
        )


def check_start(config: Config) -> None:
    """Checks of `model.init_from` against its folder. Raises UserError."""
    from oilwater_jax.models.record import read  # imports NumPy: only now is it sure to be needed

    if config.pretrain.epochs:
        raise UserError(
            f"model.init_from = {config.model.init_from!r} and pretrain.epochs = {config.pretrain.epochs} both say "
            "where training starts; set pretrain.epochs=0 or leave model.init_from empty"
        )
    found = read(Path(config.model.init_from)).model
    if found != config.model.name:
        raise UserError(
            f"model.init_from = {config.model.init_from!r} holds weights of {found}, but model.name = "
            f"{config.model.name!r}; set model.name={found}"
        )


def shrink(config: Config) -> Config:
    """The config with `smoke` carried out on its epochs (`data.load` carries it out on the samples)."""
    if not config.smoke:
        return config
    flat = flatten(config.to_dict())
    for recipe, most in {"pretrain": 1, "erm": 2, "identify": 1, "robust": 2}.items():
        flat[f"{recipe}.epochs"] = min(flat[f"{recipe}.epochs"], most)
    for key, most in {"gm.steps": 8, "gm.restarts": 2, "gm.targets": 2, "sa.clusters": 4}.items():
        flat[f"attack.{key}"] = min(flat[f"attack.{key}"], most)
    flat["study.epochs"] = tuple(dict.fromkeys(min(epoch, 2) for epoch in flat["study.epochs"]))
    # A round at the second of the two epochs that are left, unless the dial allows none.
    flat["epic.drop_after"], flat["epic.subset_freq"] = min(flat["epic.drop_after"], 2), 1
    if config.data.name in registry.LISTED:
        # Of the 64 large images that are left of a split: several batches, poisons, samples for an attacker.
        for key, most in {"train.batch": 16, "method.lambda_up": 4.0, "attack.sa.components": 2}.items():
            flat[key] = min(flat[key], most)
        flat["attack.budget"] = max(flat["attack.budget"], 0.05)
        flat["data.auxiliary"] = max(flat["data.auxiliary"], 0.5) if flat["data.auxiliary"] else 0.0
    return ConfigDict(nest(flat)).lock()


def to_json(config: Config) -> dict[str, Any]:
    """The config as nested plain dicts and lists, as config.json holds it."""
    return json.loads(json.dumps(config.to_dict()))


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """`key: old -> new` for every key whose value differs between two `to_json` dicts."""
    a, b = flatten(old), flatten(new)
    keys = [*a, *(key for key in b if key not in a)]
    return [f"{k}: {a.get(k, 'absent')} -> {b.get(k, 'absent')}" for k in keys if a.get(k) != b.get(k)]


def help_lines() -> Iterator[tuple[str, str, str, str, str]]:
    """(key, type, default, range, help) of every field, for `--help-config`."""
    for key, field in FIELDS.items():
        yield key, field.type_name, str(field.default), field.range, field.help
