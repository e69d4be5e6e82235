"""tensorflow-datasets as a source: a check before the download, and the error if it fails."""

import contextlib
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import TypeVar

from oilwater_jax.errors import UserError

ANSWER_SECONDS = 10
Result = TypeVar("Result")


def check_answer(url: str) -> None:
    """Raise OSError if nothing answers at `url`: the download itself would try again for minutes."""
    with contextlib.suppress(urllib.error.HTTPError):  # an answer, if not a page: the files lie beside it
        urllib.request.urlopen(url, timeout=ANSWER_SECONDS).close()


def attempt(what: str, ways: str, through: Callable[[], Result]) -> Result:
    """What `through()` gets from tensorflow-datasets. Raises UserError, naming the other `ways`, whatever fails."""
    try:
        return through()
    except UserError:
        raise
    except Exception as error:  # many libraries stand behind this; none of their errors is the user's to read
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(f"{what} is not there: tensorflow-datasets failed ({reason}); {ways}") from error
