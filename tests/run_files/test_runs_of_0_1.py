"""Two runs of version 0.1 do what they did: tests/fixtures/README.md."""

import importlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tinygrad_arith.run_files.machine import what_computes
from tinygrad_arith.training.runs import differences

FIXTURES = Path(__file__).parents[1] / "fixtures"
RUNS = json.loads((FIXTURES / "expected.json").read_text(encoding="utf-8"))["runs"]
QUESTIONS = [(run, name) for run, facts in RUNS.items() for name in facts if name.startswith(("evaluate", "sample"))]


@pytest.fixture
def ask(tmp_path):
    """A function from a run and a command, as people type it, to what that does with a copy of the run."""

    def run_command(run, command, stdin=None):
        shutil.copytree(FIXTURES / run, tmp_path / run)
        words = [sys.executable, *shlex.split(command)[1:]]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        return subprocess.run(words, input=stdin, cwd=tmp_path, env=environment, capture_output=True, text=True)

    return run_command


@pytest.fixture
def ask_here(tmp_path, monkeypatch, capsys):
    """The same in the process of the test, which is sooner: (exit code, stdout, stderr)."""

    def run_command(run, command, stdin=None):
        shutil.copytree(FIXTURES / run, tmp_path / run)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin or ""))
        module, *arguments = shlex.split(command)[2:]
        code = importlib.import_module(module).main(arguments)
        return code, *capsys.readouterr()

    return run_command


@pytest.mark.parametrize(("run", "name"), QUESTIONS)
def test_evaluate_and_sample_say_what_they_said(ask_here, run, name):
    expected = RUNS[run][name]
    code, out, err = ask_here(run, expected["command"], expected["stdin"])
    assert (code, err) == (expected["exit_code"], expected["stderr"])
    if "json" in expected:
        values, loss = json.loads(out), expected["json"].get("loss", 0.0)
        values.pop("in_fives", None)  # which was not told
        assert values.pop("loss", 0.0) == pytest.approx(loss, rel=1e-5)  # other machines round otherwise
        assert values == {name: value for name, value in expected["json"].items() if name != "loss"}
    else:
        assert re.sub(r"in fives .*\n", "", out) == expected["stdout"]


@pytest.mark.parametrize("run", RUNS)
def test_training_goes_on_to_the_same_bits(ask, run, tmp_path, digest_of_arrays):
    here, there = what_computes("cpu"), RUNS[run]["computed_by"]
    if differences(there, here):
        pytest.skip(f"the bits were computed by {there}, and here by {here}")
    expected = RUNS[run]["resumed"]
    assert ask(run, expected["command"]).returncode == 0
    assert digest_of_arrays(tmp_path / run / "checkpoints" / expected["checkpoint"]) == expected["digest"]
    rows = [json.loads(line) for line in (tmp_path / run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["step"] for row in rows if "exact_match" in row] == [10, 20, 30, 40]


@pytest.mark.parametrize("run", RUNS)
def test_pictures_are_drawn(ask_here, run):
    code, out, err = ask_here(run, f"python -m tinygrad_arith.plot {run}")
    assert (code, err) == (0, "")
    drawn = {Path(line).stem for line in out.splitlines()}
    assert drawn >= {"accuracy_steps", "length_heatmap_test", "by_longest_carry_chain", "answer_positions", "attention"}
    assert drawn >= {"accuracy_samples", "accuracy_length", "by_operand_length", "tokens", "losses"}
