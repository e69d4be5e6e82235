"""Configs: the fields of a registry as a locked ConfigDict, with every check, from files and command lines.

A config file is Python with `get_config()`, which returns `default()` plus a few changes.
"""

import ast
import contextlib
import contextvars
import functools
import itertools
import json
import math
import re
import runpy
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from oilwater_jax import rows
from oilwater_jax.entries import Entry, Method
from oilwater_jax.errors import UserError, message_of, one_line
from oilwater_jax.settings import shipped
from oilwater_jax.settings.common import RECIPES, SMOKE
from oilwater_jax.settings.field import Field
from oilwater_jax.settings.nearest import nearest
from oilwater_jax.settings.registry import Registry, known

LONGEST_VALUE = 2000  # characters of a number, or of several
LONGEST_SHOWN = 200  # characters of a value in a message
RUN_NAME = r"[A-Za-z0-9][A-Za-z0-9_.=-]{0,199}"
MOST_SEEDS = 10_000

Config = Any
"""A checked, locked ml_collections.ConfigDict of a registry's fields (whose own types say less than Any)."""


class _Reading(NamedTuple):
    """The config file that is being read, and the plugins that the command line adds."""

    folder: Path
    plugins: tuple[str, ...]


_reading: contextvars.ContextVar[_Reading | None] = contextvars.ContextVar("reading", default=None)


class Grid(NamedTuple):
    """What a grid file's `get_grid()` returns: runs by name, each with `seeds` seeds."""

    runs: Mapping[str, Config]
    seeds: int


def registry_of(config: Config) -> Registry:
    """The registry of a config, including its plugins."""
    return known(tuple(config.plugins))


def rows_of(config: Config) -> tuple[rows.Row, ...]:
    """The rows of a config."""
    return rows.parse_all(config.rows, registry_of(config), "rows")


def looks_of(config: Config) -> tuple[rows.Row, ...]:
    """What a config only looks with."""
    return rows.parse_all(config.look, registry_of(config), "look")


def view(config: Config, entry: Entry) -> Config:
    """What an entry sees of a config: its own settings and what it says it reads, nothing else."""
    own: dict[str, Any] = {}
    for path in entry.seen:
        *sections, leaf = path.split(".")
        section: Any = config
        for name in sections:
            section = section.get(name, {})
        if leaf in section:
            value = section[leaf]
            own |= flatten(value.to_dict(), f"{path}.") if isinstance(value, ConfigDict) else {path: value}
    return ConfigDict(nest(own)).lock()


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


def default(plugins: Sequence[str] = ()) -> Config:
    """All fields at their defaults; locked, so that a misspelt key raises.

    With `plugins`, also those that these files (beside the config file, or of the working folder) and modules bring.
    Raises UserError.
    """
    reading = _reading.get() or _Reading(Path(), ())
    whole = tuple(dict.fromkeys((*(resolve(one, reading.folder) for one in plugins), *reading.plugins)))
    registry = known(whole)
    values = {path: field.default for path, field in registry.fields.items()}
    return ConfigDict(nest(values | {"plugins": whole})).lock()


def resolve(plugin: str, folder: Path) -> str:
    """A plugin by which it can be found from anywhere: a file's absolute path, or a module's name."""
    plugin = str(plugin)
    if not plugin.endswith(".py"):
        return plugin
    beside = folder / plugin
    return str((beside if beside.exists() else Path(plugin)).absolute())


def check_value(path: str, value: Any, field: Field, where: str) -> Any:
    """The value in the field's type; UserError naming value, place and what is allowed otherwise."""
    wanted = field.default
    if isinstance(wanted, float) and isinstance(value, int) and not isinstance(value, bool):
        try:
            value = float(value)
        except OverflowError:
            raise _refusal(path, value, field, where, "is too large") from None
    refuse = functools.partial(_refusal, path, value, field, where)
    if isinstance(wanted, tuple):
        if not isinstance(value, tuple | list) or not (value or field.empty):
            raise refuse("is not a sequence")
        if field.length and len(value) != field.length:
            raise refuse(f"has {len(value)} entries")
        entry = field._replace(default=field.item, length=None)
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
    return UserError(f"{where}: {path} = {shown(value)} {reason} (allowed: {field.type_name}, {field.range})")


def shown(value: Any) -> str:
    """A value as text for a message, safe against its own `repr`."""
    try:
        text = repr(value)
    except Exception:
        return f"a {type(value).__name__}"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def call_file(path: str, function: str, plugins: Sequence[str] = ()) -> Any:
    """Run a config file, given by path or by a shipped config's name; return what its function of this name returns.

    `plugins` are known in it.
    """
    path = str(shipped.find(path, function))
    try:
        with _reads(Path(path).parent, plugins):
            found = runpy.run_path(path).get(function)
            if not callable(found):
                raise UserError(f"config file {path} has no function {function}()")
            return found()
    except UserError:
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a user's file raises is the user's to mend
        raise UserError(_blame(path, error)) from error


@contextlib.contextmanager
def _reads(folder: Path, plugins: Sequence[str]) -> Iterator[None]:
    token = _reading.set(_Reading(folder, tuple(resolve(one, Path()) for one in plugins)))
    try:
        yield
    finally:
        _reading.reset(token)


def _blame(path: str, error: BaseException) -> str:
    """One line for what a config file raised, with the line of the file if known."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
    line = frames[-1].lineno if frames else getattr(error, "lineno", None)
    at = f"{path}, line {line}" if line else path
    code = (frames[-1].line or "") if frames else ""
    if isinstance(error, AttributeError | KeyError) and code.startswith("config."):
        key = code.split("=")[0].strip().removeprefix("config.")
        fields = known().fields
        if key.replace(".", "").isidentifier() and key not in fields:
            return f"config file {at}: unknown key {key}{nearest(key, fields)}"
    return f"config file {at} raised {type(error).__name__}: {message_of(error)[:LONGEST_SHOWN]}"


def parse_override(path: str, text: str, fields: Mapping[str, Field]) -> Any:
    """A value from the command line: text for string fields, a Python literal otherwise."""
    if path not in fields:
        raise UserError(f"--config.{path}: unknown key{nearest(path, fields)} (--help-config lists all)")
    field = fields[path]
    wanted = field.default
    if isinstance(wanted, str):
        return text
    if isinstance(wanted, tuple) and isinstance(field.item, str):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if isinstance(wanted, bool) and text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        value = ast.literal_eval(text) if len(text) <= LONGEST_VALUE else text
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text  # of the wrong type; check_value says so
    return (value,) if isinstance(wanted, tuple) and not isinstance(value, tuple | list) else value


def load(
    path: str | Path, overrides: Mapping[str, Any] | None = None, *, plugins: Sequence[str] = ()
) -> Config:
    """The checked and locked config of a run: file, then overrides (`{"attack.budget": 0.002}`), then every check.

    Values may be text, as on the command line. `plugins` are added to the file's. Raises UserError, one line, for
    anything that does not fit; nothing has been written by then.
    """
    config = call_file(str(path), "get_config", plugins)
    if not isinstance(config, ConfigDict):
        raise UserError(
            f"config file {path}: get_config() returned {type(config).__name__}, not a ConfigDict; "
            "start from oilwater_jax.default()"
        )
    return checked(config, overrides or {}, f"config file {path}")


def load_grid(
    path: str | Path, overrides: Mapping[str, Any] | None = None, *, plugins: Sequence[str] = ()
) -> Grid:
    """The checked runs of a sweep; the overrides change every run. Raises UserError as `load` does."""
    grid = call_file(str(path), "get_grid", plugins)
    whole = isinstance(grid, Grid) and isinstance(grid.runs, Mapping) and len(grid.runs)
    if not whole or not all(isinstance(run, ConfigDict) for run in grid.runs.values()):
        raise UserError(
            f"config file {path}: get_grid() must return an oilwater_jax.Grid of at least one run "
            "(a ConfigDict by its name) and at least one seed"
        )
    if type(grid.seeds) is not int or not 1 <= grid.seeds <= MOST_SEEDS:
        shown = ascii(grid.seeds)[:50] if isinstance(grid.seeds, str | float | bool | None) else "it"
        raise UserError(
            f"config file {path}: get_grid() must return a Grid of a whole number of seeds, at least one seed and at "
            f"most {MOST_SEEDS} (seeds: {shown})"
        )
    for name in grid.runs:
        if not isinstance(name, str) or not re.fullmatch(RUN_NAME, name):
            raise UserError(
                f"config file {path}: run name {ascii(name)[:80]} must consist of at most 200 letters, digits and "
                "_ . = -"
            )
    runs = {
        name: checked(run, overrides or {}, f"config file {path}, run {name}")
        for name, run in grid.runs.items()
    }
    return grid._replace(runs=runs)


def checked(config: ConfigDict, overrides: Mapping[str, Any], where: str = "config") -> Config:
    """A config with overrides, every field checked. Raises UserError, which names `where` it is from."""
    try:
        given = flatten(config.to_dict())
    except (Exception, RecursionError) as error:  # a placeholder without a value, a reference to nothing
        raise UserError(f"{where} is incomplete ({one_line(error)}); give every field a value") from error
    plugins = given.get("plugins", ())
    if not isinstance(plugins, tuple | list) or not all(isinstance(one, str) for one in plugins):
        raise UserError(f"{where}: plugins = {shown(plugins)} must be a sequence of names")
    fields = known(tuple(plugins)).fields
    for key in given:
        if key not in fields:
            raise UserError(f"{where}: unknown key {key}{nearest(key, fields)}")
    values = {
        key: check_value(key, given[key], field, where) for key, field in fields.items() if key in given
    }
    if missing := [key for key in fields if key not in values]:
        raise UserError(f"{where} lacks {missing[0]}; start from oilwater_jax.default()")
    for key, text in overrides.items():
        if key == "plugins":
            raise UserError(f"--config.plugins={text}: give --plugins={text}")
        value = parse_override(key, text, fields) if isinstance(text, str) or key not in fields else text
        values[key] = check_value(key, value, fields[key], "command line")
    registry = known(tuple(values["plugins"]))
    for field in ("rows", "look"):  # in their shortest form, by which rows are known
        values[field] = tuple(map(str, rows.parse_all(values[field], registry, field)))
    whole = ConfigDict(nest(values)).lock()
    check_together(whole)
    return whole


def check_together(config: Config) -> None:
    """Checks between fields: common ones here, an entry's own by its `check`. Raises UserError."""
    registry = registry_of(config)
    if any(later <= earlier for earlier, later in itertools.pairwise(config.study.epochs)):
        raise UserError(
            f"study.epochs = {tuple(config.study.epochs)} must be in increasing order, each once; sort them"
        )
    dataset, attack = registry.data(config.data.name), registry.attack(config.attack.name)
    if config.pretrain.epochs and dataset.pretraining is None:
        raise UserError(
            f"pretrain.epochs = {config.pretrain.epochs}, but {config.data.name} has no pretraining task; set it to 0"
        )
    if config.model.init_from:
        check_start(config)
    for name in RECIPES:
        recipe = config[name]
        if 0 < recipe.epochs <= recipe.warmup:
            raise UserError(
                f"{name}.warmup = {recipe.warmup} leaves no epochs after it ({name}.epochs = {recipe.epochs}); lower it"
            )
        if recipe.schedule == "step" and not recipe.milestones:
            raise UserError(
                f"{name}.schedule = 'step' with no {name}.milestones; give the epochs after which "
                "the rate falls"
            )
    wanted = rows_of(config) + looks_of(config)
    used = {atom.name: registry.method(atom.name) for row in wanted for atom in row.atoms}
    if config.identify.epochs > config.robust.epochs and any(one.find for one in used.values()):
        raise UserError(
            f"identify.epochs = {config.identify.epochs} (T) is more than robust.epochs = "
            f"{config.robust.epochs}; identification comes early: lower T or train longer"
        )
    for row in looks_of(config):
        if not all(method.find for method in rows.methods(row, registry)):
            raise UserError(f"look: {str(row)!r} does not look before training; put it in rows instead")
    if attack.harmless and (
        extra := [row for row in wanted if any(atom.mode != "standard" for atom in row.atoms)]
    ):
        raise UserError(
            f"rows: {', '.join(map(str, extra))} need poisons, but attack.name = {attack.name!r}; "
            "leave them out or choose an attack"
        )
    for method in used.values():
        if method.base and not config.data.base:
            raise UserError(f"rows: {method.name} needs a base set, but data.base = 0; set it (e.g. to 100)")
    check_attributes(config, tuple(used.values()))
    methods = (registry.method(name) for name in registry.names("method"))
    for entry in (dataset, attack, registry.model(config.model.name), *methods):
        entry.check(view(config, entry))


def check_attributes(config: Config, used: Sequence[Method]) -> None:
    """Checks of what looks at attributes against `train.attributes`. Raises UserError."""
    known_in = config.train.attributes
    if known_in == "all":
        return
    where = f"train.attributes = {known_in!r}"
    for method in used:
        if method.oracle:
            raise UserError(f"rows: {method.name} uses true groups, but {where}; leave it out")
    if config.data.base and config.data.base_balance == "group":
        raise UserError(f"data.base_balance = 'group' uses attributes, but {where}; make it natural or class")
    selects = {f"train.{name}": config.train[name] for name in ("select", "select_reference")}
    selects |= {f"{one.name}.select": config[one.name].select for one in used if "select" in one.fields}
    for path, rule in selects.items():
        if known_in == "none" and rule == "val_wga":
            raise UserError(
                f"{path} = 'val_wga' uses validation attributes, but {where}; choose val_worst_class, as "
                "SubpopBench does"
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
    """The config with `smoke` carried out on its numbers (`data.load` carries it out on the samples)."""
    if not config.smoke:
        return config
    flat = flatten(config.to_dict())
    registry = registry_of(config)
    most = dict(SMOKE)
    for one in registry.entries:
        most |= {f"{one.entry.name}.{name}": value for name, value in one.entry.smoke.items()}
    dataset = registry.data(config.data.name)
    most |= dataset.smoke_common
    for key, value in most.items():
        flat[key] = min(flat[key], value)
    flat["study.epochs"] = tuple(dict.fromkeys(min(epoch, 2) for epoch in flat["study.epochs"]))
    if flat["attack.budget"]:
        flat["attack.budget"] = max(flat["attack.budget"], dataset.smoke_budget)
    if flat["data.auxiliary"]:
        flat["data.auxiliary"] = max(flat["data.auxiliary"], dataset.smoke_auxiliary)
    return ConfigDict(nest(flat)).lock()


def to_json(config: Config) -> dict[str, Any]:
    """The config as nested plain dicts and lists, as config.json holds it."""
    return json.loads(json.dumps(config.to_dict()))


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """`key: old -> new` for every key whose value differs between two `to_json` dicts.

    Of plugins the file names count: their content is in the keys of stages, and a folder may have moved.
    """
    a, b = (flatten(one) | {"plugins": _file_names(one.get("plugins", ()))} for one in (old, new))
    keys = [*a, *(key for key in b if key not in a)]
    return [f"{k}: {a.get(k, 'absent')} -> {b.get(k, 'absent')}" for k in keys if a.get(k) != b.get(k)]


def _file_names(plugins: Any) -> Any:
    return [Path(str(one)).name for one in plugins] if isinstance(plugins, list | tuple) else plugins


def help_lines(prefix: str = "", plugins: Sequence[str] = ()) -> Iterator[tuple[str, str, str, str, str]]:
    """(key, type, default, range, help) of every field whose path begins with `prefix`, for `--help-config`."""
    for key, field in known(tuple(resolve(one, Path()) for one in plugins)).fields.items():
        if key.startswith(prefix):
            default = (
                ",".join(map(str, field.default)) if isinstance(field.default, tuple) else str(field.default)
            )
            yield key, field.type_name, default, field.range, field.help
