"""The registry: built-in entries, those of installed packages, and those of user files.

A new built-in data set, attack, method or network is one module and one line in BUILT_IN. Nothing is imported before
it is asked for.
"""

import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from oilwater_jax.errors import UserError, one_line
from oilwater_jax.files import read_plain
from oilwater_jax.settings.common import common
from oilwater_jax.settings.field import Field
from oilwater_jax.settings.nearest import nearest

if TYPE_CHECKING:
    from oilwater_jax.entries import Attack, Dataset, Entry, Method, Model, Score

    T = TypeVar("T", bound=Entry)
else:  # entries are not imported yet
    T = TypeVar("T")

GROUP = "oilwater_jax"  # of entry points by which installed packages bring modules
BUILT_IN: dict[str, dict[str, str]] = {
    "data": {
        "waterdigits": "oilwater_jax.data.waterdigits",
        "waterfashion": "oilwater_jax.data.waterfashion",
        "waterbirds": "oilwater_jax.data.waterbirds",
        "celeba": "oilwater_jax.data.celeba",
        "celeba10": "oilwater_jax.data.celeba10",
        "adult": "oilwater_jax.data.adult",
        "folder": "oilwater_jax.data.folder",
        "arrays": "oilwater_jax.data.arrays",
    },
    "attack": {
        "dlbd": "oilwater_jax.attacks.dirty_label_backdoor",
        "sa": "oilwater_jax.attacks.subpopulation",
        "gm": "oilwater_jax.attacks.gradient_matching",
        "label_flip": "oilwater_jax.attacks.label_flip",
        "blended": "oilwater_jax.attacks.blended",
        "sinusoid": "oilwater_jax.attacks.sinusoid",
        "warp": "oilwater_jax.attacks.warp",
        "tact": "oilwater_jax.attacks.tact",
        "adaptive_blend": "oilwater_jax.attacks.adaptive_blend",
        "hidden_minority": "oilwater_jax.attacks.hidden_minority",
        "tabular_trigger": "oilwater_jax.attacks.tabular_trigger",
        "tabular_gm": "oilwater_jax.attacks.tabular_gm",
        "none": "oilwater_jax.attacks.none",
    },
    "method": {
        "erm": "oilwater_jax.robustness.erm",
        "jtt": "oilwater_jax.robustness.jtt",
        "george": "oilwater_jax.robustness.george",
        "balanced": "oilwater_jax.robustness.balanced",
        "group_dro": "oilwater_jax.robustness.group_dro",
        "dfr": "oilwater_jax.robustness.dfr",
        "cvar": "oilwater_jax.robustness.cvar",
        "loss_band": "oilwater_jax.robustness.loss_band",
        "spare": "oilwater_jax.robustness.spare",
        "eiil": "oilwater_jax.robustness.eiil",
        "lff": "oilwater_jax.robustness.lff",
        "afr": "oilwater_jax.robustness.afr",
        "self": "oilwater_jax.robustness.self",
        "epic": "oilwater_jax.defenses.epic",
        "deep_knn": "oilwater_jax.defenses.deep_knn",
        "spectral": "oilwater_jax.defenses.spectral",
        "loss_trim": "oilwater_jax.defenses.loss_trim",
        "activation_clustering": "oilwater_jax.defenses.activation_clustering",
        "spectre": "oilwater_jax.defenses.spectre",
        "strip": "oilwater_jax.defenses.strip",
        "fct": "oilwater_jax.defenses.fct",
        "base_loss": "oilwater_jax.defenses.base_loss",
        "base_knn": "oilwater_jax.defenses.base_knn",
        "base_gradient": "oilwater_jax.defenses.base_gradient",
        "scan": "oilwater_jax.defenses.scan",
        "dp_sgd": "oilwater_jax.defenses.dp_sgd",
        "mixup": "oilwater_jax.defenses.mixup",
        "abl": "oilwater_jax.defenses.abl",
    },
    "model": {
        "cnn": "oilwater_jax.models.cnn",
        "resnet18": "oilwater_jax.models.resnet",
        "resnet34": "oilwater_jax.models.resnet",
        "resnet50": "oilwater_jax.models.resnet",
        "vit_s16": "oilwater_jax.models.vit",
        "mlp": "oilwater_jax.models.mlp",
    },
    "score": {},  # those of `per_sample.scores` need no registration
}
PLUGIN_MODULE = "oilwater_plugin_"  # begins the name that a user's file has as a module
MOST_SOURCE = 16 << 20  # bytes of a user's file
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Registered(NamedTuple):
    """An entry, where it was defined, and a digest of its file (empty for a built-in one: the version says that)."""

    entry: "Entry"
    where: str
    digest: str


class Registry:
    """All entries, with those of given user files and modules."""

    def __init__(self, plugins: tuple[str, ...]) -> None:
        self._found: dict[tuple[str, str], Registered] = {}
        for one in [*_installed(), *_registered.values()]:
            self._add(one)
        for plugin in plugins:
            for one in read_plugin(plugin):
                self._add(one)

    def _add(self, one: Registered) -> None:
        name, kind = one.entry.name, one.entry.kind
        if not NAME.fullmatch(name):
            raise UserError(f"{one.where}: the {_word(kind)} {name!r} needs a name of letters, digits and _")
        if one.entry.fields and name in {path.partition(".")[0] for path in common(_no_names())}:
            raise UserError(
                f"{one.where}: {name!r} is a section of every config; give the {_word(kind)} another name"
            )
        known = self._found.get((kind, name))
        if known is not None and known.entry is one.entry:
            return
        if taken := self._places(name):
            raise UserError(
                f"{one.where} defines {name!r}, which {taken[0]} has already; give one of them another name"
            )
        self._found[kind, name] = one

    def _places(self, name: str) -> list[str]:
        """Where what has a name already is from; names are one of a kind among all kinds."""
        built_in = [table[name] for table in BUILT_IN.values() if name in table]
        return built_in + [one.where for (_, own), one in self._found.items() if own == name]

    def names(self, kind: str) -> tuple[str, ...]:
        """All names of a kind, built-in ones first."""
        return (*BUILT_IN[kind], *(name for own, name in self._found if own == kind))

    def registered(self, kind: str, name: str) -> Registered:
        """The entry of a name, and where it is from. Raises UserError for an unknown one, naming the nearest."""
        if found := self._found.get((kind, name)):
            return found
        if name not in BUILT_IN[kind]:
            names = self.names(kind)
            raise UserError(
                f"unknown {_word(kind)} {name!r}{nearest(name, names)} (known: {', '.join(names)})"
            )
        return _built_in(kind, name)

    def data(self, name: str) -> "Dataset":
        """The data set of a name."""
        return self.registered("data", name).entry  # pyright: ignore[reportReturnType]

    def attack(self, name: str) -> "Attack":
        """The attack of a name."""
        return self.registered("attack", name).entry  # pyright: ignore[reportReturnType]

    def method(self, name: str) -> "Method":
        """The method of a name."""
        return self.registered("method", name).entry  # pyright: ignore[reportReturnType]

    def model(self, name: str) -> "Model":
        """The network of a name."""
        return self.registered("model", name).entry  # pyright: ignore[reportReturnType]

    def scores(self) -> tuple["Score", ...]:
        """Scores in addition to the built-in ones of `per_sample`."""
        found = (self.registered("score", name).entry for name in self.names("score"))
        return tuple(found)  # pyright: ignore[reportReturnType]

    @functools.cached_property
    def entries(self) -> tuple[Registered, ...]:
        """Everything, kind by kind."""
        return tuple(self.registered(kind, name) for kind in BUILT_IN for name in self.names(kind))

    @functools.cached_property
    def fields(self) -> dict[str, Field]:
        """Every field of a config by its path: the common ones, then each entry's own."""
        found = common({kind: self.names(kind) for kind in BUILT_IN})
        for one in self.entries:
            found |= {f"{one.entry.name}.{name}": field for name, field in one.entry.fields.items()}
        return found


def known(plugins: Iterable[str] = ()) -> Registry:
    """The registry with the files and modules of a config's `plugins`. Raises UserError if one cannot be read."""
    plugins = tuple(plugins)
    return _known(plugins, tuple(_digest(one) for one in plugins), len(_registered))


@functools.lru_cache(maxsize=32)
def _known(plugins: tuple[str, ...], digests: tuple[str, ...], registered: int) -> Registry:
    """A file that was edited since, or something that was registered, makes another registry."""
    return Registry(plugins)


def register(entry: T) -> T:
    """Register an entry in this process from Python (e.g. a notebook); returns it.

    Other processes do not know it: a sweep needs a file (`plugins`). Raises UserError for a name that is taken.
    """
    where = f"register({entry.name!r})"
    key = (entry.kind, entry.name)
    before = _registered.pop(key, None)  # a cell of a notebook that is run again
    try:
        Registry(())._add(Registered(entry, where, ""))
    except UserError:
        if before:
            _registered[key] = before
        raise
    _registered[key] = Registered(entry, where, _source_digest(entry))
    _known.cache_clear()
    return entry


_registered: dict[tuple[str, str], Registered] = {}


def read_plugin(plugin: str) -> list[Registered]:
    """The entries that a file or module defines. Raises UserError if it cannot be imported or defines none."""
    module = _import_file(Path(plugin), _digest(plugin)) if plugin.endswith(".py") else _import_module(plugin)
    found = [Registered(entry, plugin, _digest(plugin)) for entry in entries_of(module)]
    if not found:
        raise UserError(
            f"plugins: {plugin} defines nothing that can be registered; give it an object of oilwater_jax's "
            "Method, Attack, Dataset, Model or Score"
        )
    return found


def blame(error: BaseException) -> str | None:
    """One line for an error raised in the code of a user file; None if no such file was involved."""
    files = {module.__file__ for name, module in list(sys.modules.items()) if name.startswith(PLUGIN_MODULE)}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    return f"{frames[-1].filename}, line {frames[-1].lineno} raised {one_line(error)}" if frames else None


def entries_of(module: ModuleType) -> "list[Entry]":
    """The entries among a module's own objects, in the order of their definition."""
    from oilwater_jax.entries import Entry

    found: list[Entry] = []
    for one in vars(module).values():
        for entry in one if isinstance(one, tuple | list) else (one,):
            if isinstance(entry, Entry) and not any(entry is other for other in found):
                found.append(entry)
    return found


@functools.cache
def _built_in(kind: str, name: str) -> Registered:
    path = BUILT_IN[kind][name]
    for entry in entries_of(importlib.import_module(path)):
        if (entry.kind, entry.name) == (kind, name):
            return Registered(entry, path, "")
    raise LookupError(f"{path} does not define the {_word(kind)} {name!r}")


@functools.cache
def _installed() -> tuple[Registered, ...]:
    """The entries of installed packages (entry points of the group `oilwater_jax`, each naming a module)."""
    found = []
    for point in importlib.metadata.entry_points(group=GROUP):
        package = point.dist.name if point.dist else point.value
        try:
            module = importlib.import_module(point.value)
        except Exception as error:
            raise UserError(
                f"the installed package {package} (entry point {point.name}) cannot be imported "
                f"({one_line(error)}); fix or uninstall it"
            ) from error
        version = point.dist.version if point.dist else ""
        digest = hashlib.sha256(f"{version} {_digest(point.value)}".encode()).hexdigest()[:16]
        found += [Registered(entry, f"the package {package}", digest) for entry in entries_of(module)]
    return tuple(found)


@functools.lru_cache(maxsize=64)
def _import_file(path: Path, digest: str) -> ModuleType:
    """A user's file as a module; once for each content."""
    name = f"{PLUGIN_MODULE}{path.stem}_{digest[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and pickles look it up
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt | UserError):
            raise
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        line = frames[-1].lineno if frames else getattr(error, "lineno", None)
        at = f"{path}, line {line}" if line else str(path)
        raise UserError(f"plugins: {at} raised {one_line(error)}") from error
    return module


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        hint = "; a file ends in .py" if isinstance(error, ModuleNotFoundError) else ""
        raise UserError(f"plugins: the module {name} cannot be imported ({one_line(error)}){hint}") from error


def _digest(plugin: str) -> str:
    """A digest of a plugin's file. Raises UserError if there is none."""
    try:
        if plugin.endswith(".py"):
            path = plugin
        else:
            spec = importlib.util.find_spec(plugin)
            path = spec.origin if spec else None
        if path is None:
            raise FileNotFoundError("there is no such module")
        return hashlib.sha256(read_plain(Path(path), MOST_SOURCE)).hexdigest()[:16]
    except (OSError, ImportError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"plugins: {plugin} cannot be read ({reason}); give a Python file (mine.py) or an importable module "
            "(lab.defences)"
        ) from error


def _source_digest(entry: "Entry") -> str:
    """A digest of the functions of an entry that no file names."""
    parts = []
    for name, value in sorted(vars(entry).items()):
        if callable(value):
            try:
                parts.append(inspect.getsource(value))
            except (OSError, TypeError):
                parts.append(repr(getattr(getattr(value, "__code__", None), "co_code", name)))
        elif not isinstance(value, Mapping):
            parts.append(repr(value))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _no_names() -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(BUILT_IN, ())


def _word(kind: str) -> str:
    return {"data": "data set", "model": "network"}.get(kind, kind)
