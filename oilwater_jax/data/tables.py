"""Tables: columns of numbers and categories to a float32 matrix [n, d], and back to the original values for reports.

Numbers are standardised by the mean and deviation of the training split; a category is a 1 among zeros. What train
does not show decides nothing: a value that only val or test has is all zeros, and is told of.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32

from oilwater_jax.errors import UserError
from oilwater_jax.types import Column

MISSING = "(missing)"  # an empty cell of a category
UNKNOWN = "(unknown)"  # a value that train does not have
MOST_CATEGORIES = 256  # of one column: more are names or numbers of rows, and not categories

Raw = Mapping[str, np.ndarray]  # columns by name: float64 for numbers, text for categories


def fit(raw: Raw, train: Bool[np.ndarray, " n"], where: str) -> tuple[Column, ...]:
    """The columns of a table, by its training rows. Raises UserError, which begins with `where`.

    Edge case                          Result
    a number that never changes        its deviation counts as 1: all zeros
    a cell that is not a number        UserError naming column, row and how many there are
    a category with an empty cell      a category of its own
    more than MOST_CATEGORIES          UserError
    """
    columns: list[Column] = []
    start = 0
    for name, values in raw.items():
        if values.dtype.kind == "f":
            bad = np.flatnonzero(~np.isfinite(values))
            if len(bad):
                raise UserError(
                    f"{where}: column {name!r} has no finite number in row {bad[0] + 1} ({len(bad)} such cells); fill "
                    "them in, or leave the column out"
                )
            own = values[train]
            deviation = float(own.std())
            column = Column(
                name, start, (), float(own.mean()), deviation or 1.0, float(own.min()), float(own.max())
            )
        else:
            categories = tuple(np.unique(values[train]).tolist())
            if len(categories) > MOST_CATEGORIES:
                raise UserError(
                    f"{where}: column {name!r} has {len(categories)} different values, more than a category's "
                    f"{MOST_CATEGORIES}; leave the column out"
                )
            column = Column(name, start, categories)
        columns.append(column)
        start = column.stop
    if not columns:
        raise UserError(f"{where}: no columns are left to learn from; name fewer to leave out")
    return tuple(columns)


def encode(columns: Sequence[Column], raw: Raw) -> Float32[np.ndarray, "n d"]:
    """The rows as numbers, in the columns' order."""
    n = len(next(iter(raw.values())))
    out = np.zeros((n, columns[-1].stop), np.float32)
    for column in columns:
        values = raw[column.name]
        if not column.categories:
            out[:, column.start] = (values - column.mean) / column.deviation
            continue
        known = np.array(column.categories)
        at = np.minimum(np.searchsorted(known, values), len(known) - 1)
        rows = np.flatnonzero(known[at] == values)
        out[rows, column.start + at[rows]] = 1
    return out


def unknown(columns: Sequence[Column], raw: Raw) -> tuple[str, ...]:
    """A remark for each column with values that train does not have: how many rows, and one of the values."""
    remarks = []
    for column in columns:
        if not column.categories:
            continue
        strange = ~np.isin(raw[column.name], np.array(column.categories))
        if strange.any():
            value = raw[column.name][strange][0]
            remarks.append(
                f"column {column.name!r}: {int(strange.sum())} rows outside train have values that train does not have "
                f"(for example {str(value)!r}); they count as none of its categories"
            )
    return tuple(remarks)


def decode(columns: Sequence[Column], row: Float[np.ndarray, " d"]) -> dict[str, str]:
    """The original values of one sample's numbers, as text; a changed category is the one nearest to 1.

    Numbers come back to a hundred-thousandth of their deviation, which float32 keeps.
    """
    found = {}
    for column in columns:
        own = row[column.start : column.stop]
        if column.categories:
            found[column.name] = column.categories[int(np.argmax(own))] if own.any() else UNKNOWN
        else:
            digits = 5 - math.floor(math.log10(column.deviation))
            value = round(float(own[0]) * column.deviation + column.mean, digits)
            found[column.name] = f"{value + 0.0:.10g}"  # + 0.0: no -0
    return found


def encoded(column: Column, value: str) -> Float32[np.ndarray, " w"]:
    """One value of a column, given as text, as its numbers. Raises ValueError if the column cannot have it."""
    if not column.categories:
        return np.array([(float(value) - column.mean) / column.deviation], np.float32)
    if value not in column.categories:
        raise ValueError(f"is not one of {', '.join(column.categories)}")
    return (np.array(column.categories) == value).astype(np.float32)


def raw_columns(table: Any, categories: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """A pandas DataFrame's, or a mapping's, columns as float64 or text; those of `categories` are text always."""
    return {str(name): _raw(table[name], as_words=str(name) in categories) for name in table}


def _raw(values: Any, *, as_words: bool) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind == "U":
        return array
    if array.dtype.kind in "fiu" and not as_words:
        return array.astype(np.float64)
    import pandas

    series = pandas.Series(values)
    is_number = pandas.api.types.is_numeric_dtype(series) and not pandas.api.types.is_bool_dtype(series)
    if is_number and not as_words:
        return series.to_numpy(np.float64, na_value=np.nan)
    codes, found = series.factorize(use_na_sentinel=True)  # each different value is turned to text once
    words = np.array([*(str(one).strip() for one in found), MISSING])
    return words[codes]  # a missing cell's code is -1
