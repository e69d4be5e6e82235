"""Import published weights: read torchvision and timm files, check them, store an orbax checkpoint.

`import_file` makes a folder of a file, once; `load` reads the folder. A folder holds `tree` (orbax) and weights.json
(record.Record). Nothing here ever unpickles a file.

Layout            Networks      Names
torchvision       ResNets       conv1.weight, layer1.0.bn1.running_var, fc.bias, ...
timm, DeiT        ViT-S/16      patch_embed.proj.weight, blocks.0.attn.qkv.weight, head.bias, ...
"""

import functools
import hashlib
import math
import os
import pickle
import re
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from oilwater_jax.errors import UserError, one_line
from oilwater_jax.files import open_plain
from oilwater_jax.models import record as records
from oilwater_jax.models.layout import Layout
from oilwater_jax.models.record import Record
from oilwater_jax.models.variables import STATISTICS, Params, join
from oilwater_jax.models.vit import PATCH
from oilwater_jax.settings.config import default, registry_of, view
from oilwater_jax.settings.registry import known
from oilwater_jax.trees import digest, to_host

Tensors = Mapping[str, np.ndarray]
NPY = b"\x93NUMPY"  # begins an npy file
MOST_BYTES = 8 << 30  # of an npz file's arrays
TREE = "tree"  # the checkpoint's folder
RESNET_SIDE = 32  # any size gives a ResNet the same parameters

# Last parts of names: ours to PyTorch's (a layout has the other parts). A trailing number is a part of its own there:
# blocks_0, blocks.0.
LEAVES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
IGNORED = "num_batches_tracked"  # PyTorch's counter of batches, which nothing here needs
WRAPPERS = ("state_dict", "model")  # a .pth file may hold its tensors below one of these


def layout(model: str) -> Layout:
    """The layout of a network's files. Raises UserError for one that nobody publishes weights of."""
    found = known().model(model).layout
    if found is None:
        raise UserError(f"weights of {model} cannot be imported; there are no published files for it")
    return found


def torch_name(model: str, path: tuple[str, ...]) -> str:
    """The name in PyTorch of a parameter or statistic, given the names on its way through `Params`."""
    *modules, leaf = [part for part in path if part != STATISTICS]
    parts = layout(model).parts
    names = [re.sub(r"_(\d+)$", r".\1", parts.get(part, part)) for part in modules]
    return ".".join([*names, LEAVES.get(leaf, leaf)])


def to_torch(array: Any) -> tuple[int, ...]:
    """The axes of PyTorch's array in terms of ours: convolutions are out, in, h, w there; matrices out, in."""
    return {2: (1, 0), 4: (3, 2, 0, 1)}.get(array.ndim, tuple(range(array.ndim)))


def template(model: str, n_classes: int, image_side: int | None) -> Params:
    """Shapes and dtypes of a network's `Params`."""
    config = default()
    entry = registry_of(config).model(model)
    layers = entry.build(view(config, entry), n_classes, jnp.float32)
    side = image_side or RESNET_SIDE
    image = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    return jax.eval_shape(lambda one: join(layers.init(jax.random.key(0), one)), image)


def import_file(file: Path, model: str, out: Path) -> Record:
    """Make the folder `out` of the weights in `file`, whole or not at all.

    `file` is .safetensors, .npz (no pickled arrays), .pth or .pt (read by torch.load(weights_only=True) where torch
    is installed). Raises UserError, naming the tensor, for one that is missing, too many, of another shape or not
    finite; for a file that cannot be read; for a folder that holds something.
    """
    out = out.absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out={out} already exists; give a new folder")
    tensors = read_file(file)
    params, n_classes, side = from_torch(tensors, model, str(file))
    with file.open("rb") as opened:
        source = hashlib.file_digest(opened, "sha256").hexdigest()
    record = Record(model, n_classes, side, file.name, source, digest(params, {}))
    beside = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        beside.mkdir(parents=True)
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(beside / TREE, params)
        records.write(beside, record)
        os.replace(beside, out)
    except OSError:
        raise  # the command line has words for a full disk
    except Exception as error:  # tensorstore's own
        raise UserError(
            f"cannot write {out} ({one_line(error)}); free some disk space, then import again"
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return record


@functools.lru_cache(maxsize=1)
def load(folder: Path, record: Record) -> Params:
    """The weights in a folder of `import_file`. Raises UserError if they are not what the record says.

    Kept, because a run looks at them before it writes anything and needs them later.
    """
    shapes = template(record.model, record.n_classes, record.image_side)
    like = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            params = to_host(checkpointer.restore(folder.absolute() / TREE, like))
        if digest(params, {}) != record.sha256:
            raise ValueError("their digest does not match")
    except Exception as error:  # whatever orbax makes of damaged files
        raise UserError(
            f"model.init_from: the weights in {folder} are damaged ({one_line(error)}); import {record.source} again"
        ) from error
    return params


def from_torch(tensors: Tensors, model: str, where: str) -> tuple[Params, int, int | None]:
    """(parameters, classes, side of the images) of tensors in the layout of `model`. Raises UserError."""
    tensors = {name: array for name, array in tensors.items() if name.rpartition(".")[2] != IGNORED}
    shape = layout(model)
    head = tensors.get(shape.head)
    n_classes = len(head) if head is not None and head.ndim else 1
    if not 1 <= n_classes <= records.MOST_CLASSES:
        allowed = f"allowed: 1 .. {records.MOST_CLASSES}"
        raise UserError(f"{where}: tensor {shape.head} has {n_classes} classes ({allowed}); is it a {model}?")
    side = _image_side(tensors.get(shape.positions)) if shape.positions else None
    if side is not None and side > records.MOST_SIDE:
        what = f"is of images of {side} pixels (allowed: up to {records.MOST_SIDE})"
        raise UserError(f"{where}: tensor {shape.positions} {what}; is it a {model}?")
    leaves, structure = jax.tree_util.tree_flatten_with_path(template(model, n_classes, side))
    named = {torch_name(model, tuple(key.key for key in path)): leaf for path, leaf in leaves}

    def refuse(names: list[str], what: str) -> None:
        if names:
            more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            raise UserError(f"{where}: tensor {names[0]}{more} {what}; is it a {model}?")

    refuse([name for name in named if name not in tensors], "is missing")
    refuse([name for name in tensors if name not in named], "is one too many")
    wanted = {name: tuple(leaf.shape[axis] for axis in to_torch(leaf)) for name, leaf in named.items()}
    for name, array in tensors.items():
        if array.shape != wanted[name]:
            refuse([name], f"has shape {array.shape} and should have {wanted[name]}")
        if not jnp.issubdtype(array.dtype, jnp.floating):
            refuse([name], f"has dtype {array.dtype} and should hold floating-point numbers")
        with np.errstate(over="ignore", invalid="ignore"):
            single = array.astype(np.float32)
        if not np.isfinite(single).all():
            refuse([name], "has numbers that are not finite")
        if name.endswith(LEAVES["var"]) and (single < 0).any():
            refuse([name], "has variances below 0")
    arrays = [
        np.ascontiguousarray(tensors[name].astype(np.float32).transpose(np.argsort(to_torch(leaf)).tolist()))
        for name, leaf in named.items()
    ]
    return jax.tree_util.tree_unflatten(structure, arrays), n_classes, side


def _image_side(positions: np.ndarray | None) -> int:
    """Pixels of the square images that learned positions [1, 1 + patches, d] are for."""
    patches = positions.shape[1] - 1 if positions is not None and positions.ndim == 3 else 1
    return PATCH * max(1, round(max(patches, 0) ** 0.5))


def read_file(file: Path) -> Tensors:
    """The tensors of a file by name; nothing is unpickled. Raises UserError."""
    if not file.is_file():
        raise UserError(f"{file} is not a file; give the weights as {', '.join(READERS)}")
    if not os.access(file, os.R_OK):
        raise UserError(f"{file} cannot be read; check its permissions")
    if file.suffix not in READERS:
        raise UserError(f"{file} has an unsupported format ({', '.join(READERS)}); save it as one of these")
    return READERS[file.suffix](file)


def _read_safetensors(file: Path) -> Tensors:
    from safetensors.numpy import load_file

    try:
        return load_file(file)
    except Exception as error:  # its own, and NumPy's for types that it does not have (F8)
        raise UserError(
            f"{file} is damaged or not a safetensors file ({one_line(error)}); download it again"
        ) from error


def _read_npz(file: Path) -> Tensors:
    try:
        with open_plain(file) as opened:
            if opened.read(len(NPY)) == NPY:
                raise ValueError("it is a single array, an npy file")
            if zipfile.is_zipfile(opened):
                _check_npz(opened)
            opened.seek(0)
            with np.load(opened, allow_pickle=False) as saved:
                return {name: saved[name] for name in saved.files}
    except Exception as error:  # whatever zipfile and NumPy make of damaged bytes
        if "pickle" in str(error):
            raise UserError(
                f"{file} holds pickled objects, which could run code and are never read; save plain arrays"
            ) from error
        raise UserError(
            f"{file} is damaged or not an npz file ({one_line(error)}); download it again"
        ) from error


def _check_npz(file: IO[bytes]) -> None:
    """Raise ValueError for an npz file whose members are not what their headers declare, before any is read."""
    total = 0
    with zipfile.ZipFile(file) as saved:
        for info in saved.infolist():
            with saved.open(info) as member:
                version = np.lib.format.read_magic(member)
                read = (
                    np.lib.format.read_array_header_1_0
                    if version == (1, 0)
                    else np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = read(member)
                if dtype.hasobject:
                    raise ValueError(f"{info.filename} is pickled")
                declared = math.prod(shape) * dtype.itemsize
                if min(shape, default=0) < 0 or declared != info.file_size - member.tell():
                    raise ValueError(
                        f"{info.filename} declares an array of shape {shape} that it does not hold"
                    )
            total += declared
            if total > MOST_BYTES:
                raise ValueError(f"it is too large: above {MOST_BYTES} bytes")


def _read_torch(file: Path) -> Tensors:
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(
            f"{file}: reading {file.suffix} needs PyTorch (pip install 'oilwater_jax[torch]'); "
            "or give the weights as safetensors"
        ) from error
    try:
        saved = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{file} holds more than tensors, or is not a PyTorch file; such files could run code and are never read: "
            "save its state_dict alone"
        ) from error
    except Exception as error:  # whatever torch makes of damaged files
        raise UserError(
            f"{file} is damaged or not a PyTorch file ({one_line(error)}); download it again"
        ) from error
    for wrapper in WRAPPERS:
        if isinstance(saved, Mapping) and isinstance(saved.get(wrapper), Mapping):
            saved = saved[wrapper]
    if not isinstance(saved, Mapping) or not all(isinstance(one, torch.Tensor) for one in saved.values()):
        raise UserError(f"{file} is not a state_dict of named tensors; save the network's state_dict alone")
    return {
        name: (one.float() if one.is_floating_point() else one).detach().numpy()
        for name, one in saved.items()
    }


READERS: dict[str, Callable[[Path], Tensors]] = {
    ".safetensors": _read_safetensors,
    ".npz": _read_npz,
    ".pth": _read_torch,
    ".pt": _read_torch,
}
