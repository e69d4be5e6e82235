"""Trees of arrays on the host: copies that nothing donates, and a digest of all that they hold."""

import hashlib
import json
from typing import Any

import jax
import numpy as np

Tree = Any


def to_host(tree: Tree) -> Tree:
    """A copy on the host that later donation of the device's buffers cannot touch."""
    return jax.tree.map(lambda leaf: np.array(jax.device_get(leaf)), tree)


def digest(tree: Tree, meta: dict[str, Any]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of a host tree, and over its metadata."""
    total = hashlib.sha256(json.dumps(meta, sort_keys=True).encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.ascontiguousarray(leaf)
        total.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        total.update(array.tobytes())
    return total.hexdigest()
