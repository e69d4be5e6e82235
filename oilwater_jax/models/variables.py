"""A network's variables as one tree of `Params`, and what of it is trained.

`Params` is all that the frozen network needs: the weights by layer and, of a network with batch normalisation, the
running statistics under the name STATISTICS. These are never differentiated, decayed or moved by the optimiser.
"""

from typing import Any

Params = Any
STATISTICS = "batch_stats"  # flax's name of the collection
HEAD = "head"  # the last layer's name in every network


def join(collections: Params) -> Params:
    """`Params` of flax's collections: `params` and, where there is one, `batch_stats`."""
    return {**collections["params"], **{k: v for k, v in collections.items() if k != "params"}}


def split(params: Params, trained: str = "all") -> tuple[Params, Params]:
    """(what is trained, what is not); `{**first, **second}` is whole again.

    Running statistics are never trained (networks without batch normalisation have none). With `trained` = "head" the
    last layer alone is.
    """
    frozen = {name for name in params if name == STATISTICS or (trained == "head" and name != HEAD)}
    weights = {name: value for name, value in params.items() if name not in frozen}
    return weights, {name: value for name, value in params.items() if name in frozen}
