"""Every command, started without stdin, stdout or stderr (`<&-`, `>&-`, `2>&-`)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinygrad_arith.cli.program import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
CLOSED = "error: stdout is closed; send it to a file, or to the null device if it is not wanted\n"
TINY = "--steps 2 --eval-size 8 --test-size 8 --d-model 8 --layers 1 --heads 2 --batch 8 --workers 2"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="cmd.exe cannot close them")


def started(line, *words, path=ROOT):
    """What `sh` makes of a line, in which `$0` is Python and `$@` the words."""
    environment = os.environ | {"PYTHONPATH": str(path), "TINYGRAD_ARITH_CPU": "numpy", "OMP_NUM_THREADS": "1"}
    command = ["sh", "-c", line, sys.executable, *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_closed_stdout_is_one_sentence(command):
    ended = started('exec "$0" -m tinygrad_arith.$1 --help >&- <&-', command)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", CLOSED)


@pytest.mark.parametrize("command", COMMANDS)
def test_without_stdin_and_stderr_it_does_what_it_is_asked(command):
    ended = started('exec "$0" -m tinygrad_arith $1 --help 2>&- <&-', command)
    assert ended.returncode == 0
    assert ended.stdout.startswith(f"usage: python -m tinygrad_arith {command}")


def test_a_training_with_workers_and_without_stdin_and_stderr(tmp_path):
    (tmp_path / "matplotlib.py").write_text(
        "raise OSError('a picture would take half of the time of this test')", encoding="utf-8"
    )
    line, path = f'exec "$0" -m tinygrad_arith.train {TINY} --out "$1" 2>&- <&-', f"{tmp_path}{os.pathsep}{ROOT}"
    ended = started(line, tmp_path / "run", path=path)
    assert ended.returncode == 0
    assert (tmp_path / "run" / "result.json").is_file()


PROGRAM = f"""
import sys
import tinygrad_arith as ta

words = "{TINY}".replace("--", "").replace("-", "_").split()
options = {{name: int(value) for name, value in zip(words[::2], words[1::2])}}
ta.fit(out=sys.argv[1], **options)
"""


def test_a_program_that_trains_without_any(tmp_path):
    started(f'exec "$0" -c \'{PROGRAM}\' "$1" >&- 2>&- <&-', tmp_path / "run")
    assert (tmp_path / "run" / "result.json").is_file()
