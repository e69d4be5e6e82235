import os
import signal
import subprocess
import sys
import time

import pytest

from oilwater_jax import preemption
from oilwater_jax.preemption import Preempted


def sigterm():
    os.kill(os.getpid(), signal.SIGTERM)


AT_ONCE = """
import os, signal, sys
from pathlib import Path
from oilwater_jax import files, preemption
signal.signal(signal.SIGINT, signal.default_int_handler)
number = signal.Signals[sys.argv[1]]

def write(file):
    file.write(b"half")
    try:
        os.kill(os.getpid(), number)
        import json
    except BaseException:
        print("swallowed")

with preemption.heard(at_once=True):
    files.write_whole(Path(sys.argv[2]) / "f", write)
print("still here")
"""


@pytest.mark.parametrize(
    ("name", "code", "said"), [("SIGTERM", 75, "preempted (SIGTERM)"), ("SIGINT", 130, "interrupted")]
)
def test_at_once_the_process_ends_and_nothing_can_swallow_it(name, code, said, tmp_path):
    done = subprocess.run([sys.executable, "-c", AT_ONCE, name, tmp_path], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr == f"oilwater: {said}; run the same command to resume from the last checkpoint\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_held_back_it_stops_at_the_end(number):
    came = []

    def epoch():
        with preemption.held_back():
            for step in (lambda: os.kill(os.getpid(), number), int):
                step()
                came.append(preemption.came())

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have made us deaf to it
    try:
        with preemption.heard(at_once=True), pytest.raises(Preempted) as caught:
            epoch()
    finally:
        signal.signal(signal.SIGINT, before)
    assert came == [True, True]
    assert preemption.said(caught.value)[1] == {signal.SIGTERM: 75, signal.SIGINT: 130}[number]


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


def test_afterwards_the_handlers_are_those_before_and_nothing_has_come():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with preemption.heard(at_once=True):
        with preemption.heard(at_once=False):
            sigterm()
        assert preemption.came()  # the outer block still has to leave
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    assert not preemption.came()


DEAF = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "


@pytest.mark.parametrize("delay", [0.15, 0.3, 0.6, 1.0, 1.6, 2.4])
def test_an_early_ctrl_c_is_one_line(delay, tmp_path):
    """While the package, JAX and the data are loaded: nothing swallows it, nothing else is said."""
    code = DEAF + "sys.stdout.write('x'); sys.stdout.flush(); from oilwater_jax.__main__ import main; main()"
    arguments = ["run", "--config=configs/waterdigits/dlbd.py", f"--workdir={tmp_path / 'run'}"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments, "--config.smoke=true"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=os.path.dirname(os.path.dirname(__file__)),
    )
    assert process.stdout is not None
    process.stdout.read(1)
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 130
    assert (
        err.splitlines()[-1]
        == "oilwater: interrupted; run the same command to resume from the last checkpoint"
    )
    assert "Traceback" not in err
