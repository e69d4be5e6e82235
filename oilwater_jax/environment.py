"""The environment of a run, and JAX's settings for a process."""

import datetime
import functools
import importlib.metadata
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from oilwater_jax import __version__
from oilwater_jax.data.cache import folder
from oilwater_jax.files import Damaged, load_json, write_json
from oilwater_jax.shapes import ENVIRONMENT

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "ml-collections", "numpy", "scikit-learn")


def use_compilation_cache() -> None:
    """Cache compiled programs on disk, including small ones, for later processes."""
    jax.config.update("jax_compilation_cache_dir", str(folder() / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@functools.cache
def versions() -> Mapping[str, Any]:
    """Versions, machine and devices: what computes a stage, as its record says."""
    return {
        "oilwater_jax": __version__,
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "backend": jax.default_backend(),
        "devices": [str(device) for device in jax.devices()],
        "processes": jax.process_count(),
    }


def note(folder: Path) -> None:
    """Record the environment of a run in environment.json; later environments go under `later`.

    What stands there is never rewritten: it is of stages that are finished.
    """
    file, now = folder / "environment.json", describe()
    try:
        old = load_json(file, ENVIRONMENT)
    except Damaged:
        old = None
    if old is None:
        write_json(file, now)
        return
    later = old.get("later")
    sittings = [old, *(one for one in (later if isinstance(later, list) else ()) if isinstance(one, dict))]
    if not any(all(sitting.get(name) == now[name] for name in versions()) for sitting in sittings):
        write_json(file, old | {"later": [*sittings[1:], now]})


def describe() -> dict[str, Any]:
    """Versions, machine, devices, command and time, as environment.json holds them."""
    return {
        **versions(),
        "command": sys.argv,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
