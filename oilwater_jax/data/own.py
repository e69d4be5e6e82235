"""Turn user arrays into a data set: names of classes, groups and columns, splits, checks, a digest."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, Int32

from oilwater_jax.data import tables
from oilwater_jax.data.catalogue import SPLITS
from oilwater_jax.errors import UserError
from oilwater_jax.images import Inputs
from oilwater_jax.types import Examples, Splits

SHARES = (0.6, 0.2, 0.2)  # of train, val, test where nobody says which rows are which
SPLIT_WORDS = {  # what people write
    **dict.fromkeys(("0", "train", "training"), 0),
    **dict.fromkeys(("1", "val", "valid", "validation", "dev"), 1),
    **dict.fromkeys(("2", "test", "testing"), 2),
}
NO_ATTRIBUTE = (
    "no attribute: groups are the classes, so worst-group accuracy is that of the worst class, and there is nothing to "
    "say of minorities within a class"
)


def numbered(
    values: Any, names: Sequence[str], what: str, where: str
) -> tuple[Int32[np.ndarray, " n"], tuple[str, ...]]:
    """Labels or attributes as numbers and their names, in the order of numbers or of the alphabet.

    With `names` the values must be 0 .. len(names) - 1, or among the names. Raises UserError.
    """
    values = np.asarray(values)
    if values.dtype.kind == "f":
        odd = ~np.isfinite(values) | (values != np.rint(values))
        if odd.any():
            raise UserError(
                f"{where}: the {what} must be whole numbers or names, and one is {values[odd][0]}"
            )
        values = values.astype(np.int64)
    unique, at = np.unique(values.astype(str) if values.dtype.kind == "O" else values, return_inverse=True)
    text = [str(int(one)) if values.dtype.kind == "b" else str(one) for one in unique]
    if names:
        table = {str(at): at for at in range(len(names))} | {str(name): at for at, name in enumerate(names)}
        for one in text:
            if one not in table:
                raise UserError(f"{where}: the {what} {one!r} is not one of {', '.join(map(str, names))}")
        return np.array([table[one] for one in text], np.int32)[at], tuple(map(str, names))
    order = list(range(len(text)))
    if all(one.removeprefix("-").isdecimal() for one in text):
        order.sort(key=lambda i: int(text[i]))  # 2 before 10
    rank = np.empty(len(text), np.int32)
    rank[order] = np.arange(len(text), dtype=np.int32)
    return rank[at], tuple(text[i] for i in order)


def split_numbers(values: Any, n: int, where: str) -> Int[np.ndarray, " n"]:
    """0, 1, 2 for train, val, test, from numbers or common names. Raises UserError."""
    text = np.char.lower(np.asarray(values).astype(str))
    unique, at = np.unique(text, return_inverse=True)
    for one in unique.tolist():
        if one not in SPLIT_WORDS:
            raise UserError(f"{where}: the split {one!r} is not one of train, val, test (or 0, 1, 2)")
    return np.array([SPLIT_WORDS[one] for one in unique.tolist()])[at]


def by_hash(rows: Sequence[bytes], shares: tuple[float, float, float] = SHARES) -> Int[np.ndarray, " n"]:
    """0, 1 or 2 for each row by a hash of its content, in about these shares: no seed, whatever the order.

    Rows of the same content are in the same split.
    """
    bounds = [int(sum(shares[: i + 1]) * 2**32) for i in range(2)]
    number = [int.from_bytes(hashlib.sha256(row).digest()[:4], "big") for row in rows]
    return np.searchsorted(bounds, number, side="right")


def row_bytes(*arrays: np.ndarray) -> list[bytes]:
    """Each row's content over several arrays."""
    parts = [np.ascontiguousarray(a.reshape(len(a), -1)) for a in arrays]
    flat = [a.view(np.uint8).reshape(len(a), -1) for a in parts]
    whole = np.concatenate(flat, axis=1)
    return [row.tobytes() for row in whole]


def _fixed(values: np.ndarray) -> np.ndarray:
    """A column whose rows take as many bytes whatever the others hold: of text a hash."""
    if values.dtype.kind != "U":
        return values
    unique, at = np.unique(values, return_inverse=True)
    hashes = [int.from_bytes(hashlib.sha256(one.encode()).digest()[:8], "big") for one in unique.tolist()]
    return np.array(hashes, np.uint64)[at]


def check_classes(
    label: Int32[np.ndarray, " n"], split: Int[np.ndarray, " n"], names: tuple[str, ...], where: str
) -> None:
    """Raises UserError for fewer than two classes, an empty split, or a class that train does not have."""
    if len(names) == 1:
        raise UserError(f"{where}: all labels are {names[0]!r}; there must be two classes or more")
    for number, name in enumerate(SPLITS):
        if not (split == number).any():
            raise UserError(f"{where}: no row is of the split {name}; mark some, or leave the split out")
    counts = np.bincount(label[split == 0], minlength=len(names))
    for at in np.flatnonzero(counts == 0):
        raise UserError(
            f"{where}: the label {names[at]!r} never occurs in train ({int((label == at).sum())} times elsewhere); "
            "move some of its rows to train or leave them out"
        )


def grouped(
    attribute: Any, n: int, names: Sequence[str], where: str
) -> tuple[Int32[np.ndarray, " n"], tuple[str, ...], tuple[str, ...]]:
    """Attributes as numbers, their names, and what must be said of them. Raises UserError."""
    if attribute is None:
        return np.zeros(n, np.int32), ("all",), (NO_ATTRIBUTE,)
    numbers, own = numbered(attribute, names, "attribute", where)
    if len(own) == 1:
        return numbers, own, (f"the attribute is {own[0]!r} everywhere: groups are the classes",)
    return numbers, own, ()


def examples_of(
    image: Inputs,
    label: Int32[np.ndarray, " n"],
    attribute: Int32[np.ndarray, " n"],
    rows: Int[np.ndarray, " m"],
) -> Examples:
    """A split: these rows, clean, with the row's place in the split as its index."""
    return Examples(
        image=image[rows],
        label=label[rows],
        true_label=label[rows].copy(),
        attribute=attribute[rows],
        is_poison=np.zeros(len(rows), bool),
        index=np.arange(len(rows), dtype=np.int32),
    )


def from_arrays(
    x: Any,
    label: Any,
    *,
    attribute: Any = None,
    split: Any = None,
    class_names: Sequence[str] = (),
    attribute_names: Sequence[str] = (),
    column_names: Sequence[str] = (),
    categories: Sequence[str] = (),
    where: str = "from_arrays",
) -> Splits:
    """A data set of n samples in memory.

    `x` are images, uint8 [n, h, w, 3] (or [n, h, w], grey), or a table: numbers [n, d], or a pandas DataFrame or a
    mapping of columns, numbers and text (`categories` names the columns of numbers that are categories). Numbers are
    standardised by the training split's mean and deviation.
    `label` [n] and `attribute` [n] are whole numbers or names; without `attribute` groups are the classes. `split` [n]
    says train, val or test (or 0, 1, 2); without it 60, 20 and 20% by a hash of each row's content.
    Raises UserError, one line that begins with `where`.

    To run an experiment on it, give it a name: `ow.register(ow.Dataset(name="mine", help="mine", load=lambda config:
    splits))`, and data.name = "mine", pretrain.epochs = 0 (for a table also model.name = "mlp").
    """
    image, raw = _inputs(x, column_names, categories, where)
    n = len(image) if image is not None else len(next(iter(raw.values())))
    for name, values in (("label", label), ("attribute", attribute), ("split", split)):
        if values is not None and np.shape(values) != (n,):
            raise UserError(f"{where}: {name} has the shape {np.shape(values)}, and there are {n} samples")
    if not n:
        raise UserError(f"{where}: there are no samples")
    numbers, classes = numbered(label, class_names, "label", where)
    if split is None:
        content = [image] if image is not None else [_fixed(values) for values in raw.values()]
        split_number = by_hash(row_bytes(*content, numbers))
    else:
        split_number = split_numbers(split, n, where)
    check_classes(numbers, split_number, classes, where)
    attributes, attribute_words, remarks = grouped(attribute, n, attribute_names, where)
    columns = ()
    if image is None:
        columns = tables.fit(raw, split_number == 0, where)
        remarks = (*remarks, *tables.unknown(columns, raw))
        image = tables.encode(columns, raw)
    parts = [examples_of(image, numbers, attributes, np.flatnonzero(split_number == k)) for k in range(3)]
    return Splits(
        *parts,
        class_names=classes,
        attribute_names=attribute_words,
        identity=digest(image, numbers, attributes, split_number, (classes, attribute_words, columns)),
        columns=columns,
        remarks=remarks,
    )


def digest(image: np.ndarray, label: np.ndarray, attribute: np.ndarray, split: np.ndarray, names: Any) -> str:
    """A digest of a data set's content."""
    total = hashlib.sha256(repr((image.shape, str(image.dtype), names)).encode())
    for array in (image, label, attribute, split):
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()[:32]


def _inputs(
    x: Any, column_names: Sequence[str], categories: Sequence[str], where: str
) -> tuple[np.ndarray | None, dict[str, np.ndarray]]:
    """Images, or the raw columns of a table."""
    if isinstance(x, Mapping) or hasattr(x, "columns"):
        return None, tables.raw_columns(x, categories)
    array = np.asarray(x)
    if array.dtype == np.uint8 and array.ndim in (3, 4):
        image = array if array.ndim == 4 else array[..., None]
        if image.shape[-1] == 1:
            image = image.repeat(3, axis=-1)
        if image.shape[-1] != 3:
            raise UserError(f"{where}: images of {image.shape[-1]} channels; give [n, h, w, 3] or [n, h, w]")
        return image, {}
    if array.ndim != 2 or array.dtype.kind not in "fiu" or not array.shape[1]:
        raise UserError(
            f"{where}: x has the shape {array.shape} and the type {array.dtype}; give images, uint8 [n, h, w, 3], or "
            "a table of numbers [n, d]"
        )
    names = [str(one) for one in column_names] or [f"x{at}" for at in range(array.shape[1])]
    if len(names) != array.shape[1] or len(set(names)) != len(names):
        raise UserError(
            f"{where}: {len(names)} column names ({len(set(names))} different) for {array.shape[1]} columns"
        )
    return None, tables.raw_columns(dict(zip(names, array.T, strict=True)), categories)
