"""What a run ran on, and JAX's settings for a process."""

import datetime
import importlib.metadata
import os
import platform
import sys
from typing import Any

import jax

from oilwater_jax import __version__
from oilwater_jax.data.cache import folder

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "ml-collections", "numpy", "scikit-learn")


def use_compilation_cache() -> None:
    """Keep compiled programs on disk, so that the next process need not compile them; the small ones are many."""
    jax.config.update("jax_compilation_cache_dir", str(folder() / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def describe() -> dict[str, Any]:
    """Versions, machine, devices, command and time, as environment.json holds them."""
    return {
        "oilwater_jax": __version__,
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "backend": jax.default_backend(),
        "devices": [str(device) for device in jax.devices()],
        "processes": jax.process_count(),
        "command": sys.argv,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
