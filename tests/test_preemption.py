import os
import signal

import pytest

from oilwater_jax import preemption
from oilwater_jax.preemption import Preempted


def sigterm():
    os.kill(os.getpid(), signal.SIGTERM)


def test_at_once_it_stops_as_ctrl_c_does():
    with pytest.raises(KeyboardInterrupt) as caught, preemption.heard(at_once=True):
        sigterm()
    assert caught.type is Preempted


def test_held_back_it_stops_at_the_end():
    came = []

    def epoch():
        with preemption.held_back():
            for step in (sigterm, int):
                step()
                came.append(preemption.came())

    with preemption.heard(at_once=True):
        with pytest.raises(Preempted):
            epoch()
        assert came == [True, True]
        with pytest.raises(Preempted):  # no longer held back
            sigterm()


def test_not_at_once_it_is_only_noted():
    with preemption.heard(at_once=False):
        with preemption.held_back():
            sigterm()
        assert preemption.came()


def test_another_error_is_not_hidden_by_a_signal_that_waited():
    def epoch():
        with preemption.heard(at_once=True), preemption.held_back():
            sigterm()
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        epoch()


def test_afterwards_the_handler_is_the_one_before_and_nothing_has_come():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Preempted), preemption.heard(at_once=True):
        sigterm()
    assert signal.getsignal(signal.SIGTERM) is before
    assert not preemption.came()
