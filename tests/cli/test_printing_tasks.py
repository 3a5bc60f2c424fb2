"""A user's task in the commands: what it prints does not spoil JSON, and a program that it ends has not succeeded."""

import json

import pytest

from tinygrad_arith.cli import compare, evaluate, sample, train

SORTING = """
import itertools
from tinygrad_arith.tasks import PairTask

print("by the way")

class Sorting(PairTask):
    @staticmethod
    def pairs():
        print("listing pairs")
        return [("".join(w), "".join(sorted(w))) for w in itertools.product("abc", repeat=3)]

    def describe(self):
        print("described")
        return super().describe()
"""
FLAGS = ["--batch", "4", "--steps", "2", "--warmup", "1", "--eval-size", "2", "--validation-size", "4"]
FLAGS += ["--test-size", "4", "--d-model", "8", "--heads", "2", "--layers", "1", "--workers", "1"]


@pytest.fixture
def run(tmp_path, no_picture):
    """A run of the task, hardly trained."""
    (tmp_path / "own.py").write_text(SORTING, encoding="utf-8")
    assert train.main(["--task", f"{tmp_path / 'own.py'}:Sorting", *FLAGS, "--out", str(tmp_path / "run")]) == 0
    return tmp_path / "run"


def changed(run, old, new):
    """Writes another version of the task's file."""
    (run.parent / "own.py").write_text(SORTING.replace(old, new) + "\n# changed\n", encoding="utf-8")


@pytest.mark.parametrize("command", ["evaluate", "sample", "compare"])
def test_json_is_all_that_stdout_gets(call_command, run, tmp_path, blank_pictures, command):
    changed(run, "", "")  # so that the file is run again
    (tmp_path / "lines").write_text("abc\ncba\n", encoding="utf-8")
    flags = {"sample": ["--file", str(tmp_path / "lines")], "compare": ["--out", str(tmp_path / "out")]}.get(
        command, []
    )
    main = {"evaluate": evaluate, "sample": sample, "compare": compare}[command].main
    code, out, err = call_command(main, str(run), "--json", *flags)
    assert code == 0, err
    assert all(isinstance(json.loads(line), dict) for line in out.splitlines())
    assert len(out.splitlines()) == (2 if command == "sample" else 1)
    assert command == "compare" or "by the way" in err


def test_a_task_that_ends_the_program_later_is_no_success(call_command, run):
    changed(run, 'print("described")', "raise SystemExit(0)")
    code, _, err = call_command(evaluate.main, str(run))
    assert code == 1
    assert err.splitlines()[-1] == "error: own.py, line 14, in Sorting.describe: SystemExit: 0"
