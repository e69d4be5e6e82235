"""The machines that can be planned for: TPU topologies, which the TPU's compiler knows by name, and this one."""

import contextlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh

from oilwater_jax import devices
from oilwater_jax.errors import UserError

GIB = 2**30


class Chip(NamedTuple):
    """What one chip offers. Peak and bandwidth are None where they are not known."""

    name: str
    memory: int  # bytes that a program may use
    flops: float | None  # a second, bfloat16
    bandwidth: float | None  # bytes a second, of its main memory


# Peak and bandwidth: cloud.google.com/tpu/docs/v4, v5e, v5p and v6e, "System architecture". Of a float32 matmul or
# convolution JAX's default on TPUs is one pass in bfloat16, so the peak is the same. Memory: what
# libtpu 0.0.52 says is left for a program when one is too large (the chips have 32, 16, 95 and 32 GB).
CHIPS = {
    "v4": Chip("TPU v4", int(30.75 * GIB), 275e12, 1228e9),
    "v5e": Chip("TPU v5e", int(15.75 * GIB), 197e12, 819e9),
    "v5p": Chip("TPU v5p", int(95.73 * GIB), 459e12, 2765e9),
    "v6e": Chip("TPU v6e", int(31.24 * GIB), 918e12, 1640e9),
}
# A v4 chip has two cores; as JAX uses it, they are one device.
OPTIONS: dict[str, dict[str, Any]] = {"v4": {"chip_config_name": "megacore"}}
ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",  # do not ask the cloud what this machine is
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_STDERR_LOG_LEVEL": "3",
    "TPU_MIN_LOG_LEVEL": "3",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # nobody uses a chip here: two plans at once are no conflict
}


class Target(NamedTuple):
    """What is planned for: devices as one mesh (None: one device of this machine), all of one kind."""

    name: str
    platform: str
    chip: Chip
    devices: int
    mesh: Mesh | None

    @property
    def one(self) -> "Target":
        """A single one of its chips."""
        mesh = self.mesh and Mesh(self.mesh.devices.flat[:1], self.mesh.axis_names)
        return self._replace(devices=1, mesh=mesh)


def find(name: str) -> Target:
    """The target of a name: `cpu`, or a TPU topology such as `v5e:2x4`. Raises UserError."""
    if name == "cpu":
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        chip = Chip("this machine's CPU", memory // jax.device_count(), None, None)
        return Target(name, "cpu", chip, jax.device_count(), devices.mesh())
    kind = name.partition(":")[0]
    if kind not in CHIPS or not re.fullmatch(r"[^:]+:\d+(x\d+)+", name):
        raise UserError(
            f"--topology={name} is not known; give cpu or KIND:AxB (v5e:2x4, v6e:4x4) or KIND:AxBxC "
            f"(v4:2x2x1, v5p:2x2x2), with KIND one of {', '.join(CHIPS)}"
        )
    if importlib.util.find_spec("libtpu") is None:
        raise UserError(
            f"--topology={name} needs the TPU's compiler, which is not installed: pip install 'oilwater_jax[tpu]'"
        )
    for variable, value in ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    try:
        with quiet():
            found = topologies.get_topology_desc(name, "tpu", **OPTIONS.get(kind, {})).devices
    except (jax.errors.JaxRuntimeError, NotImplementedError, RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"--topology={name}: the TPU's compiler refuses it ({reason})") from error
    mesh = Mesh(np.array(found), (devices.AXIS,))
    return Target(name, "tpu", CHIPS[kind], len(found), mesh)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what the TPU's compiler, which is not Python, writes to standard error from the user."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
