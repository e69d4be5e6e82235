"""Tools of an attacker: training of surrogate models, and progress reporting."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jaxtyping import Array, Float, Shaped

from oilwater_jax.per_sample import Apply, Params, Scorer
from oilwater_jax.types import Examples


class Lab(NamedTuple):
    """`train(name, examples)` is an ERM model of the attacker's own: never one that is measured later."""

    train: Callable[[str, Examples], Params]
    apply: Apply
    score: Scorer
    prepare: Callable[[Shaped[Array, "b ..."]], Float[Array, "b ..."]]  # inputs to what `apply` takes
    tick: Callable[[int, int, str], None]  # steps done, of, note


class Costly(NamedTuple):
    """The program that crafts an attack's poisons, from shapes alone, and its number of calls per seed.

    `function(*static, *arguments)` is jitted; a call takes `at_once` of what it works on; `tenants` are the trees that
    lie in a device's memory meanwhile, beside the parameters.
    """

    what: str
    function: Any
    static: tuple[Any, ...]
    arguments: tuple[Any, ...]
    at_once: int
    note: str
    calls: int
    counted: str
    tenants: Mapping[str, Any]
    mend: str
