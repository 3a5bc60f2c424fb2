"""Where matplotlib has no folder of its own, its log lines become one sentence; where it has one, nothing is said."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DRAWS = """
import logging, warnings
from tinygrad_arith.options.errors import RunWarning
from tinygrad_arith.plots.figure import blank_figure

with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    blank_figure(1, 1), blank_figure(1, 1)
for warning in told:
    if not issubclass(warning.category, DeprecationWarning):  # what old releases say of each other's names
        print(warning.category.__name__, warning.message)
assert logging.getLogger("matplotlib").level == logging.NOTSET
"""


def drawn(folder):
    environment = os.environ | {"MPLCONFIGDIR": str(folder), "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", DRAWS], env=environment, capture_output=True, text=True)


def test_no_folder_to_write_to(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    ended = drawn(tmp_path / "file" / "folder")
    assert (ended.returncode, ended.stderr) == (0, "")
    (line,) = ended.stdout.splitlines()
    assert line.startswith("RunWarning matplotlib has no folder of its own to write to")
    assert line.endswith("set MPLCONFIGDIR to a folder that this user may write to")


def test_a_folder_to_write_to(tmp_path):
    ended = drawn(tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
