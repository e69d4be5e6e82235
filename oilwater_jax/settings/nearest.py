"""The nearest known name, for messages about an unknown one."""

import difflib
from collections.abc import Iterable


def nearest(key: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` for a key that is close to a known one by path or by last part, else empty.

    Examples:
        >>> nearest("attack.budgt", ["attack.budget", "attack.target"])
        '; did you mean attack.budget?'

    """
    known = list(known)
    close = difflib.get_close_matches(key, known, 1, 0.6)
    leaf = key.rpartition(".")[2]
    close = close or [path for path in known if path.rpartition(".")[2] == leaf]
    leaves = [path.rpartition(".")[2] for path in known]
    close = close or [known[leaves.index(match)] for match in difflib.get_close_matches(leaf, leaves, 1, 0.6)]
    return f"; did you mean {close[0]}?" if close else ""
