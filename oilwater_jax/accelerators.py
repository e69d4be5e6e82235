"""Find the accelerators of this machine without JAX, which would claim all of them, and split them over workers.

JAX claims every device that a process can see: a GPU by most of its memory, a TPU chip for itself alone. So who only
hands out work must not start JAX on them, and a worker must see no more than its share. Both are said by environment
variables, before a process uses JAX.

References: what `jax._src.hardware_utils` looks at (jax 0.10); the TPU variables by which `jax._src.test_multiprocess`
and Ray's `accelerators/tpu.py` let several processes share a host.
"""

import importlib.metadata
import importlib.util
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from oilwater_jax.errors import UserError

TPU_VENDOR = "0x1ae0"  # Google, on the PCI bus
TPU_DEVICES = {"0x0027", "0x0056", "0x005e", "0x0062", "0x0063", "0x006f", "0x0076"}  # v2/v3 to v7
# Chips that one process may have of a host, and how they lie: a host's chips are 2x2 or 2x4.
TPU_BOUNDS = {1: "1,1,1", 2: "1,2,1", 4: "2,2,1", 8: "2,4,1"}
TPU_PORT = 8476  # of the process that has chip 0; each other chip's is as many further
GPU_FILES = ("dev/nvidia0", "dev/nvidiactl", "dev/dxg")  # one of them is there where an NVIDIA GPU is


class Accelerators(NamedTuple):
    """Devices of one kind, "GPU" or "TPU", by the names that the environment variable of the kind uses."""

    kind: str
    names: tuple[str, ...]


class Share(NamedTuple):
    """The devices of one worker, exclusive among the processes of this user, and the variables that expose them."""

    devices: tuple[str, ...]
    environment: Mapping[str, str]


def find(
    platforms: str, *, environ: Mapping[str, str] = os.environ, root: Path = Path("/")
) -> Accelerators | None:
    """The accelerators that JAX would use; None if it would use the CPU.

    `platforms` is JAX_PLATFORMS as the user has it; `root` holds dev and sys. What the user hides (by
    CUDA_VISIBLE_DEVICES, TPU_VISIBLE_CHIPS, JAX_PLATFORMS) is not there, nor are devices for which JAX has no compiler
    here.
    """
    first = platforms.partition(",")[0]
    for kind, (called, installed, names) in _KINDS.items():
        if first in ("", *called) and installed():
            found = names(environ, root)
            if found:
                return Accelerators(kind, found)
    return None


def shares(found: Accelerators | None, per_unit: int) -> tuple[Share, ...]:
    """The accelerators cut into shares of `per_unit`; none where there are none.

    Raises UserError for a number that does not come out even, or that the kind cannot be cut into.
    """
    count = len(found.names) if found else 0
    check_per_unit(found.kind if found else "", count, per_unit)
    if found is None:
        return ()
    groups = [found.names[first : first + per_unit] for first in range(0, count, per_unit)]
    see = _tpu_environment if found.kind == "TPU" else _gpu_environment
    return tuple(Share(tuple(f"{found.kind}-{one}" for one in group), see(group)) for group in groups)


def check_per_unit(kind: str, count: int, per_unit: int) -> None:
    """Raises UserError if `count` devices of a kind (""; cores) cannot be handed out `per_unit` at a time."""
    if not kind:
        if per_unit != 1:
            raise UserError(
                f"--devices-per-unit={per_unit}, but no accelerator is found: a unit has one core; leave it out"
            )
        return
    allowed = [k for k in range(1, count + 1) if count % k == 0 and (kind != "TPU" or k in TPU_BOUNDS)]
    if per_unit not in allowed:
        raise UserError(
            f"--devices-per-unit={per_unit} does not share out {count} {kind}{'s' * (count > 1)} evenly; "
            f"give {' or '.join(map(str, allowed))}"
        )


def _gpu_environment(names: tuple[str, ...]) -> dict[str, str]:
    # The CPU beside it is for arrays on the host; where the GPU cannot be used, JAX says so and takes nothing else.
    return {"JAX_PLATFORMS": "cuda,cpu", "CUDA_VISIBLE_DEVICES": ",".join(names)}


def _tpu_environment(names: tuple[str, ...]) -> dict[str, str]:
    port = str(TPU_PORT + int(names[0]))
    return {
        "JAX_PLATFORMS": "tpu,cpu",
        "TPU_VISIBLE_CHIPS": ",".join(names),
        "TPU_VISIBLE_DEVICES": ",".join(names),  # its older name
        "TPU_CHIPS_PER_PROCESS_BOUNDS": TPU_BOUNDS[len(names)],
        "TPU_PROCESS_BOUNDS": "1,1,1",
        "TPU_PROCESS_ADDRESSES": f"localhost:{port}",
        "TPU_PROCESS_PORT": port,
        "CLOUD_TPU_TASK_ID": "0",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # else a lock file of libtpu says that the TPU is in use
    }


def _gpu_plugin() -> bool:
    return any("cuda" in one.name for one in importlib.metadata.entry_points(group="jax_plugins"))


def _tpu_plugin() -> bool:
    return "TPU_LIBRARY_PATH" in os.environ or importlib.util.find_spec("libtpu") is not None


def _gpus(environ: Mapping[str, str], root: Path) -> tuple[str, ...]:
    if not any((root / file).exists() for file in GPU_FILES):
        return ()
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [one.strip() for one in visible.split(",")]
        end = next((at for at, one in enumerate(names) if one in ("", "-1")), len(names))  # as CUDA reads it
        return tuple(names[:end])
    return _listed() or tuple(map(str, range(len(_numbered(root / "dev", "nvidia"))))) or ("0",)


def _listed() -> tuple[str, ...]:
    """GPUs, or the parts that they are cut into (MIG), as nvidia-smi lists them."""
    try:
        listing = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    found = re.findall(r"UUID: ((?:GPU|MIG)-[^)\s]+)", listing)
    # The parts of a GPU follow it in the list.
    whole = [one.startswith("GPU") and not following.startswith("MIG") for one, following in _pairs(found)]
    return tuple(one for one, alone in zip(found, whole, strict=True) if alone or not one.startswith("GPU"))


def _pairs(found: list[str]) -> list[tuple[str, str]]:
    return list(zip(found, [*found[1:], ""], strict=True))


def _tpus(environ: Mapping[str, str], root: Path) -> tuple[str, ...]:
    chips = min(_tpus_on_bus(root), len(_numbered(root / "dev", "accel") or _numbered(root / "dev/vfio", "")))
    for variable in ("TPU_VISIBLE_CHIPS", "TPU_VISIBLE_DEVICES"):
        if chips and variable in environ:
            return tuple(one.strip() for one in environ[variable].split(",") if one.strip().isdecimal())
    return tuple(map(str, range(chips)))


def _tpus_on_bus(root: Path) -> int:
    devices = (root / "sys/bus/pci/devices").glob("*/vendor")
    return sum(
        one.read_text().strip() == TPU_VENDOR and one.with_name("device").read_text().strip() in TPU_DEVICES
        for one in devices
    )


def _numbered(folder: Path, prefix: str) -> list[Path]:
    return [one for one in folder.glob(f"{prefix}*") if one.name.removeprefix(prefix).isdecimal()]


# The kind: what JAX_PLATFORMS calls it, whether JAX can compile for it here, the names of its devices. JAX's order.
_KINDS: dict[
    str,
    tuple[tuple[str, ...], Callable[[], bool], Callable[[Mapping[str, str], Path], tuple[str, ...]]],
] = {
    "TPU": (("tpu",), lambda: _tpu_plugin(), _tpus),
    "GPU": (("cuda", "gpu"), lambda: _gpu_plugin(), _gpus),
}
