"""oilwater_jax: group-robustness methods against poisoning defences, measured in JAX.

    import oilwater_jax as ow

    config = ow.load("configs/waterdigits/dlbd.py", {"attack.budget": 0.005, "rows": "erm,jtt,epic+jtt"})
    with ow.walk(config, "runs/half") as seed:
        seed.splits, seed.poisoned  # data: images, labels, groups, who is a poison
        seed.found("jtt")["flagged"]  # whom JTT flags
        seed.trained("jtt").params  # the reported model
        seed.scores("jtt", ("loss", "margin"))  # of every training sample
        seed.table()  # the result table as a pandas DataFrame

`dir(oilwater_jax)` lists what is here. JAX is imported when something that needs it is asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.5.0"

if TYPE_CHECKING:
    from oilwater_jax import data, metrics, objectives, per_sample, selectors
    from oilwater_jax.api import Walk, run_study, run_sweep, walk
    from oilwater_jax.entries import Attack, Dataset, Method, Model, Score
    from oilwater_jax.errors import UserError
    from oilwater_jax.pipeline import run
    from oilwater_jax.settings.config import Config, Grid, checked, default, load, load_grid
    from oilwater_jax.settings.field import Field
    from oilwater_jax.settings.registry import register
    from oilwater_jax.types import (
        Attacked,
        Case,
        Evidence,
        Examples,
        Found,
        Goal,
        Objective,
        Private,
        Recipe,
        Rows,
        Selector,
        Splits,
        Treatment,
    )

_MODULES = ("data", "metrics", "objectives", "per_sample", "selectors")
_PLACES = {
    "api": ("Walk", "run_study", "run_sweep", "walk"),
    "entries": ("Attack", "Dataset", "Method", "Model", "Score"),
    "errors": ("UserError",),
    "pipeline": ("run",),
    "settings.config": ("Config", "Grid", "checked", "default", "load", "load_grid"),
    "settings.field": ("Field",),
    "settings.registry": ("register",),
    "types": (
        "Attacked",
        "Case",
        "Evidence",
        "Examples",
        "Found",
        "Goal",
        "Objective",
        "Private",
        "Recipe",
        "Rows",
        "Selector",
        "Splits",
        "Treatment",
    ),
}
_WHERE = {name: place for place, names in _PLACES.items() for name in names}

__all__ = [
    "Attack",
    "Attacked",
    "Case",
    "Config",
    "Dataset",
    "Evidence",
    "Examples",
    "Field",
    "Found",
    "Goal",
    "Grid",
    "Method",
    "Model",
    "Objective",
    "Private",
    "Recipe",
    "Rows",
    "Score",
    "Selector",
    "Splits",
    "Treatment",
    "UserError",
    "Walk",
    "__version__",
    "checked",
    "data",
    "default",
    "load",
    "load_grid",
    "metrics",
    "objectives",
    "per_sample",
    "register",
    "run",
    "run_study",
    "run_sweep",
    "selectors",
    "walk",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _WHERE:
        return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
