"""Where gradcheck checks: a user's file in a process of its own, whatever that does; ours on all cores."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tinygrad_arith
from tinygrad_arith.cli.gradcheck import main
from tinygrad_arith.gradcheck_suite import subjects as gradient_subjects
from tinygrad_arith.gradcheck_suite.suite import rough_cost

ROOT = Path(tinygrad_arith.__file__).parents[1]
posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no signals and no groups of processes")


@pytest.fixture
def gradcheck(call_command):
    """A function from flags to (exit code, stdout, stderr)."""
    return lambda *flags: call_command(main, *flags)


SQUARE = """
import os, signal, sys
def square_forward(x):
    return x * x, x
def square_backward(dy, x):
    return 2 * dy * x
def square_inputs(rng):
    return (rng.normal(size=(2, 3)),)
"""
BODIES = {"forward": "return x * x, x", "backward": "return 2 * dy * x", "inputs": "return (rng.normal(size=(2, 3)),)"}
LINES = {"forward": 4, "backward": 6, "inputs": 8}


def square(part, statement):
    """The pair with a statement in place of the body of its forward, backward or inputs."""
    return SQUARE.replace(BODIES[part], statement)


def start(*flags, **options):
    """The command as a process, from another folder than the user's file."""
    command = [sys.executable, "-m", "tinygrad_arith.gradcheck", *flags]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, **options)


def wait_for(condition, seconds=60):
    """Waits until a condition holds; fails if it never does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{pid}/stat")  # one that nobody has waited for yet is no stray
    return state.is_file() and state.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"


# A file that ends the program


@pytest.mark.parametrize("exits", ["sys.exit(0)", "sys.exit()", "quit()", "raise SystemExit", "os._exit(0)"])
def test_a_file_that_ends_the_program_is_not_checked_and_says_so(gradcheck, my_ops, exits):
    code, out, err = gradcheck("--file", my_ops(SQUARE + f"{exits}\n"))
    assert (code, out) == (1, "")
    assert err == (
        "error: my_ops.py:9: the file ends the program here, before its pairs are checked; "
        'put this line under if __name__ == "__main__":\n'
    )


def test_the_line_of_a_users_file_is_named_though_the_program_ends_elsewhere(gradcheck, my_ops):
    code, _, err = gradcheck("--file", my_ops("import unittest\n" + SQUARE + "unittest.main(argv=['x'])\n"))
    assert code == 1
    assert "error: my_ops.py:10: the file ends the program here" in err


@pytest.mark.parametrize("exits", ["sys.exit(0)", "os._exit(0)"])
@pytest.mark.parametrize("part", ["forward", "backward"])
def test_a_function_that_ends_the_program_has_failed(gradcheck, my_ops, part, exits):
    code, out, err = gradcheck("--file", my_ops(square(part, exits)))
    assert (code, err) == (1, "")
    place = f"SystemExit in square_{part} (my_ops.py:{LINES[part]})"
    assert f"square, draw 1 of square_inputs: {place}: the code ends the program instead of returning" in out
    assert "FAILED: square" in out


@pytest.mark.parametrize("exits", ["sys.exit(0)", "os._exit(0)"])
def test_inputs_that_end_the_program_are_one_sentence(gradcheck, my_ops, exits):
    code, out, err = gradcheck("--file", my_ops(square("inputs", exits)))
    assert (code, out) == (1, "")
    assert err == "error: my_ops.py:8: square_inputs ends the program instead of returning inputs\n"


@posix
@pytest.mark.parametrize("dies", ["os.kill(os.getpid(), signal.SIGKILL)", "import ctypes; ctypes.string_at(0)"])
def test_a_process_that_dies_is_a_failure_of_its_pair_and_the_others_are_checked(gradcheck, my_ops, dies):
    more = "".join(SQUARE.replace("square", name) for name in ("second", "third"))
    code, out, _ = gradcheck("--file", my_ops(square("forward", dies) + more), "--json")
    first, second, third = json.loads(out)["checks"]
    assert code == 1
    (failure,) = first["failures"]
    assert failure.startswith("square (my_ops.py): the process that checked it was ended by SIG")
    assert not first["passed"]
    assert (second["name"], second["passed"]) == ("second", True)
    assert (third["name"], third["passed"]) == ("third", True)


@posix
def test_a_process_that_dies_while_the_file_is_run_is_one_sentence(gradcheck, my_ops):
    code, out, err = gradcheck("--file", my_ops(SQUARE + "os.kill(os.getpid(), signal.SIGKILL)\n"))
    assert (code, out) == (1, "")
    assert err == "error: my_ops.py: the process that ran this file was ended by SIGKILL\n"


# What else a file may do


def test_what_a_file_prints_goes_to_stderr(my_ops):
    source = "print('loaded \u2713')\n" + square("forward", "print('here'); return x * x, x")
    command = start("--file", my_ops(source + "os.system('echo from a shell')\n"), "--json", encoding="utf-8")
    out, err = command.communicate(timeout=60)
    assert command.returncode == 0
    assert json.loads(out)["passed"]
    for text in ("loaded", "here", "from a shell"):
        assert text in err


def test_a_file_has_nothing_to_read(gradcheck, my_ops):
    code, out, err = gradcheck("--file", my_ops(SQUARE + "input()\n"))
    assert (code, out) == (1, "")
    assert err == "error: my_ops.py:9: EOFError: EOF when reading a line\n"


@pytest.mark.parametrize("name", ["my_ops.py", "my ops.py"])
@pytest.mark.parametrize("how", ["spawn", "fork"])
def test_a_file_may_start_processes(gradcheck, my_ops, how, name):
    if how == "fork" and os.name == "nt":
        pytest.skip("Windows cannot fork")
    source = f"""
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
import numpy as np

def squared(x):
    return x * x

pool = None

def square_forward(x):
    global pool
    pool = pool or ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("{how}"))
    return pool.submit(squared, x).result(), x

def square_backward(dy, x):
    return 2 * dy * x

def square_inputs(rng):
    return (rng.normal(size=2),)
"""
    code, out, err = gradcheck("--file", my_ops(source, name))
    assert (code, err) == (0, ""), out


@pytest.mark.parametrize(
    "reads",
    [
        "import argparse; argparse.ArgumentParser().parse_args()",
        "import getopt; getopt.getopt(sys.argv[1:], 'n:')",
        "steps = int(sys.argv[1])",
    ],
)
def test_a_file_that_reads_a_command_line_says_where(gradcheck, my_ops, reads):
    code, out, err = gradcheck("--file", my_ops(SQUARE + f"{reads}\n"))
    assert (code, out) == (1, "")
    assert err == (
        "error: my_ops.py:9: the file reads the arguments of a command line here, and has none while it is checked; "
        'put this line under if __name__ == "__main__":\n'
    )


def test_a_file_sees_the_command_line_of_a_program_without_arguments(gradcheck, my_ops):
    assert gradcheck("--file", my_ops(SQUARE + "assert sys.argv == [__file__] == [sys.argv[0]]\n"))[0] == 0


def test_a_file_called_like_a_module_does_not_take_its_place(gradcheck, my_ops):
    assert gradcheck("--file", my_ops("import random\nrandom.seed(1)\n" + SQUARE, "inspect.py"))[0] == 0


@pytest.mark.parametrize("statement", ["raise KeyboardInterrupt", "signal.raise_signal(signal.SIGINT)"])
@pytest.mark.parametrize("part", ["forward", "inputs"])
def test_an_interrupt_in_a_users_code_is_one(gradcheck, my_ops, part, statement):
    assert gradcheck("--file", my_ops(square(part, statement))) == (130, "", "interrupted\n")


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("return square_forward(x)", "RecursionError in square_forward (my_ops.py:4): maximum recursion"),
        ("raise MemoryError", "MemoryError in square_forward (my_ops.py:4)"),
        ("class Stop(BaseException): pass\n    raise Stop('now')", "Stop in square_forward (my_ops.py:5): now"),
    ],
)
def test_whatever_a_function_raises_is_one_sentence(gradcheck, my_ops, statement, sentence):
    code, out, err = gradcheck("--file", my_ops(square("forward", statement)))
    assert (code, err) == (1, "")
    (line,) = (line for line in out.splitlines() if "draw 1" in line)
    assert line.startswith(f"square, draw 1 of square_inputs: {sentence}")


# Where the output goes


@posix
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_closed_stdout_is_one_sentence(my_ops, flags):
    command = ["sh", "-c", 'exec "$0" -m tinygrad_arith.gradcheck --op relu "$@" >&-', sys.executable, *flags]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "error: stdout is closed; send it to a file, or to the null device if it is not wanted\n"


@posix
@pytest.mark.parametrize("flags", ["", "--json"])
def test_a_reader_that_has_left_is_no_traceback(my_ops, flags):
    script = f'"$0" -m tinygrad_arith.gradcheck --op relu {flags} | true; exit ${{PIPESTATUS[0]}}'
    ended = subprocess.run(["bash", "-c", script, sys.executable], capture_output=True, text=True, cwd=ROOT)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", "")


# Ctrl-C

WAITS = SQUARE.replace(
    "    return x * x, x",
    """    import multiprocessing, time
    other = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(1000,))
    other.start()
    with open(__file__ + ".pids", "w") as file:
        print(os.getpid(), other.pid, "", file=file)
    time.sleep(1000)""",
)


@posix
@pytest.mark.parametrize(("number", "code", "said"), [("SIGINT", 130, "interrupted\n"), ("SIGKILL", -9, "")])
def test_no_process_outlives_the_command(my_ops, number, code, said):
    path = my_ops(WAITS)
    noted = Path(path + ".pids")
    command = start("--file", path)
    try:
        wait_for(lambda: noted.is_file() and noted.read_text(encoding="utf-8").endswith("\n"))
        command.send_signal(getattr(signal, number))
        out, err = command.communicate(timeout=60)
    finally:
        command.kill()
    assert (command.returncode, out, err) == (code, "", said)
    for pid in noted.read_text(encoding="utf-8").split():
        wait_for(lambda pid=pid: is_gone(int(pid)))


@posix
def test_ctrl_c_ends_the_processes_that_check_ours():
    command = start("--jobs", "2")
    try:
        time.sleep(2)  # at the start of a process, between two subjects or in the midst of one: never a traceback
        command.send_signal(signal.SIGINT)
        out, err = command.communicate(timeout=60)
    finally:
        command.kill()
    assert (command.returncode, out, err) == (130, "", "interrupted\n")


# Several at a time


def test_several_processes_find_what_one_finds_in_the_same_order(gradcheck):
    wanted = ["linear", "relu", "tanh", "LayerNorm", "Identity"]
    flags = [flag for name in wanted for flag in ("--op", name)]
    found = []
    for jobs in ("1", "2", "9"):
        code, out, err = gradcheck(*flags, "--jobs", jobs, "--json")
        assert (code, err) == (0, "")
        found.append([{**check, "seconds": 0} for check in json.loads(out)["checks"]])
    assert [check["name"] for check in found[0]] == wanted
    assert found[1] == found[0]
    assert found[2] == found[0]


def test_the_pairs_of_a_file_may_be_checked_side_by_side(gradcheck, my_ops):
    path = my_ops("".join(SQUARE.replace("square", name) for name in ("first", "second", "third")))
    code, out, _ = gradcheck("--file", path, "--jobs", "2", "--json")
    assert code == 0
    assert [check["name"] for check in json.loads(out)["checks"]] == ["first", "second", "third"]


def test_a_model_is_larger_than_an_operation():
    cost = {s.name: rough_cost(s) for s in gradient_subjects.all_subjects() if s.name in ("window-gpt", "linear")}
    assert cost["window-gpt"] > 10 * cost["linear"]  # by a factor of thousands: the machine may be busy


@pytest.mark.parametrize("value", ["0", "-1", "two", ""])
def test_a_bad_number_of_jobs_is_one_sentence(gradcheck, value):
    code, out, err = gradcheck("--jobs", value)
    assert (code, out) == (2, "")
    assert err.startswith("error: --jobs: must be a whole number of at least 1")
