"""What is told while work goes on, where there is no terminal."""

import re
import threading
import time

import pytest
from rich.progress import Progress as Bars

from oilwater_jax.reporting import progress
from oilwater_jax.reporting.progress import Progress, duration, where


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "60 min"), (5400, "1.5 h")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_the_time_that_is_left():
    clock = iter(range(0, 1000, 10))  # every look at the clock is 10 s later
    bars = Bars(disable=True, get_time=lambda: next(clock), speed_estimate_period=progress.AVERAGED)
    task = bars.add_task("erm", total=10)
    assert where(bars.tasks[0]) == "erm: 0 of 10"  # nothing to estimate from
    bars.update(task, completed=1)  # at 10 s
    bars.update(task, completed=2)  # at 20 s: 0.1 per second, so 80 s for the other 8
    assert where(bars.tasks[0]) == "erm: 2 of 10, about 1 min left"
    bars.update(task, completed=10)
    assert where(bars.tasks[0]) == "erm: 10 of 10"


def test_off_a_terminal_there_is_a_line_now_and_then(monkeypatch, capsys):
    monkeypatch.setattr(progress, "EVERY", 0.02)
    expected = (
        r"\[ +\d+\.\d s\] seed0/jtt: 3 of 10, about .* left \(loss 0.250  val wga 50.0\); stages: 0 of 12"
    )
    said, until = "", time.monotonic() + 60
    with Progress() as one:
        one.begin(12)
        one.stage("seed0/jtt", 10)
        for epoch in (1, 2, 3):
            time.sleep(0.01)
            one.epoch({"stage": "seed0/jtt", "epoch": epoch, "loss": 0.25, "val_wga": 0.5})
        while not re.search(expected, said) and time.monotonic() < until:
            time.sleep(0.02)
            said += capsys.readouterr().err
    assert re.search(expected, said)
    assert not any(one.name == "progress" and one.is_alive() for one in threading.enumerate())


def test_a_listener_is_told_nothing_of_it(monkeypatch, capsys):
    monkeypatch.setattr(progress, "EVERY", 0.01)
    with Progress(pytest.fail) as one:
        one.stage("seed0/jtt", 10)
        time.sleep(0.05)
    assert capsys.readouterr().err == ""
