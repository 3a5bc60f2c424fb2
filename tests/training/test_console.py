import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_arith
from tinygrad_arith.tasks.options import did_you_mean
from tinygrad_arith.training import console
from tinygrad_arith.training.console import (
    as_bytes,
    as_duration,
    as_share,
    data_table,
    only_warn,
    print_facts,
    run_door,
)
from tinygrad_arith.training.errors import MisuseError, UserError

ROOT = Path(tinygrad_arith.__file__).parents[1]
PRINTS = """
from tinygrad_arith.training.console import run_door

run_door(lambda: print("a line", flush=True))
"""


def raising(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    ("main", "code", "line"),
    [
        (lambda: None, 0, ""),
        (lambda: 3, 3, ""),
        (raising(UserError("--digits 0: no")), 1, "error: --digits 0: no\n"),
        (raising(MisuseError("--digits 0: no")), 2, "error: --digits 0: no\n"),
        (raising(KeyboardInterrupt()), 130, "interrupted\n"),
        (raising(OSError(errno.ENOSPC, "No space left", "runs/x")), 1, "error: runs/x: No space left\n"),
        (raising(MemoryError("Unable to allocate 9 TiB")), 1, "error: out of memory: Unable to allocate 9 TiB\n"),
    ],
)
def test_exit_codes(capsys, main, code, line):
    with pytest.raises(SystemExit) as raised:
        run_door(main)
    assert raised.value.code == code
    assert capsys.readouterr().err == line


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run_door(lambda: 1 // 0)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_behind_stdout_is_named():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-c", PRINTS], stdout=full, stderr=subprocess.PIPE, text=True, env=environment
        )
    assert (ended.returncode, ended.stderr) == (1, "error: stdout: No space left on device\n")


def test_what_cannot_be_written_is_only_warned_of(capsys):
    with only_warn("the picture"):
        raise OSError(errno.EACCES, "Permission denied", "plots/x.png")
    assert capsys.readouterr().err == "warning: the picture: not written: plots/x.png: Permission denied\n"
    with pytest.raises(ValueError, match="a bug"), only_warn("the picture"):
        raise ValueError("a bug")


@pytest.mark.parametrize("value", ["", "numpy"])
def test_the_libraries_of_the_cpu_are_chosen_by_name(monkeypatch, capsys, value):
    monkeypatch.setenv("TINYGRAD_ARITH_CPU", value)
    with pytest.raises(SystemExit) as raised:
        run_door(lambda: 0)
    assert raised.value.code == 0
    monkeypatch.setenv("TINYGRAD_ARITH_CPU", "bogus")
    with pytest.raises(SystemExit) as raised:
        run_door(lambda: 0)
    assert raised.value.code == 1
    assert capsys.readouterr().err == "error: TINYGRAD_ARITH_CPU=bogus: must be numpy, or not set\n"


def test_nothing_is_cut_in_a_pipe_and_no_path_on_a_terminal(capsys, monkeypatch):
    path = "/".join(["a-rather-long-folder"] * 12)
    print_facts([("run", path), ("seed", "1")])
    console.console().print(data_table("", ["path"], [[path]]))
    out = capsys.readouterr().out
    assert out.startswith(f"run   {path}\nseed  1\n")
    assert out.count(path) == 2
    monkeypatch.setattr(console, "on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    print_facts([("run", path), ("seed", "1")])
    out = capsys.readouterr().out
    assert path in "".join(line.strip().removeprefix("run").strip() for line in out.splitlines())


def test_words_for_sizes_and_times():
    assert [as_bytes(n) for n in (0, 1023, 1536, 3 * 2**30)] == ["0 bytes", "1,023 bytes", "1.5 KiB", "3.0 GiB"]
    assert [as_duration(s) for s in (0.25, 47.6, 185, 7800)] == ["0.2 s", "48 s", "3 min 05 s", "2 h 10 min"]


def test_nearest_words():
    assert did_you_mean("--digitz", ["--digits", "--seed"]) == "; did you mean --digits?"
    assert did_you_mean("--zzz", ["--digits", "--seed"]) == ""


def test_only_all_is_100_percent():
    assert as_share(0.99999) == "99.99%"
    assert as_share(999_960 / 1_000_000) == "99.99%"
    assert as_share(1.0) == "100.00%"
    assert as_share(0.29) == "29.00%"
