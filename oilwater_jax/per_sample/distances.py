"""Distances between gradients, a block of rows at a time; the last layer's without forming its outer products."""

import functools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class LastLayer(NamedTuple):
    """Gradients of n samples in the last layer's weights (and bias), as factors of their outer products.

    The gradient of sample i in the kernel [d, k] is features[i] error[i]^T; a last column of ones in `features`
    stands for the bias. Of two samples <f a^T, g b^T> = <f, g> <a, b>, so norms, inner products and distances
    need n (d + k) numbers, not n d k.
    """

    error: Float[np.ndarray, "n k"]  # softmax - onehot, the gradient in the logits
    features: Float[np.ndarray, "n d"]

    def norms(self) -> Float[np.ndarray, " n"]:
        """L2 norms of the gradients."""
        return np.linalg.norm(self.error, axis=1) * np.linalg.norm(self.features, axis=1)


Vectors = Float[np.ndarray, "n p"] | LastLayer


def _product(arrays: Iterable[np.ndarray]) -> np.ndarray:
    return functools.reduce(np.multiply, arrays)


def distance_blocks(
    rows: Vectors, columns: Vectors, block: int = 1024
) -> Iterator[tuple[int, Float[np.ndarray, "b m"]]]:
    """Euclidean distances [n, m], `block` rows at a time, each with its first row's number; float32.

    By |a - b|^2 = |a|^2 + |b|^2 - 2 <a, b> in float64, which leaves an error of about 1e-8 of the vectors' norms.
    Raises ValueError for one set of vectors as factors and one not.
    """
    if isinstance(rows, LastLayer) != isinstance(columns, LastLayer):
        raise ValueError("distances between a LastLayer and an array: both must be of one kind")
    ours, theirs = (tuple(v) if isinstance(v, LastLayer) else (v,) for v in (rows, columns))

    def part(factors: tuple[np.ndarray, ...], start: int) -> tuple[list[np.ndarray], np.ndarray]:
        """Some vectors' factors in float64, and the vectors' squared norms."""
        own = [factor[start : start + block].astype(np.float64) for factor in factors]
        return own, _product(np.einsum("ij,ij->i", factor, factor) for factor in own)

    for start in range(0, len(ours[0]), block):
        own, own_squared = part(ours, start)
        distance = np.empty((len(own[0]), len(theirs[0])), np.float32)
        for first in range(0, len(theirs[0]), block):
            others, squared = part(theirs, first)
            inner = _product(one @ other.T for one, other in zip(own, others, strict=True))
            tile = np.maximum(own_squared[:, None] + squared[None] - 2 * inner, 0.0)
            distance[:, first : first + block] = np.sqrt(tile)
        yield start, distance


def pairwise_distances(rows: Vectors, columns: Vectors | None = None) -> Float[np.ndarray, "n m"]:
    """All Euclidean distances at once, float32; of the rows to one another if no columns are given.

    Raises what `distance_blocks` raises; use that where n x m numbers are too many.
    """
    blocks = distance_blocks(rows, rows if columns is None else columns)
    distances = np.concatenate([block for _, block in blocks])
    if columns is None:
        np.fill_diagonal(distances, 0.0)
    return distances
