"""folder: your own data set on disk: images and a CSV file, or a CSV or Parquet file alone.

    data.source = DIR      DIR has one CSV (or Parquet) file, whose column `file` names images below DIR
    data.source = FILE     a CSV or Parquet file without a column `file`: a table, whose other columns are the inputs

Columns: `label`; and, where they are there, `attribute` (without it groups are the classes) and `split` (train, val,
test; without it 60, 20 and 20% by a hash of the file's name, or of the row). `folder.file` and the like name them
otherwise.
Images are decoded once, at `folder.size`, and then stay on disk as those of published sets do (`prepared.py`).
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from oilwater_jax.data import cache, own, prepared
from oilwater_jax.data.catalogue import SMOKE_LISTED, SPLITS, Catalogue, Rows, in_folder
from oilwater_jax.data.decode import whole_to_square
from oilwater_jax.entries import Config, Dataset
from oilwater_jax.errors import UserError, one_line
from oilwater_jax.reporting.progress import Progress
from oilwater_jax.settings.field import Field
from oilwater_jax.settings.nearest import nearest
from oilwater_jax.types import Splits

ENDINGS = (".csv", ".parquet")


def find_table(source: str) -> Path:
    """The CSV or Parquet file that a source is or has. Raises UserError."""
    if not source:
        raise UserError("data.name = 'folder' needs --config.data.source=DIR (or a CSV or Parquet file)")
    path = Path(os.path.abspath(os.path.expanduser(source)))
    if path.is_file() and path.suffix.lower() in ENDINGS:
        return path
    if not path.is_dir():
        raise UserError(f"data.source = {source!r} is neither a folder nor a .csv or .parquet file")
    found = sorted(one for one in path.iterdir() if one.suffix.lower() in ENDINGS)
    if len(found) == 1:
        return found[0]
    names = ", ".join(one.name for one in found)
    raise UserError(
        f"data.source = {source!r} has {f'several tables ({names})' if found else 'no .csv or .parquet file'}; "
        f"{'give one of them as data.source' if found else 'add one with the columns file and label'}"
    )


def read_table(path: Path, words: tuple[str, ...]) -> Any:
    """A CSV or Parquet file as a pandas DataFrame; the columns `words` as text. Raises UserError.

    A byte-order mark, Windows line ends, and spaces after commas make no difference.
    """
    import pandas

    try:
        if path.suffix.lower() == ".parquet":
            frame = pandas.read_parquet(path)
        else:
            head = pandas.read_csv(
                path, encoding="utf-8-sig", header=None, nrows=1, dtype=str, skipinitialspace=True
            )
            frame = pandas.read_csv(
                path,
                encoding="utf-8-sig",
                dtype=dict.fromkeys(words, str),
                skipinitialspace=True,
                low_memory=False,
            )
            frame.columns = [str(name).strip() for name in head.iloc[0]]
    except ImportError as error:
        raise UserError(
            f"{path}: reading Parquet needs pyarrow; pip install 'oilwater_jax[parquet]'"
        ) from error
    except (OSError, ValueError) as error:  # pandas' own errors and those of encodings are ValueErrors
        raise UserError(f"{path} cannot be read as a table ({one_line(error)})") from error
    names = list(map(str, frame.columns))
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"{path} has two columns {twice[0]!r}; rename one")
    if not len(frame):
        raise UserError(f"{path} has no rows")
    frame.columns = names
    return frame


def column(frame: Any, name: str, field: str, path: Path, *, needed: bool = False) -> np.ndarray | None:
    """A column's values, none of them missing; None where it is not there. Raises UserError."""
    if not name or name not in frame.columns:
        if needed:
            raise no_column(frame, name, field, path)
        return None
    values = frame[name]
    if (missing := np.flatnonzero(values.isna().to_numpy())).size:
        raise UserError(
            f"{path}: column {name!r} is empty in row {missing[0] + 1} ({missing.size} such rows); fill it in, or "
            "leave these rows out"
        )
    return values.str.strip().to_numpy(object) if _is_text(values) else values.to_numpy()


def no_column(frame: Any, name: str, field: str, path: Path) -> UserError:
    """The error for a missing column."""
    have = ", ".join(frame.columns)
    return UserError(
        f"{path} has no column {name!r}{nearest(name, frame.columns)} (it has {have}); see folder.{field}"
    )


def _is_text(values: Any) -> bool:
    import pandas

    return pandas.api.types.is_string_dtype(values)


def load(config: Config) -> Splits:
    """The data set in `data.source`. Raises UserError."""
    f, path = config.folder, find_table(config.data.source)
    frame = read_table(path, (f.file, f.split, f.label, f.attribute))
    label = column(frame, f.label, "label", path, needed=True)
    attribute, split, file = (optional(frame, f, field, path) for field in ("attribute", "split", "file"))
    for field in ("ignore", "categories"):
        for name in f[field]:
            if name not in frame.columns:
                raise no_column(frame, name, field, path)
    if file is not None:
        return images(config, path, file, label, attribute, split)
    out = {f.label, f.split, *f.ignore} | (set() if f.see_attribute else {f.attribute})
    inputs = frame[[name for name in frame.columns if name not in out]]
    return own.from_arrays(
        inputs, label, attribute=attribute, split=split, categories=tuple(f.categories), where=str(path)
    )


def optional(frame: Any, f: Config, field: str, path: Path) -> np.ndarray | None:
    """An optional column; required if the user set its name. Raises UserError."""
    return column(frame, f[field], field, path, needed=f[field] not in ("", FIELDS[field].default))


def images(
    config: Config,
    path: Path,
    file: np.ndarray,
    label: np.ndarray | None,
    attribute: np.ndarray | None,
    split: np.ndarray | None,
) -> Splits:
    """The images that a table lists, decoded once."""
    where, names = str(path), np.array([str(one) for one in file])
    for name in names.tolist():
        if os.path.isabs(name) or ".." in Path(name).parts:
            raise UserError(
                f"{path}: the image {name!r} lies outside {path.parent}; name images from there on"
            )
    numbers, classes = own.numbered(label, (), "label", where)
    attributes, words, remarks = own.grouped(attribute, len(names), (), where)
    which = (
        own.by_hash([name.encode() for name in names.tolist()])
        if split is None
        else own.split_numbers(split, len(names), where)
    )
    own.check_classes(numbers, which, classes, where)
    rows = {}
    for at, part in enumerate(SPLITS):
        mine = np.flatnonzero(which == at)
        rows[part] = Rows(names[mine], numbers[mine], attributes[mine], np.arange(len(mine), dtype=np.int32))
    read, stamp = in_folder(path.parent)
    preprocessing = whole_to_square(config.folder.size)
    catalogue = Catalogue("folder", rows, classes, words, read, stamp, preprocessing, "")
    if config.smoke:
        catalogue = catalogue.smoke(SMOKE_LISTED)
    root = cache.folder() / "data"
    with Progress() as progress:
        parts = prepared.make_all(root, catalogue, progress)
    return prepared.splits(catalogue, parts)._replace(remarks=remarks)


FIELDS = {
    "file": Field(
        "file",
        "column of image paths, relative to the table's folder; without it the table itself is the data",
    ),
    "label": Field("label", "column of class labels"),
    "attribute": Field("attribute", "column of attributes; empty: none, and groups are classes"),
    "split": Field("split", "column that says train, val or test; empty: split by a hash, 60, 20 and 20%"),
    "size": Field(64, "images are resized to squares of this side, pixels", 8, 1024),
    "ignore": Field((), "columns of a table to exclude from the inputs", empty=True),
    "categories": Field((), "numeric columns of a table to treat as categories", empty=True),
    "see_attribute": Field(False, "use the attribute as an input of a table too"),
}
DATASET = Dataset(
    name="folder",
    help="your own images with a CSV file, or a CSV or Parquet table alone (data.source)",
    load=load,
    smoke_budget=0.02,
    smoke_auxiliary=0.3,
    reads=("data.source", "smoke"),
    fields=FIELDS,
)
