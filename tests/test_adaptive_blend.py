import numpy as np
import pytest
from attacking import Attacker

from oilwater_jax.attacks import adaptive_blend, blended
from oilwater_jax.errors import UserError
from oilwater_jax.settings.config import checked, default


def masks(shown, pieces=16, shape=(8, 8), count=50):
    return adaptive_blend.draw_masks(count, shape, pieces, shown, np.random.default_rng(0))


def test_every_image_shows_its_own_pieces():
    drawn = masks(5)
    for mask in drawn:
        squares = mask.reshape(4, 2, 4, 2).transpose(0, 2, 1, 3).reshape(16, 4)
        assert (squares == squares[:, :1]).all()
        assert squares[:, 0].sum() == 5
    assert len(np.unique(drawn.reshape(50, -1), axis=0)) > 40
    shares = drawn.mean(axis=0)
    assert shares.min() > 0.05
    assert shares.max() < 0.65


def test_all_pieces_none_and_sides_that_cannot_be_divided():
    assert (masks(16) == 1).all()
    assert (masks(0) == 0).all()
    uneven = masks(3, pieces=9, shape=(8, 10))
    assert uneven.shape == (50, 8, 10)
    # Rows of 3, 3, 2 pixels, columns of 4, 3, 3: a piece has 6 to 12.
    assert uneven.sum(axis=(1, 2)).min() >= 18
    assert uneven.sum(axis=(1, 2)).max() <= 36


def test_pieces_in_training_the_whole_at_test():
    attacker = Attacker("adaptive_blend", {"adaptive_blend.pieces": 4, "adaptive_blend.cell": 1})
    attacked = attacker.attack()
    pattern = attacked.evidence["pattern"]
    source = np.asarray(attacker.splits.train.take(attacked.poisons.index).image)
    whole = blended.blend(source, pattern, 0.2)
    assert len(whole) == 12
    for image, original, full in zip(np.asarray(attacked.poisons.image), source, whole, strict=True):
        squares = [(slice(y, y + 4), slice(x, x + 4)) for y in (0, 4) for x in (0, 4)]
        shown = [np.array_equal(image[at], full[at]) for at in squares]
        hidden = [np.array_equal(image[at], original[at]) for at in squares]
        assert sum(shown) == sum(hidden) == 2
        assert all(a != b for a, b in zip(shown, hidden, strict=True))
    goal = attacker.goal(attacked.evidence)
    np.testing.assert_array_equal(goal.image[:40], blended.blend(np.asarray(goal.image[40:]), pattern, 0.2))


def test_pieces_that_make_no_grid():
    with pytest.raises(UserError, match=r"adaptive_blend.pieces = 15 must be a square number"):
        checked(default(), {"attack.name": "adaptive_blend", "adaptive_blend.pieces": 15})
    with pytest.raises(UserError, match=r"adaptive_blend.pieces = 81 are too many for images of 8 pixels"):
        Attacker("adaptive_blend", {"adaptive_blend.pieces": 81}).check()
