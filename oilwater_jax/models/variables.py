"""A network's variables as one tree of `Params`, and what of it is trained.

`Params` is all that the frozen network needs: the weights by layer and, of a network with batch normalisation, the
running statistics under the name STATISTICS. These are never differentiated, decayed or moved by the optimiser.
"""

from typing import Any

Params = Any
STATISTICS = "batch_stats"  # flax's name of the collection


def join(collections: Params) -> Params:
    """`Params` of flax's collections: `params` and, where there is one, `batch_stats`."""
    return {**collections["params"], **{k: v for k, v in collections.items() if k != "params"}}


def split(params: Params) -> tuple[Params, Params]:
    """(weights, statistics): what is trained and what is not; `{**weights, **statistics}` is whole again.

    Networks without batch normalisation have no statistics: the second is empty.
    """
    weights = {name: value for name, value in params.items() if name != STATISTICS}
    return weights, {name: value for name, value in params.items() if name == STATISTICS}
