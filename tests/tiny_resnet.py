"""A network named `tiny`: two blocks, one of them with a stride, with batch normalisation and torchvision's names."""

from typing import Any

from registering import registered

from oilwater_jax.models import resnet

shapes: dict[str, Any] = resnet.SHAPES

shapes["tiny"] = ((1, 1), False)
ENTRY = resnet.resnet("tiny")


def known():
    """It is a registered network inside."""
    return registered(ENTRY)
