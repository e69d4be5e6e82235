"""Makes adult.npz, the compact form of UCI Adult, from its raw table; run once, by whoever changes it.

    python -m oilwater_jax.data.adult.make adult.csv.gz

The raw table has a header and the 32,561 rows of the repository's `adult.data`, values separated by commas. Every cell
is kept: a column of categories as the numbers of its values (and these once, sorted), a column of numbers as integers.
The same table makes the same bytes; `SHA256` in __init__.py is of these.
"""

import csv
import gzip
import hashlib
import sys
from pathlib import Path

import numpy as np

from oilwater_jax.data.adult import FILE, NUMBERS
from oilwater_jax.files import write_npz


def compact(path: Path) -> dict[str, np.ndarray]:
    """Each column's values [n]; of categories also `<column>.values`."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    arrays: dict[str, np.ndarray] = {}
    for name, cells in zip(head, zip(*rows, strict=True), strict=True):
        column = np.array([cell.strip() for cell in cells])
        if name in NUMBERS:
            numbers = column.astype(np.int64)
            arrays[name] = numbers.astype(np.min_scalar_type(int(numbers.max())))
        else:
            values, codes = np.unique(column, return_inverse=True)
            arrays[name], arrays[f"{name}.values"] = codes.astype(np.uint8), values
    return arrays


if __name__ == "__main__":
    write_npz(FILE, compact(Path(sys.argv[1])))
    content = FILE.read_bytes()
    print(f"{FILE}: {len(content):,} bytes, sha256 {hashlib.sha256(content).hexdigest()}")
