"""Foregrounds over photographs, as Waterbirds was made: a shape whose class is the label, a photograph
whose name is the attribute.

All arithmetic is on integers, so the bytes are the same on every machine.
"""

import numpy as np
from jaxtyping import Int, UInt8

ALPHA_ONE = 256  # alpha, opacity and interpolation weights are in 1/256


def enlarge(images: Int[np.ndarray, "n a a"], size: int) -> Int[np.ndarray, "n size size"]:
    """Bilinear enlargement of square images (values 0..256) to size x size, in integers.

    Outside the source image is 0; pixel centres are aligned.
    """
    n, a, _ = images.shape
    padded = np.zeros((n, a + 2, a + 2), np.int64)
    padded[:, 1:-1, 1:-1] = images
    # Centre of target pixel t in source pixels, in 1/256: (t + 1/2) * a / size - 1/2, and +1 for the padding.
    position = ((2 * np.arange(size) + 1) * a * ALPHA_ONE // (2 * size)) + ALPHA_ONE // 2
    low, part = position // ALPHA_ONE, position % ALPHA_ONE
    rows = padded[:, low] * (ALPHA_ONE - part)[:, None] + padded[:, low + 1] * part[:, None]
    both = rows[:, :, low] * (ALPHA_ONE - part) + rows[:, :, low + 1] * part
    return both // (ALPHA_ONE * ALPHA_ONE)


def reduce(images: Int[np.ndarray, "n a a"], size: int) -> Int[np.ndarray, "n size size"]:
    """Square images made smaller, `size` <= a: means over each target pixel's area, rounded, in integers.

    Raises ValueError if `size` is larger than the images.
    """
    a = images.shape[1]
    if not 0 < size <= a:
        raise ValueError(f"reduce: {size} pixels are not 1 to {a}")
    # In 1/size source pixels, target t spans [t a, (t+1) a] and source s spans [s size, (s+1) size].
    t, s = np.arange(size)[:, None], np.arange(a)
    overlap = np.minimum((t + 1) * a, (s + 1) * size) - np.maximum(t * a, s * size)
    weights = np.maximum(overlap, 0)  # each row sums to a
    return (weights @ images.astype(np.int64) @ weights.T + a * a // 2) // (a * a)


def halve(photo: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The photograph at half its size: rounded means of 2x2 pixels; an odd last row or column is dropped."""
    h, w = photo.shape[0] // 2 * 2, photo.shape[1] // 2 * 2
    wide = photo[:h, :w].astype(np.int64)
    total = wide[0::2, 0::2] + wide[1::2, 0::2] + wide[0::2, 1::2] + wide[1::2, 1::2]
    return ((total + 2) // 4).astype(np.uint8)


def blocks(
    photo: UInt8[np.ndarray, "h w 3"], height: int, width: int
) -> dict[tuple[int, int], UInt8[np.ndarray, "height width 3"]]:
    """The photograph cut into disjoint blocks of height x width, by (row, column); what is left over is unused."""
    rows, columns = photo.shape[0] // height, photo.shape[1] // width
    return {
        (r, c): photo[r * height : (r + 1) * height, c * width : (c + 1) * width]
        for r in range(rows)
        for c in range(columns)
    }


def crops(
    sources: UInt8[np.ndarray, "m h w 3"], size: int, n: int, rng: np.random.RandomState
) -> UInt8[np.ndarray, "n size size 3"]:
    """`n` random crops of size x size pixels, each from one of the m sources.

    Raises ValueError if the sources are smaller than a crop.
    """
    m, h, w, _ = sources.shape
    if min(h, w) < size:
        raise ValueError(f"crops: sources of {h}x{w} pixels are smaller than a crop of {size}")
    which, y, x = (rng.randint(0, high, n, dtype=np.int64) for high in (m, h - size + 1, w - size + 1))
    span = np.arange(size)
    return sources[which[:, None, None], (y[:, None] + span)[:, :, None], (x[:, None] + span)[:, None, :]]


def compose(
    alpha: Int[np.ndarray, "n s s"],
    background: UInt8[np.ndarray, "n size size 3"],
    *,
    top: Int[np.ndarray, " n"],
    left: Int[np.ndarray, " n"],
    shade: Int[np.ndarray, " n"] | Int[np.ndarray, "n s s"],
    opacity: int,
    rim: int,
) -> UInt8[np.ndarray, "n size size 3"]:
    """Paint grey shapes over photographs: out = background (1 - a) + shade a, with a = alpha * opacity.

    `alpha` is the shape's coverage and `opacity` its strength, both in 0..256; `shade` is its grey, 0..255,
    one per shape or one per pixel of it.
    `rim` (0..256) is the strength of a dark outline one pixel wide that sets the shape off from any background.
    Raises ValueError if a shape reaches outside its background.
    """
    n, s, _ = alpha.shape
    size = background.shape[1]
    if n and (min(top.min(), left.min()) < 0 or max(top.max(), left.max()) + s > size):
        raise ValueError(f"compose: a shape of {s} pixels reaches outside {size} pixels")
    span, which = np.arange(s), np.arange(n)[:, None, None]
    at = (which, (top[:, None] + span + 1)[:, :, None], (left[:, None] + span + 1)[:, None, :])
    placed = np.zeros((n, size + 2, size + 2), np.int32)
    placed[at] = alpha
    out = background.astype(np.int32)
    if rim:
        grown = np.zeros((n, size, size), np.int32)
        for dy, dx in np.ndindex(3, 3):
            np.maximum(grown, placed[:, dy : dy + size, dx : dx + size], out=grown)
        out = out * (ALPHA_ONE - (grown * rim // ALPHA_ONE))[..., None] // ALPHA_ONE
    cover = (placed[:, 1:-1, 1:-1] * opacity // ALPHA_ONE)[..., None]
    grey = np.zeros_like(placed)
    grey[at] = shade if shade.ndim == 3 else shade[:, None, None]
    grey = grey[:, 1:-1, 1:-1, None]
    out = (out * (ALPHA_ONE - cover) + grey * cover + ALPHA_ONE // 2) // ALPHA_ONE
    return out.astype(np.uint8)
