import os
import signal
import subprocess
import sys

import pytest

from tinygrad_arith.parallel.interrupts import HANG_UP, STOP_SIGNALS, StopSignals, stop_signals_blocked, to_nowhere

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGHUP, and cannot send signals to itself")


@pytest.fixture
def handlers(hears_hang_up):
    """Puts back what a test sets."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_first_signal_is_noted_and_the_second_one_stops():
    with StopSignals() as signals:
        assert signals.received is None
        signal.raise_signal(signal.SIGINT)
        assert signals.received == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_the_first_signal_is_told_once_and_a_closed_terminal_never(handlers, monkeypatch):
    told = []
    monkeypatch.setattr("tinygrad_arith.parallel.interrupts.leave_terminal", lambda: None)
    for numbers in ((signal.SIGINT,), (signal.SIGTERM, signal.SIGTERM), *([(HANG_UP,)] if HANG_UP else [])):
        with StopSignals(told.append):
            for number in numbers:
                signal.raise_signal(number)
    assert told == [signal.SIGINT, signal.SIGTERM]


def test_the_handlers_are_put_back(handlers):
    with StopSignals():
        assert all(signal.getsignal(number) != before for number, before in handlers.items())
    assert {number: signal.getsignal(number) for number in handlers} == handlers


def test_a_second_sigterm_does_nothing_and_ctrl_c_stops_still(handlers):
    with StopSignals() as signals:
        for number in (signal.SIGTERM, signal.SIGTERM):
            signal.raise_signal(number)
        assert signals.received == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert signals.received == signal.SIGTERM


@posix
def test_a_closed_terminal_may_hang_up_twice(handlers, monkeypatch):
    left = []
    monkeypatch.setattr("tinygrad_arith.parallel.interrupts.leave_terminal", lambda: left.append(True))
    with StopSignals() as signals:
        signal.raise_signal(HANG_UP)
        signal.raise_signal(HANG_UP)
        assert signals.received == HANG_UP
        assert left == [True, True]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert {number: signal.getsignal(number) for number in handlers} == handlers


@posix
def test_nohup_is_obeyed(handlers):
    signal.signal(HANG_UP, signal.SIG_IGN)
    with StopSignals() as signals:
        signal.raise_signal(HANG_UP)
        assert signals.received is None
    assert signal.getsignal(HANG_UP) == signal.SIG_IGN


def test_what_is_written_to_nowhere_is_lost(tmp_path):
    path = tmp_path / "file"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, b"kept")
    to_nowhere(descriptor)
    os.write(descriptor, b"lost")
    os.close(descriptor)
    assert path.read_bytes() == b"kept"


TALKS_AFTER_ITS_TERMINAL_IS_GONE = """
import os, sys, time
from tinygrad_arith.parallel.interrupts import StopSignals

with StopSignals() as signals:
    print("ready", flush=True)
    while not signals.received:
        time.sleep(0.01)
    print("to nobody", flush=True)
    print("to nobody", file=sys.stderr, flush=True)
open(sys.argv[1], "w").write(str(signals.received))
"""


@posix
def test_what_is_written_to_a_closed_terminal_is_no_error(tmp_path, hears_hang_up):
    import pty

    ours, theirs = pty.openpty()
    takes_it = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)"  # as its terminal, which hangs up on it
    child = subprocess.Popen(
        [sys.executable, "-c", takes_it + TALKS_AFTER_ITS_TERMINAL_IS_GONE, tmp_path / "saved"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    assert b"ready" in os.read(ours, 100)
    os.close(ours)
    assert child.wait(timeout=60) == 0
    assert (tmp_path / "saved").read_text(encoding="utf-8") == str(int(HANG_UP))


@posix
def test_a_child_gets_no_stop_signal_and_this_process_does():
    with stop_signals_blocked():
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    for number in STOP_SIGNALS:
        child.send_signal(number)
    child.communicate(b"go on\n")
    assert child.returncode == 0
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
