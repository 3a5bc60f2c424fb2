"""Windows and macOS as far as they differ for this package, on whatever system the tests run."""

import errno

import pytest

HELD = "The process cannot access the file because it is being used by another process"


@pytest.fixture
def windows(monkeypatch):
    """The package takes this system for Windows."""
    for place in ("options.system", "options.calling", "files.names", "parallel.interrupts"):
        monkeypatch.setattr(f"tinygrad_arith.{place}.on_windows", lambda: True)


@pytest.fixture
def clock(monkeypatch):
    """Time that only passes when a retry sleeps; the list of how long each one did."""
    slept = []
    monkeypatch.setattr("tinygrad_arith.files.durability.time.monotonic", lambda: sum(slept))
    monkeypatch.setattr("tinygrad_arith.files.durability.time.sleep", slept.append)
    return slept


@pytest.fixture
def held_error():
    """A function from a path to what Windows says of a file that another program has open."""

    def error(path, number=32):
        found = PermissionError(errno.EACCES, HELD, str(path))
        found.winerror = number
        return found

    return error
