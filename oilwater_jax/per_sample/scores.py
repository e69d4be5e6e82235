"""Per-sample figures by name, as the methods ask for them."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Array

from oilwater_jax.entries import Score
from oilwater_jax.errors import UserError
from oilwater_jax.images import Pixels
from oilwater_jax.per_sample.chunks import (
    Apply,
    Backward,
    Figure,
    Forward,
    Prepare,
    gradient_chunk,
    in_chunks,
)
from oilwater_jax.per_sample.figures import FROM_FEATURES, FROM_LOGITS, Params, gradient_norm
from oilwater_jax.per_sample.projection import Projection
from oilwater_jax.types import Examples, Scores

FROM_GRADIENT: dict[str, Figure] = {"gradient_norm": gradient_norm, "projected_gradient": Projection()}
"""The built-in scores that need a gradient of every sample; those of `figures` do not."""
NAMES = (*FROM_LOGITS, *FROM_FEATURES, *FROM_GRADIENT)
LABEL_FREE = ("logits", "features")
Scorer = Callable[[Params, Examples | Pixels, Sequence[str]], Scores]


@dataclasses.dataclass(frozen=True)
class Named:
    """Several figures of one gradient, by name; those that are not built in are given."""

    names: tuple[str, ...]
    given: tuple[Score, ...] = ()

    def __call__(self, gradient: Params) -> dict[str, Array]:
        """Each by its name."""
        figures = FROM_GRADIENT | {one.name: one.figure for one in self.given}
        return {name: figures[name](gradient) for name in self.names}


def make_scorer(
    apply: Apply,
    prepare: Prepare,
    chunk: int,
    more: tuple[Score, ...] = (),
    forward_apply: Apply | None = None,
) -> Scorer:
    """A function `(params, examples, names) -> Scores` that passes over a data set in chunks of one shape.

    Bare images may stand for examples where no named score needs labels ("logits", "features").
    Each set of names compiles once, whatever n is: what needs gradients in a program of its own, in chunks of
    `gradient_chunk` rows. `more` are scores beside the built-in ones; `forward_apply` is `apply` in the form for passes
    without gradients, where that is another. Raises ValueError for an unknown name, no
    samples, or labels that are needed and missing; UserError for one of `more` that has a built-in score's name.
    """
    if taken := [one.name for one in more if one.name in NAMES]:
        raise UserError(f"the score {taken[0]!r} has a built-in score's name; give it another")
    backwards = {*FROM_GRADIENT, *(one.name for one in more if one.of == "gradient")}
    known = (*NAMES, *(one.name for one in more))

    def scorer(params: Params, examples: Examples | Pixels, names: Sequence[str]) -> Scores:
        if unknown := [name for name in names if name not in known]:
            raise ValueError(f"unknown score {unknown[0]!r}; known: {', '.join(known)}")
        if isinstance(examples, Examples):
            image, label = examples.image, examples.label
        elif needing := [name for name in names if name not in LABEL_FREE]:
            raise ValueError(f"the score {needing[0]!r} needs labels, and bare images have none")
        else:
            image, label = examples, np.zeros(len(examples), np.int32)
        scores: Scores = {}
        own = tuple(one for one in more if one.name in names)
        if forward := tuple(name for name in names if name not in backwards):
            per_chunk = Forward(forward_apply or apply, prepare, forward, own)
            scores |= in_chunks(per_chunk, params, image, label, chunk=chunk)
        if backward := tuple(name for name in names if name in backwards):
            per_chunk = Backward(apply, prepare, Named(backward, own))
            scores |= in_chunks(per_chunk, params, image, label, chunk=gradient_chunk(params))
        return {name: scores[name] for name in names}

    return scorer
