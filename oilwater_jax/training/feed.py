"""Placement of a training set: whole on every device, or streamed from the host batch by batch.

Which of the two is decided from its size and the device's memory; both train the same models. Streaming is in the
order of the draws, a few batches ahead of the training, by grain; it begins at any batch, so that a training that was
interrupted in an epoch resumes there.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Int, Shaped

from oilwater_jax import devices
from oilwater_jax.images import Inputs, pick
from oilwater_jax.types import Rows

CAPACITY_STEP = 512  # rows; data sets of nearly the same size share their compiled programs
SHARE = 0.3  # of a device's memory that a training set may take; the rest is the model's, and a CPU's host's
LINE = 128  # numbers side by side: the lanes of a TPU's registers
AHEAD = 4  # batches that are read and sent before they are needed


class Batch(NamedTuple):
    """What one training step sees; rows where `mask` is False are padding."""

    image: Shaped[Array, "b ..."]
    label: Int[Array, " b"]
    group: Int[Array, " b"]
    sample: Int[Array, " b"]
    mask: Bool[Array, " b"]

    @property
    def rows(self) -> Rows:
        """What an objective sees of it."""
        return Rows(self.label, self.group, self.sample, self.mask)


class Resident(NamedTuple):
    """A training set whole on every device, filled up with zero rows to a multiple of CAPACITY_STEP.

    A sample lies in lines of LINE numbers. That is a TPU's own layout, in which rows can be picked out; of images as
    they are, XLA makes a copy in another layout in every dispatch, 0.8 GB of Waterbirds (experiments/scale).
    """

    lines: Shaped[Array, "n lines line"]
    label: Int[Array, " n"]
    group: Int[Array, " n"]
    like: Shaped[Array, "0 ..."]  # no samples, of a sample's shape

    def batch(self, rows: Int[Array, " b"], mask: Bool[Array, " b"]) -> Batch:
        """The rows of a batch, picked out on the device."""
        shape = self.like.shape[1:]
        image = self.lines[rows].reshape(len(rows), -1)[:, : math.prod(shape)].reshape(len(rows), *shape)
        return Batch(image, self.label[rows], self.group[rows], rows, mask)


def lines_of(shape: tuple[int, ...]) -> tuple[int, int]:
    """In how many lines a sample of this shape lies; the last may be filled up."""
    return -(-math.prod(shape) // LINE), LINE


class Streamed(NamedTuple):
    """A training set on the host, its images often on disk."""

    image: Inputs
    label: Int[np.ndarray, " n"]
    group: Int[np.ndarray, " n"]

    def batches(
        self, rows: Int[np.ndarray, "steps b"], mask: Bool[np.ndarray, "steps b"], first: int
    ) -> Iterator[Batch]:
        """The batches from number `first` on, each cut along the devices; threads read and send ahead."""
        import grain  # slow, and seldom needed

        def send(step: int) -> Batch:
            at = rows[step]
            columns = (pick(self.image, at), self.label[at], self.group[at], at, mask[step])
            return Batch(*map(devices.shard_rows, columns))

        reading = grain.ReadOptions(num_threads=AHEAD, prefetch_buffer_size=AHEAD)
        return iter(grain.MapDataset.range(first, len(rows)).map(send).to_iter_dataset(reading))


def streams(placement: str, nbytes: int, memory: int) -> bool:
    """Whether to stream a training set of this size; "auto": if it exceeds SHARE of a device's memory."""
    return placement == "streamed" or (placement == "auto" and nbytes > SHARE * memory)


def place(
    image: Inputs, label: Int[np.ndarray, " n"], group: Int[np.ndarray, " n"], *, stream: bool = False
) -> Resident | Streamed:
    """A training set ready for an epoch: on the device (of several whole on each), or left on the host."""
    if stream:
        return Streamed(image, label, group)
    n = len(image)
    full, shape = n + -n % CAPACITY_STEP, image.shape[1:]
    # Zeros, which are never drawn, and in a sample never looked at.
    whole = np.zeros((full, math.prod(lines_of(shape))), image.dtype)
    for start in range(0, n, CAPACITY_STEP):
        part = image[start : start + CAPACITY_STEP]
        whole[start : start + len(part), : math.prod(shape)] = part.reshape(len(part), -1)
    columns = (np.concatenate([one, np.zeros(full - n, one.dtype)]) for one in (label, group))
    lines = whole.reshape(full, *lines_of(shape))
    return Resident(*map(devices.replicate, (lines, *columns, np.zeros((0, *shape), image.dtype))))
