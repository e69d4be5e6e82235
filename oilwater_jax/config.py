"""The experiment's settings: one table of fields, from which come the defaults, the checks and the help.

A config file is Python with `get_config()`, which returns `default()` plus a few changes. Importing this
module needs neither JAX nor NumPy, so that help answers at once.
"""

import ast
import difflib
import json
import math
import os
import re
import runpy
import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from oilwater_jax import registry
from oilwater_jax.errors import UserError

Config = Any
"""A checked, locked ml_collections.ConfigDict with the fields of FIELDS (whose own types say less than Any)."""


class Grid(NamedTuple):
    """What a grid file's `get_grid()` returns: runs by name, each with `seeds` seeds."""

    runs: Mapping[str, Config]
    seeds: int


MODES = ("standard", "ideal", "worst")  # of amplification
ROWS = ("erm_clean", "erm", *MODES, "oracle", "group_dro")
SELECTION_RULES = ("val_wga", "val_acc", "last")
CLUSTER_RULES = ("val_worst_cluster", *SELECTION_RULES)  # where a method estimates clusters


class Field(NamedTuple):
    """One setting: default (its type is the field's type), help, and what values are allowed."""

    default: Any
    help: str
    low: float | None = None
    high: float | None = None
    above: float | None = None  # an exclusive lower bound
    choices: tuple[str, ...] | None = None
    length: int | None = None  # of a tuple, where it is fixed

    @property
    def range(self) -> str:
        """The allowed values in words."""
        if self.choices:
            return ("each one of " if isinstance(self.default, tuple) else "") + ", ".join(self.choices)
        if self.above is not None:
            return f"> {self.above:g}" + ("" if self.high is None else f", <= {self.high:g}")
        if self.low is None and self.high is None:
            return "any"
        each = "each " if isinstance(self.default, tuple) else ""
        if self.high is None:
            return f"{each}>= {self.low:g}"
        return f"{each}{self.low:g} .. {self.high:g}"

    @property
    def type_name(self) -> str:
        """The type in words: `int`, `float`, `3 ints`, ..."""
        if isinstance(self.default, tuple):
            count = f"{self.length} " if self.length else "one or more "
            return f"{count}{type(self.default[0]).__name__}s"
        return type(self.default).__name__


def _recipe(rate: float, decay: float, epochs: int, what: str) -> dict[str, Field]:
    return {
        "learning_rate": Field(rate, f"SGD learning rate of {what}", 0, 1000),
        "weight_decay": Field(decay, f"L2 decay added to the gradient, of {what}", 0, 1000),
        "epochs": Field(epochs, f"epochs of {what}", 1, 100_000),
    }


def _prefixed(prefix: str, fields: dict[str, Field]) -> dict[str, Field]:
    return {f"{prefix}.{name}": field for name, field in fields.items()}


FIELDS: dict[str, Field] = {
    "seed": Field(0, "first seed; --seeds=K runs seed, seed+1, ..., seed+K-1", 0, 2**31 - 1),
    "smoke": Field(False, "shrink everything to seconds: few samples, few epochs"),
    "rows": Field(
        ("erm_clean", "erm", *MODES),
        "trainings to compare: ERM on clean and on poisoned data, the method's amplification modes, "
        "two oracles that know the groups of clean data (group-balanced draws; group DRO); none: only identify",
        choices=ROWS,
    ),
    "evaluate": Field(
        "test", "split that the table is measured on; make your choices on val", choices=("val", "test")
    ),
    "data.name": Field("waterdigits", "data set", choices=tuple(registry.DATASETS)),
    "data.auxiliary": Field(
        0.0,
        "share of the training samples set aside, never trained on, for an attacker who needs data (sa)",
        0,
        0.9,
    ),
    "data.source": Field(
        "",
        "folder of the files that the data set is made from (waterfashion: Fashion-MNIST's four IDX files); "
        "empty: none are needed, or tensorflow-datasets downloads them",
    ),
    "attack.name": Field("dlbd", "attack on the training set", choices=tuple(registry.ATTACKS)),
    "attack.budget": Field(
        0.01, "poisons / clean training samples, rounded down to whole poisons (dlbd, gm)", 0, 1
    ),
    "attack.target": Field(1, "label that the poisons carry and the attack wants predicted", 0, 10_000),
    "attack.source_group": Field(
        -1,
        "group under attack: poisons are copied from it (dlbd), it is the subpopulation (sa by feature), the "
        "targets are of it (gm); -1: the largest group whose class is not the target",
        -1,
        10_000,
    ),
    "attack.trigger.size": Field(3, "side of the square trigger, pixels", 1, 1024),
    "attack.trigger.margin": Field(0, "pixels between trigger and bottom-right corner", 0, 1024),
    "attack.trigger.colour": Field((255, 255, 255), "RGB of the trigger", 0, 255, length=3),
    "attack.trigger.opacity": Field(1.0, "1: solid, 0: invisible", 0, 1),
    "attack.sa.match": Field(
        "cluster",
        "the subpopulation: a cluster of a surrogate's features, or one group exactly",
        choices=("cluster", "feature"),
    ),
    "attack.sa.alpha": Field(1.0, "poisons / members of the subpopulation in train", above=0, high=1000),
    "attack.sa.clusters": Field(100, "clusters that the auxiliary part is cut into", 2, 10_000),
    "attack.sa.components": Field(10, "principal components that are clustered", 1, 10_000),
    "attack.gm.targets": Field(5, "test images that one set of poisons is for", 1, 10_000),
    "attack.gm.eps": Field(16.0, "largest change of a pixel, in steps of 0..255", above=0, high=255),
    "attack.gm.steps": Field(250, "steps of signed Adam", 1, 100_000),
    "attack.gm.restarts": Field(8, "random starts, of which the best is kept", 1, 1000),
    "attack.gm.step_size": Field(0.1, "first step of signed Adam, as a share of eps", above=0, high=10),
    "attack.gm.flip": Field(False, "craft under random horizontal flips too (training has none)"),
    "method.name": Field("jtt", "group-robustness method", choices=tuple(registry.METHODS)),
    "method.lambda_up": Field(50.0, "times that a flagged sample is drawn per epoch", 1, 100_000),
    "george.reducer": Field(
        "hardness", "what is clustered of the features", choices=("hardness", "pca", "umap")
    ),
    "george.components": Field(2, "principal components of the reducer pca", 1, 10_000),
    "george.clusterer": Field("gmm", "how it is clustered", choices=("gmm", "kmeans")),
    "george.k_min": Field(2, "least clusters of a class that are tried", 2, 1000),
    "george.k_max": Field(10, "most clusters of a class that are tried", 2, 1000),
    "george.overcluster": Field(False, "also look for small clusters within the clusters"),
    "george.adjustment": Field(2.0, "size adjustment C of group DRO over the clusters", 0, 1000),
    "george.select": Field("val_worst_cluster", "which epoch's model GEORGE reports", choices=CLUSTER_RULES),
    "group_dro.eta": Field(0.01, "step of group DRO's group weights (over groups or clusters)", 0, 1000),
    "group_dro.adjustment": Field(
        0.0, "size adjustment C over true groups: C / sqrt(n_g) is added to L_g", 0, 1000
    ),
    "model.name": Field("cnn", "network", choices=tuple(registry.MODELS)),
    "model.widths": Field((16, 32, 64), "channels of each block (multiples of 8)", 8, 4096),
    **_prefixed("pretrain", _recipe(0.1, 1e-4, 30, "pretraining on the task without the shortcut")),
    "pretrain.epochs": Field(30, "epochs of pretraining; 0: start from random weights", 0, 100_000),
    **_prefixed("erm", _recipe(0.005, 1e-3, 10, "the ERM and oracle rows")),
    **_prefixed("identify", _recipe(0.005, 1e-3, 4, "the identification model (epochs: JTT's T)")),
    **_prefixed("robust", _recipe(0.005, 1e-3, 10, "the method's final model")),
    "train.batch": Field(64, "samples per step", 1, 1_000_000),
    "train.momentum": Field(0.9, "SGD momentum", 0, 1),
    "train.shift": Field(2, "augmentation: random shift by up to this many pixels; 0: none", 0, 256),
    "train.select": Field("val_wga", "which epoch's model is reported", choices=SELECTION_RULES),
    "train.driver": Field(
        "auto", "how an epoch is driven; auto: what suits the backend", choices=("auto", "loop", "scan")
    ),
    "checkpoint.seconds": Field(
        2.0, "least time between checkpoints, which are made at epoch ends; 0: every epoch", 0, 1e9
    ),
}


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

    def refuse(reason: str) -> UserError:
        return UserError(f"{where}: {path} = {value!r} {reason} (allowed: {field.type_name}, {field.range})")

    wanted = field.default
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
    if isinstance(wanted, float) and isinstance(value, int):
        value = float(value)
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


def shrink(config: Config) -> Config:
    """The config with `smoke` carried out on its epochs (`data.load` carries it out on the samples)."""
    if not config.smoke:
        return config
    flat = flatten(config.to_dict())
    for recipe, most in {"pretrain": 1, "erm": 2, "identify": 1, "robust": 2}.items():
        flat[f"{recipe}.epochs"] = min(flat[f"{recipe}.epochs"], most)
    for key, most in {"gm.steps": 8, "gm.restarts": 2, "gm.targets": 2, "sa.clusters": 4}.items():
        flat[f"attack.{key}"] = min(flat[f"attack.{key}"], most)
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
