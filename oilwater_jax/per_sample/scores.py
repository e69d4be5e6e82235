"""Per-sample figures by name, as the methods ask for them."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Array

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
from oilwater_jax.per_sample.figures import FROM_LOGITS, Params, gradient_norm
from oilwater_jax.per_sample.projection import Projection
from oilwater_jax.types import Examples, Scores

FROM_GRADIENT: dict[str, Figure] = {"gradient_norm": gradient_norm, "projected_gradient": Projection()}
NAMES = (*FROM_LOGITS, "features", *FROM_GRADIENT)
LABEL_FREE = ("logits", "features")
Scorer = Callable[[Params, Examples | Pixels, Sequence[str]], Scores]


@dataclasses.dataclass(frozen=True)
class Named:
    """Several figures of one gradient, by name."""

    names: tuple[str, ...]

    def __call__(self, gradient: Params) -> dict[str, Array]:
        """Each by its name."""
        return {name: FROM_GRADIENT[name](gradient) for name in self.names}


def make_scorer(apply: Apply, prepare: Prepare, chunk: int) -> Scorer:
    """A function `(params, examples, names) -> Scores` that passes over a data set in chunks of one shape.

    Bare images may stand for examples where no named score needs labels ("logits", "features").
    Each set of names compiles once, whatever n is: what needs gradients in a program of its own, in chunks of
    `gradient_chunk` rows. Raises ValueError for an unknown name, no samples, or labels that are needed and missing.
    """

    def scorer(params: Params, examples: Examples | Pixels, names: Sequence[str]) -> Scores:
        if unknown := [name for name in names if name not in NAMES]:
            raise ValueError(f"unknown score {unknown[0]!r}; known: {', '.join(NAMES)}")
        if isinstance(examples, Examples):
            image, label = examples.image, examples.label
        elif needing := [name for name in names if name not in LABEL_FREE]:
            raise ValueError(f"the score {needing[0]!r} needs labels, and bare images have none")
        else:
            image, label = examples, np.zeros(len(examples), np.int32)
        scores: Scores = {}
        if forward := tuple(name for name in names if name not in FROM_GRADIENT):
            scores |= in_chunks(Forward(apply, prepare, forward), params, image, label, chunk=chunk)
        if backward := tuple(name for name in names if name in FROM_GRADIENT):
            per_chunk = Backward(apply, prepare, Named(backward))
            scores |= in_chunks(per_chunk, params, image, label, chunk=gradient_chunk(params))
        return {name: scores[name] for name in names}

    return scorer
