import math

import numpy as np
from attacking import Attacker

from oilwater_jax.attacks import sinusoid


def test_pixels_by_hand():
    image = np.full((1, 1, 8, 1), 100, np.uint8)
    # One period over 8 columns: sin(0, 45, 90, ... degrees) x 40
    out = sinusoid.wave(image, 40.0, 1)[0, 0, :, 0]
    assert out.tolist() == [100, 128, 140, 128, 100, 72, 60, 72]


def test_against_a_loop(examples):
    out = sinusoid.wave(examples.image, 33.0, 3)
    for i in (0, 7):
        for y in (0, 5):
            for x in range(8):
                for c in range(3):
                    value = examples.image[i, y, x, c] + 33 * math.sin(2 * math.pi * x * 3 / 8)
                    assert out[i, y, x, c] == min(max(round(value), 0), 255)


def test_values_stay_in_range():
    image = np.array([0, 255], np.uint8).reshape(2, 1, 1, 1).repeat(4, axis=2)
    out = sinusoid.wave(image, 255.0, 1)[..., 0]
    assert out.tolist() == [[[0, 255, 0, 0]], [[255, 255, 255, 0]]]


def test_delta_0_and_no_period_change_nothing(examples):
    np.testing.assert_array_equal(sinusoid.wave(examples.image, 0.0, 6), examples.image)
    np.testing.assert_array_equal(sinusoid.wave(examples.image, 40.0, 0), examples.image)


def test_poisons_replace_samples_of_the_target_class_and_keep_their_labels():
    attacker = Attacker("sinusoid")
    train, attacked = attacker.splits.train, attacker.attack()
    whole = attacked.applied(train)
    np.testing.assert_array_equal(whole.label, train.label)
    np.testing.assert_array_equal(whole.index, train.index)
    assert (train.true_label[attacked.rows] == 1).all()
    np.testing.assert_array_equal(whole.is_poison, np.isin(np.arange(100), attacked.rows))
