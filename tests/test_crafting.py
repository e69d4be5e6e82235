"""Crafting: what its poisons promise, whatever shares a dispatch."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from counting import compilations
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_matching import apply, prepare, problem_of, some_images, some_params

from oilwater_jax.attacks import crafting, matching
from oilwater_jax.attacks.crafting import Room, Settings
from oilwater_jax.models.cnn import CNN
from oilwater_jax.per_sample import activation_bytes
from oilwater_jax.training.step import normalise

KEY = jax.random.key(0)


def craft(image, label=None, target_label=2, **changes):
    at_once = changes.pop("at_once", None)
    key, listener = changes.pop("key", KEY), changes.pop("listener", lambda step, of, loss: None)
    params = some_params()
    return crafting.craft(
        apply,
        prepare,
        params,
        image=image,
        label=np.arange(len(image), dtype=np.int32) % 3 if label is None else label,
        target_gradient=matching.target_gradient(apply, prepare, params, some_images(2, 1), target_label),
        settings=Settings(steps=12, restarts=4, shift=0.7)._replace(**changes),
        key=key,
        listener=listener,
        at_once=at_once,
    )


@settings(max_examples=25)
@given(
    eps=st.one_of(st.sampled_from([0.0, 0.9, 1.0, 255.0]), st.floats(0, 255)),
    seed=st.integers(0, 99),
    step_size=st.floats(0, 3),
    extreme=st.booleans(),
)
def test_poisons_are_whole_valid_pixels_within_eps(eps, seed, step_size, extreme):
    image = some_images(3, seed)
    if extreme:
        image = np.where(image < 128, 0, 255).astype(np.uint8)
    before = image.copy()
    crafted = craft(image, eps=eps, step_size=step_size, restarts=2, steps=3, key=jax.random.key(seed))
    np.testing.assert_array_equal(image, before)
    assert crafted.image.dtype == np.uint8
    assert crafted.image.shape == image.shape
    assert np.abs(crafted.image.astype(int) - image).max() <= eps
    assert np.isfinite(crafted.losses).all()
    assert crafted.history.shape == (2, 3)
    if eps < 1:
        np.testing.assert_array_equal(crafted.image, image)


def test_a_large_eps_is_used_to_the_full():
    crafted = craft(some_images(3), eps=16.0)
    assert np.abs(crafted.image.astype(int) - some_images(3)).max() == 16


def test_the_restart_of_the_lowest_final_loss_is_kept_and_its_loss_is_that_of_the_images_returned():
    crafted = craft(some_images(5), shift=0.0)
    assert len(np.unique(crafted.losses)) == 4
    image = jnp.asarray(crafted.image, jnp.float32)
    loss = matching.matching_loss(apply, prepare, problem_of([0, 1, 2, 0, 1], 0.0, False), image, KEY)
    assert float(loss) == pytest.approx(crafted.losses.min(), abs=1e-6)


def test_a_restart_knows_nothing_of_the_others():
    all_four, first_two = craft(some_images(5)), craft(some_images(5), restarts=2)
    np.testing.assert_array_equal(all_four.losses[:2], first_two.losses)
    np.testing.assert_array_equal(all_four.history[:2], first_two.history)


def test_restarts_are_the_same_however_many_run_at_once():
    # The sign of a gradient near 0 is at the mercy of rounding, so a few pixels may differ by a step.
    one, two, four = (craft(some_images(5), at_once=Room(n, 5)) for n in (1, 2, 4))
    for other in (two, four):
        np.testing.assert_allclose(other.history, one.history, atol=1e-4)
        np.testing.assert_allclose(other.losses, one.losses, atol=1e-3)
        assert (other.image == one.image).mean() > 0.95


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_poisons_are_the_same_in_pieces_of_any_size(rows):
    """As with restarts: 5 poisons in pieces that do or do not come out even."""
    whole, pieces = craft(some_images(5)), craft(some_images(5), at_once=Room(1, rows))
    np.testing.assert_allclose(pieces.history, whole.history, atol=1e-4)
    np.testing.assert_allclose(pieces.losses, whole.losses, atol=1e-3)
    assert (pieces.image == whole.image).mean() > 0.95


def test_same_key_same_poisons_other_key_others():
    one, same = craft(some_images(3)), craft(some_images(3))
    np.testing.assert_array_equal(one.image, same.image)
    np.testing.assert_array_equal(one.losses, same.losses)
    assert (one.image != craft(some_images(3), key=jax.random.key(1)).image).any()


def test_other_settings_keys_and_labels_compile_nothing():
    craft(some_images(3))
    with compilations() as compiled:
        other = {"eps": 3.0, "steps": 20, "restarts": 3, "step_size": 0.3, "shift": 0.0, "flip": True}
        craft(some_images(3, 7), np.array([2, 2, 0], np.int32), 1, key=jax.random.key(5), **other)
    assert compiled == []


def test_the_listener_hears_every_tenth_step_and_the_last():
    heard = []
    crafted = craft(some_images(3), steps=25, listener=lambda *news: heard.append(news))
    # 4 restarts one after the other, of 25 steps each.
    assert [step for step, _, _ in heard] == [10, 20, 25, 35, 45, 50, 60, 70, 75, 85, 95, 100]
    assert {of for _, of, _ in heard} == {100}
    assert [loss for _, _, loss in heard[2::3]] == pytest.approx(list(crafted.history[:, -1]))
    heard.clear()
    crafted = craft(some_images(3), steps=25, listener=lambda *news: heard.append(news), at_once=Room(4, 3))
    assert [step for step, _, _ in heard] == [10, 20, 25]
    assert heard[-1][2] == pytest.approx(crafted.history[:, -1].min())


def test_step_sizes_fall_where_the_paper_says():
    rates = crafting.rates(Settings(eps=16, steps=250, step_size=0.1))
    assert np.flatnonzero(np.diff(rates)).tolist() == [92, 155, 217]  # the last step of each size
    np.testing.assert_allclose(rates[[0, 93, 156, 218]], [1.6, 0.16, 0.016, 0.0016], rtol=1e-6)
    assert crafting.rates(Settings(eps=10, steps=1)).tolist() == [1.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eps": -1.0}, r"eps must be in 0..255, not -1.0"),
        ({"eps": 255.5}, r"not 255.5"),
        ({"steps": 0}, r"0 steps, 4 restarts"),
        ({"restarts": 0}, r"12 steps, 0 restarts"),
        ({"at_once": Room(3, 3)}, r"4 restarts cannot run 3 at once"),
        ({"at_once": Room(1, 0)}, r"3 poisons in pieces of 0"),
        ({"at_once": Room(1, 4)}, r"3 poisons in pieces of 4"),
        ({"at_once": Room(2, 2)}, r"3 poisons in pieces of 2, 2 restarts at once"),
    ],
)
def test_settings_out_of_range(changes, message):
    with pytest.raises(ValueError, match=message):
        craft(some_images(3), **changes)


def room(memory, n=10, restarts=8, platform="tpu"):
    """Of the tiny network, whose 180 parameters take 6 x 720 bytes and whose images 128."""
    return crafting.room(
        apply, some_params(), (n, 4, 4, 2), restarts=restarts, platform=platform, memory=memory
    )


def test_as_much_is_done_at_once_as_has_room():
    each = 2 * activation_bytes(apply, some_params(), (4, 4, 2))
    weights = 6 * 4 * (32 * 5 + 5 + 5 * 3)
    restart = 10 * (each + 5 * 128)

    def memory(left):
        return math.ceil((left + weights + 2 * 10 * 128) / crafting.SHARE) + 2

    assert room(10**9) == Room(8, 10)
    assert room(10**9, platform="cpu") == Room(1, 10)
    assert room(memory(3 * restart)) == Room(2, 10)  # 3 do not divide 8
    assert room(memory(restart)) == Room(1, 10)
    assert room(memory(restart) - 10) == Room(1, 5)  # 9 have room: two pieces of 5
    assert room(memory(restart) - 10, platform="cpu") == Room(1, 5)
    assert room(memory(10 * 5 * 128 + 3 * each)) == Room(1, 3)  # 4 pieces of 3
    assert room(1) == Room(1, 1)


def test_no_images():
    with pytest.raises(ValueError, match="no images"):
        craft(some_images(0))


def test_crafting_lowers_the_loss_on_the_network_in_use(waterdigits):
    network, train = CNN(2, (8,)), waterdigits.train
    params = network.init(KEY, jnp.zeros((1, 32, 32, 3)))["params"]

    def cnn(params, image) -> Any:
        return network.apply({"params": params}, image)

    target = waterdigits.test.take(np.flatnonzero(waterdigits.test.label == 0)[:1])
    image = train.image[train.label == 1][:8]
    crafted = crafting.craft(
        cnn,
        normalise,
        params,
        image=image,
        label=np.ones(8, np.int32),
        target_gradient=matching.target_gradient(cnn, normalise, params, target.image, 1),
        settings=Settings(steps=15, restarts=1),
        key=KEY,
    )
    assert (crafted.losses < 0.95 * crafted.history[:, 0]).all()
