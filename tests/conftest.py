"""Run-time types for the whole package, and caches of the test session's own.

Each worker has a cache folder, where tests may damage what they like; what one of them, or a process that it starts,
has compiled, none of them compiles again. Programs are small here and run once or twice, so LLVM does not optimise
them, which takes longer than they run; digits that must not move (test_golden) are of optimised ones.
"""

import atexit
import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from jaxtyping import install_import_hook

CACHES = "OILWATER_TEST_CACHES"
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
if WORKER == "main":
    os.environ[CACHES] = tempfile.mkdtemp(prefix="oilwater-test-")
    atexit.register(shutil.rmtree, os.environ[CACHES], ignore_errors=True)
    (Path(os.environ[CACHES]) / "compiled").mkdir()
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0"
own = Path(os.environ[CACHES]) / WORKER
own.mkdir()
(own / "compiled").symlink_to("../compiled")
os.environ["OILWATER_CACHE"] = str(own)
install_import_hook("oilwater_jax", "typecheck.checker")

import garments  # noqa: E402
import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402
from registering import registered  # noqa: E402

from oilwater_jax import data  # noqa: E402
from oilwater_jax.environment import use_compilation_cache  # noqa: E402
from oilwater_jax.types import Examples, Splits  # noqa: E402

settings.register_profile("project", deadline=None, derandomize=True)
settings.load_profile("project")
jax.config.update("jax_numpy_rank_promotion", "raise")
use_compilation_cache()


@pytest.fixture(scope="session")
def waterdigits() -> Splits:
    return data.load("waterdigits")


@pytest.fixture(scope="session")
def fashion_mnist(tmp_path_factory) -> Path:
    """The folder of a synthetic Fashion-MNIST."""
    return garments.write(tmp_path_factory.mktemp("fashion_mnist"))


@pytest.fixture
def examples() -> Examples:
    """40 random 8x8 images in 4 groups of 10, the last 3 of them poisons."""
    rng = np.random.default_rng(0)
    n = 40
    true_label = np.repeat([0, 1], 20).astype(np.int32)
    is_poison = np.arange(n) >= n - 3
    return Examples(
        image=rng.integers(0, 256, (n, 8, 8, 3), np.uint8),
        label=np.where(is_poison, 1 - true_label, true_label).astype(np.int32),
        true_label=true_label,
        attribute=np.tile([0, 1], 20).astype(np.int32),
        is_poison=is_poison,
        index=np.arange(n, dtype=np.int32),
    )


@pytest.fixture
def knows():
    """A function that registers entries until the test ends."""
    with contextlib.ExitStack() as held:
        yield lambda *entries: held.enter_context(registered(*entries))
