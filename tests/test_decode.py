import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from oilwater_jax.data import decode as dec


def encoded(image, kind="png"):
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def stripes(width, height):
    """An image whose red is the column and whose green is the row."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.zeros_like(x)], axis=-1).astype(np.uint8)


def test_waterbirds_golden():
    """An image of 256 x 256 is not resized: what remains is the crop, 16 pixels off each side."""
    pixels = dec.decode(encoded(Image.fromarray(stripes(256, 256))), dec.RESIZE_256_CROP_224)
    np.testing.assert_array_equal(pixels, stripes(256, 256)[16:240, 16:240])


def test_waterbirds_stretches_to_a_square():
    """A column ramp over 128 pixels stretches to 256: about half the slope, whatever the height."""
    pixels = dec.decode(encoded(Image.fromarray(stripes(128, 200))), dec.RESIZE_256_CROP_224)
    assert pixels.shape == (224, 224, 3)
    np.testing.assert_allclose(pixels[100, :, 0], (np.arange(16, 240) + 0.5) / 2 - 0.5, atol=1)
    np.testing.assert_allclose(pixels[:, 100, 1], (np.arange(16, 240) + 0.5) * 200 / 256 - 0.5, atol=1)


def test_shrinking_is_antialiased():
    """Lines one pixel wide, every other one white, become an even grey when shrunk by four."""
    lines = np.zeros((1024, 1024, 3), np.uint8)
    lines[:, ::2] = 255
    pixels = dec.decode(encoded(Image.fromarray(lines)), dec.RESIZE_256_CROP_224)
    assert np.abs(pixels.astype(int) - 127).max() <= 2


def test_celeba_golden():
    """The middle 178 x 178 of 178 x 218 are the rows 20 to 197; then 178 stretch to 224."""
    pixels = dec.decode(encoded(Image.fromarray(stripes(178, 218))), dec.CROP_178_RESIZE_224)
    expected = (np.arange(224) + 0.5) * 178 / 224 - 0.5
    np.testing.assert_allclose(pixels[100, :, 0], np.clip(expected, 0, 177), atol=1)
    np.testing.assert_allclose(pixels[:, 100, 1], np.clip(expected + 20, 20, 197), atol=1)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_other_modes_become_rgb(mode):
    image = Image.fromarray(stripes(60, 50)).convert(mode)
    pixels = dec.decode(encoded(image, "jpeg" if mode == "CMYK" else "png"), dec.RESIZE_256_CROP_224)
    assert (pixels.shape, pixels.dtype) == ((224, 224, 3), np.uint8)


def bomb():
    """A PNG that declares 10^10 pixels."""
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunks = [b"IHDR" + header, b"IDAT"]
    packed = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


JPEG = encoded(Image.fromarray(stripes(200, 200)), "jpeg")
FAULTS = {
    "empty": (b"", "not a JPEG or PNG image"),
    "text": (b"<html>", "not a JPEG or PNG image"),
    "cut off": (JPEG[: len(JPEG) // 2], "(?i)truncated"),
    "gif": (encoded(Image.fromarray(stripes(20, 20)), "gif"), "not a JPEG or PNG image"),
    "program": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
        "not a JPEG or PNG image",
    ),
    "bomb": (bomb(), "pixels"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(fault):
    content, message = FAULTS[fault]
    with pytest.raises(ValueError, match=message):
        dec.decode(content, dec.RESIZE_256_CROP_224)


def test_more_pixels_than_wanted_are_refused_before_they_are_decoded(monkeypatch):
    monkeypatch.setattr(dec, "MOST_PIXELS", 200 * 200 - 1)
    with pytest.raises(ValueError, match="200 x 200 pixels are too many"):
        dec.decode(JPEG, dec.RESIZE_256_CROP_224)


@pytest.mark.parametrize("cut", range(0, len(JPEG), len(JPEG) // 12))
def test_a_jpeg_cut_off_anywhere_is_a_value_error(cut):
    with pytest.raises(ValueError, match=r"."):
        dec.decode(JPEG[:cut], dec.CROP_178_RESIZE_224)
