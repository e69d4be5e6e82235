"""What an attacker may use beyond the data: models of the experiment's kind, and a bar to report on."""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Array, Float, UInt8

from oilwater_jax.per_sample import Apply, Params, Scorer
from oilwater_jax.types import Examples


class Lab(NamedTuple):
    """`train(name, examples)` is an ERM model of the attacker's own: never one that is measured later."""

    train: Callable[[str, Examples], Params]
    apply: Apply
    score: Scorer
    prepare: Callable[[UInt8[Array, "b h w c"]], Float[Array, "b h w c"]]  # pixels to what `apply` takes
    tick: Callable[[int, int, str], None]  # steps done, of, note
