"""adult: UCI Adult (census income), embedded: a table with natural minorities that nobody made.

The label is an income above 50,000 dollars a year, the attribute is sex, race, or both. Of 32,561 people 1,179 (3.6%)
are women above 50K. Left out of what a model sees: `fnlwgt` (a sampling weight) and `education` (`education-num` says
the same). An unknown value (`?`) is a category of its own.

Source: Becker, B. and Kohavi, R. (1996), Adult, UCI Machine Learning Repository, https://doi.org/10.24432/C5XW20,
licence CC BY 4.0; its file `adult.data`, changed in form only (see `make.py`). CREDIT.txt travels with the data.
"""

import hashlib
import io
from pathlib import Path

import numpy as np

from oilwater_jax.data import own
from oilwater_jax.entries import Config, Dataset
from oilwater_jax.errors import UserError
from oilwater_jax.settings.field import Field
from oilwater_jax.types import Splits

FILE = Path(__file__).with_name("adult.npz")
SHA256 = "774afb7a69ed10931e4e3f1c73db135a0a61a0f972a2d4ddfd8fdd7dd43631bf"
NUMBERS = ("age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week")
LABEL = "income-per-year"
LEFT_OUT = ("fnlwgt", "education", LABEL)
ATTRIBUTES = {"sex": ("sex",), "race": ("race",), "sex_race": ("sex", "race")}


def read() -> dict[str, np.ndarray]:
    """The raw columns, float64 or text, those of all rows. Raises UserError for a file that is not the package's."""
    content = FILE.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise UserError(f"{FILE} is damaged (its checksum differs); install oilwater_jax again")
    with np.load(io.BytesIO(content), allow_pickle=False) as saved:
        found = {}
        for name in saved.files:
            if name in NUMBERS:
                found[name] = saved[name].astype(np.float64)
            elif not name.endswith(".values"):
                found[name] = saved[f"{name}.values"][saved[name]]
    return found


def load(config: Config) -> Splits:
    """The data set; who is in which split follows from a hash of the row, the same for every seed and attribute."""
    raw = read()
    names = ATTRIBUTES[config.adult.attribute]
    attribute = raw[names[0]]
    for name in names[1:]:
        attribute = np.char.add(np.char.add(attribute, "-"), raw[name])
    return own.from_arrays(
        {name: values for name, values in raw.items() if name not in LEFT_OUT},
        raw[LABEL],
        attribute=attribute,
        split=own.by_hash(own.row_bytes(*raw.values())),
        where="adult",
    )


DATASET = Dataset(
    name="adult",
    help="UCI Adult, a table: predict income from census answers, with natural minorities; needs no files",
    load=load,
    smoke_budget=0.02,
    smoke_auxiliary=0.3,
    fields={
        "attribute": Field("sex", "attribute that defines groups within a class", choices=tuple(ATTRIBUTES)),
    },
)
