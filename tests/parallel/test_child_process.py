"""A child finds what its parent finds, gets its open files, and warns of nothing that the parent has told."""

import json
import os
import subprocess
import sys

import pytest

from tinygrad_arith.options.errors import UserError
from tinygrad_arith.parallel import child_process
from tinygrad_arith.parallel.child_process import ChildProcess, python_module

posix = pytest.mark.skipif(os.name == "nt", reason="sh closes what Windows has not")
ECHO = """
import sys
from tinygrad_arith.options.errors import warn
from tinygrad_arith.parallel.child_process import Parent

parent = Parent()
for message in parent.messages():
    warn("of something that the parent has told")
    print("by the way")
    parent.answer((__name__, sys.argv[1:], message))
"""


@pytest.fixture(params=["plain", f"with{os.pathsep}a separator"])
def folder(request, tmp_path, monkeypatch):
    """A folder that this process looks into, with a module that answers."""
    found = tmp_path / request.param
    try:
        found.mkdir()
    except OSError as error:
        pytest.skip(f"no such folder can be made here: {error}")
    (found / "echo_for_tests.py").write_text(ECHO, encoding="utf-8")
    monkeypatch.syspath_prepend(found)
    return found


def test_a_child_finds_what_this_process_finds(folder, capfd):
    child = ChildProcess("echo_for_tests", "a task")
    assert child.receive() == ("__main__", [], ("a task",))
    child.close()
    assert child.process.returncode == 0
    out, err = capfd.readouterr()
    assert (out, err.replace("\r", "")) == ("", "by the way\n")


def test_the_words_of_a_command_reach_it(folder):
    (folder / "words_for_tests.py").write_text("import json, sys; print(json.dumps(sys.argv[1:]))", encoding="utf-8")
    command, environment = python_module("words_for_tests", "--a=b c", "'")
    assert json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout) == [
        "--a=b c",
        "'",
    ]


def test_a_child_starts_no_child_of_its_own(folder, capfd):
    """A program that trains wherever it is imported, and is imported by what trains for it, would do so without end."""
    starts = "from tinygrad_arith.parallel import child_process; child_process.ChildProcess('echo_for_tests')"
    (folder / "echo_for_tests.py").write_text(starts, encoding="utf-8")
    child = ChildProcess("echo_for_tests")
    with pytest.raises(UserError, match="ended with status 1"):
        child.receive()
    child.close()
    assert "UserError: a process of a training starts no training of its own;" in capfd.readouterr().err


def test_a_child_that_dies_is_told(folder):
    (folder / "echo_for_tests.py").write_text("import os; os._exit(3)", encoding="utf-8")
    child = ChildProcess("echo_for_tests")
    with pytest.raises(UserError, match="ended with status 3"):
        child.receive()
    child.close()


def test_a_child_that_cannot_be_understood_is_ended(folder, monkeypatch):
    monkeypatch.setattr(child_process, "PATIENCE", 0.1)
    (folder / "echo_for_tests.py").write_text(
        "import sys; print('not pickled', flush=True); sys.stdin.read()", encoding="utf-8"
    )
    child = ChildProcess("echo_for_tests")
    with pytest.raises(UserError, match="ended with status"):
        child.receive()
    child.close()


SHARES = """
import os, sys
import numpy as np
from tinygrad_arith.parallel.child_process import ChildProcess
from tinygrad_arith.parallel.interrupts import leave_terminal, open_closed_streams
from tinygrad_arith.parallel.shared_arrays import SharedArrays

leave_terminal()
open_closed_streams()
shared = SharedArrays(1, 2, np.float32)
child = ChildProcess("echo_for_tests", "a task", descriptors=shared.descriptors)
answer = child.receive()
child.close()
os.write(1, b"1"), os.write(2, b"2")
with open(sys.argv[1], "w") as file:
    print(min(shared.descriptors, default=3) > 2, shared.rows.tolist(), answer[2], file=file)
"""


@posix
def test_a_program_whose_streams_are_closed(tmp_path, monkeypatch):
    (tmp_path / "echo_for_tests.py").write_text(ECHO, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    command = ["sh", "-c", 'exec "$0" -c "$1" "$2" <&- >&- 2>&-', sys.executable, SHARES, str(tmp_path / "found")]
    _, environment = python_module("echo_for_tests")
    assert subprocess.run(command, env=environment, timeout=60).returncode == 0
    assert (tmp_path / "found").read_text(encoding="utf-8") == "True [[0.0, 0.0]] ('a task',)\n"
