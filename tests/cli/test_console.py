import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_arith
from tinygrad_arith.cli import console
from tinygrad_arith.cli.console import as_bytes, as_duration, as_share, data_table, only_warn, print_facts, run_command
from tinygrad_arith.options.errors import MisuseError, UserError
from tinygrad_arith.options.option import did_you_mean

ROOT = Path(tinygrad_arith.__file__).parents[1]
posix = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
PRINTS = """
from tinygrad_arith.cli.console import run_command

run_command(lambda: print("a line", flush=True))
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
        run_command(main)
    assert raised.value.code == code
    assert capsys.readouterr().err == line


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run_command(lambda: 1 // 0)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_behind_stdout_is_named():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with open("/dev/full", "w", encoding="utf-8") as full:
        ended = subprocess.run(
            [sys.executable, "-c", PRINTS], stdout=full, stderr=subprocess.PIPE, text=True, env=environment
        )
    assert (ended.returncode, ended.stderr) == (1, "error: stdout: No space left on device\n")


@posix
@pytest.mark.parametrize(
    ("closed", "code", "out", "err"),
    [
        ("1>&-", 1, "", "error: stdout is closed; send it to a file, or to the null device if it is not wanted\n"),
        ("0<&- 2>&-", 0, "a line\n", ""),
        ("1>&- 2>&-", 1, "", ""),
    ],
)
def test_closed_streams(closed, code, out, err):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = ["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, PRINTS]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, out, err)


@posix
def test_no_file_gets_the_number_of_a_closed_stream():
    source = PRINTS.replace('print("a line", flush=True)', "print(open(__file__).fileno() > 2)").replace(
        "__file__", "'/dev/null'"
    )
    command = ["sh", "-c", 'exec "$0" -c "$1" 0<&- 2>&-', sys.executable, source]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run(command, capture_output=True, text=True, env=environment).stdout == "True\n"


@posix
def test_who_reads_only_the_first_line_is_no_reason_for_a_traceback():
    source = PRINTS.replace('print("a line", flush=True)', "[print(n, flush=True) for n in range(100_000)]")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    script = '"$0" -c "$1" | head -1; exit ${PIPESTATUS[0]}'
    ended = subprocess.run(
        ["bash", "-c", script, sys.executable, source], capture_output=True, text=True, env=environment
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "0\n", "")


JSON_ONLY = """
import os
from tinygrad_arith.cli.console import only_json, print_json, run_command

def main():
    with only_json(True):
        print("by the way")
        os.system("echo and this")
        print_json({"a": 1})
    print("the end", flush=True)

run_command(main)
"""


@posix
def test_json_is_alone_on_stdout():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, "-c", JSON_ONLY], capture_output=True, text=True, env=environment)
    assert (ended.returncode, ended.stdout) == (0, '{"a": 1}\nthe end\n')
    assert sorted(ended.stderr.splitlines()) == ["and this", "by the way"]


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
        run_command(lambda: 0)
    assert raised.value.code == 0
    monkeypatch.setenv("TINYGRAD_ARITH_CPU", "bogus")
    with pytest.raises(SystemExit) as raised:
        run_command(lambda: 0)
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
