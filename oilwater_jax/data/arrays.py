"""arrays: your own data set in one `.npz` file of named arrays.

    x [n, h, w, 3] uint8, or [n, d] numbers     label [n]     and, if you have them: attribute [n], split [n],
    class_names, attribute_names, column_names, categories (names of columns of numbers that are categories)

What they mean is as in `from_arrays`. Nothing is unpickled.
"""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from oilwater_jax.data.own import from_arrays
from oilwater_jax.entries import Config, Dataset
from oilwater_jax.errors import UserError
from oilwater_jax.types import Splits

NEEDED, LISTS = ("x", "label"), ("class_names", "attribute_names", "column_names", "categories")
KNOWN = (*NEEDED, "attribute", "split", *LISTS)


def read(path: Path) -> dict[str, Any]:
    """The file's arrays by name. Raises UserError for a file that is none, damaged, or lacks or has other arrays."""
    try:
        with np.load(path, allow_pickle=False) as saved:
            arrays = {name: saved[name] for name in saved.files}
    except (OSError, ValueError, KeyError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        reason = "; an array of objects, perhaps" if "pickle" in str(error) else ""
        raise UserError(
            f"data.source = {str(path)!r} cannot be read as an .npz of plain arrays{reason}"
        ) from error
    for name in NEEDED:
        if name not in arrays:
            raise UserError(f"{path} has no array {name!r} (it has {', '.join(arrays) or 'none'})")
    for name in arrays:
        if name not in KNOWN:
            raise UserError(
                f"{path}: the array {name!r} is not one of {', '.join(KNOWN)}; rename it or leave it out"
            )
    return {name: array.tolist() if name in LISTS else array for name, array in arrays.items()}


def load(config: Config) -> Splits:
    """The data set in the file `data.source`."""
    if not config.data.source:
        raise UserError("data.name = 'arrays' needs --config.data.source=FILE.npz")
    path = Path(config.data.source).expanduser()
    return from_arrays(**read(path), where=str(path))


DATASET = Dataset(
    name="arrays",
    help="your own arrays in an .npz file (data.source): x, label, attribute, split",
    load=load,
    smoke_budget=0.02,
    smoke_auxiliary=0.3,
    reads=("data.source",),
)
