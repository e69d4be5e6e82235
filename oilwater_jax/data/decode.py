"""From the bytes of an image file to the pixels that a network takes, uint8 [s, s, 3]; published sets have s = 224.

As torchvision does on Pillow's images: bilinear, antialiased, cropped about the centre.
"""

import io
import struct
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

SIDE = 224
FORMATS = (
    "JPEG",
    "PNG",
)  # of published sets; nothing else is opened: some of Pillow's readers start programs
USUAL_FORMATS = (*FORMATS, "BMP", "GIF", "PPM", "TIFF", "WEBP")  # of a user's own
MOST_PIXELS = 50_000_000
MOST_PER_BYTE = 1000  # pixels of a JPEG for each byte; one of a single colour has about 170


class Preprocessing(NamedTuple):
    """What is done to an opened RGB image; the name is part of the cache's key, so it changes when the pixels do."""

    name: str
    apply: Callable[[Image.Image], Image.Image]
    side: int = SIDE
    formats: tuple[str, ...] = FORMATS


def _resize_then_crop(image: Image.Image) -> Image.Image:
    margin = (256 - SIDE) // 2
    # To a square, whatever the shape, as the group DRO code does it that later work on Waterbirds follows.
    square = image.resize((256, 256), Image.Resampling.BILINEAR)
    return square.crop((margin, margin, margin + SIDE, margin + SIDE))


def _crop_then_resize(image: Image.Image) -> Image.Image:
    side = 178
    if min(image.size) < side:
        raise ValueError(
            f"{image.width} x {image.height} pixels are less than the {side} x {side} of the crop"
        )
    # round() as torchvision's centre crop has it
    left, top = (round((length - side) / 2) for length in image.size)
    return image.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)


RESIZE_256_CROP_224 = Preprocessing("resize256-crop224-1", _resize_then_crop)
"""Waterbirds': the whole image to 256 x 256, its middle 224 x 224."""

CROP_178_RESIZE_224 = Preprocessing("crop178-resize224-1", _crop_then_resize)
"""CelebA's: the middle 178 x 178 of the aligned face (178 x 218), to 224 x 224."""


def whole_to_square(side: int) -> Preprocessing:
    """The whole image, of whatever shape, to side x side."""

    def apply(image: Image.Image) -> Image.Image:
        return image.resize((side, side), Image.Resampling.BILINEAR)

    return Preprocessing(f"whole{side}-1", apply, side, USUAL_FORMATS)


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any mode in 8 bits and three colours; of 16 bits the upper 8, transparency is left out."""
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).clip(0, 65_535) >> 8).astype(np.uint8))
    return image.convert("RGB")


def decode(data: bytes, preprocessing: Preprocessing) -> UInt8[np.ndarray, "s s 3"]:
    """The pixels of an image file. Raises ValueError if it is none, is damaged, cut off, too small or huge."""
    formats = preprocessing.formats
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels are too many")
            if image.format == "JPEG" and image.width * image.height > MOST_PER_BYTE * len(data):
                # The library would fill up what is not there with grey, and say nothing.
                raise ValueError(
                    f"{image.width} x {image.height} pixels are more than its {len(data)} bytes can hold"
                )
            return np.asarray(preprocessing.apply(_to_rgb(image)))
    except UnidentifiedImageError as error:  # whose own message is an address in memory
        raise ValueError(f"not a {' or '.join(formats)} image") from error
    except (OSError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError, MemoryError) as error:
        raise ValueError(" ".join(str(error).split())) from error
