"""A run keeps the file of a user's task to be read, runs nothing of its own folder, and has its curves without it."""

import json
import shutil
import sys

import pytest

from tinygrad_arith.cli.compare import main as compare
from tinygrad_arith.cli.plot import main as plot
from tinygrad_arith.cli.sample import main as sample
from tinygrad_arith.cli.train import main as train
from tinygrad_arith.comparisons.finished_runs import group_labels, option_values
from tinygrad_arith.options.errors import UserError
from tinygrad_arith.plots.run_data import Choices, Lacking, RunData
from tinygrad_arith.training.runs import read_record, read_record_alone

MAXIMUM = """
import sys
import numpy as np
from tinygrad_arith.tasks import NumberTask

sys.task_was_run = getattr(sys, "task_was_run", 0) + 1

class Maximum(NumberTask):
    symbol, base = "|", 10

    def result(self, first, second):
        return np.maximum(first, second)
"""
FLAGS = ["--digits", "2", "--validation-size", "8", "--test-size", "8", "--eval-size", "4", "--batch", "4"]
FLAGS += ["--d-model", "8", "--layers", "1", "--heads", "2", "--steps", "4", "--warmup", "1", "--eval-every", "2"]
FLAGS += ["--workers", "1", "--schedule", "constant"]
CURVES = {"accuracy_steps", "accuracy_samples", "tokens", "losses", "answer_positions"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The directory in which `run` was trained with `own.py`."""
    directory = tmp_path_factory.mktemp("trained")
    (directory / "own.py").write_text(MAXIMUM, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        assert train(["--task", "own.py:Maximum", *FLAGS, "--out", "run"]) == 0
    return directory


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """A copy of the run and of its `own.py`, as if it was trained here; both are in the working directory."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    config = tmp_path / "run" / "config.json"
    values = json.loads(config.read_text(encoding="utf-8"))
    assert values["task_file"] == str(trained / "own.py")
    config.write_text(json.dumps(values | {"task_file": str(tmp_path / "own.py")}), encoding="utf-8")
    monkeypatch.setattr(sys, "task_was_run", 0, raising=False)
    return tmp_path / "run"


def draw(path, *flags):
    return plot([str(path), *flags])


def test_the_file_its_path_and_the_goal_are_kept(run, no_picture):
    found = json.loads((run / "config.json").read_text(encoding="utf-8"))
    assert (run / "task_file.py").read_text(encoding="utf-8") == MAXIMUM
    assert found["task_file"] == str(run.parent / "own.py")
    assert found["goal"] == {"name": "exact_match", "rising": True, "share": True}
    assert train([*FLAGS, "--digits", "3", "--out", "built-in"]) == 0
    built_in = json.loads((run.parent / "built-in" / "config.json").read_text(encoding="utf-8"))
    assert not {"task_file", "goal"} & built_in.keys()
    assert not (run.parent / "built-in" / "task_file.py").exists()


def test_curves_and_comparisons_need_no_file(run, capsys, monkeypatch):
    (run.parent / "own.py").unlink()
    capsys.readouterr()
    assert draw("run") == 0
    out, err = capsys.readouterr()
    assert {line.rpartition("/")[2].removesuffix(".png") for line in out.splitlines()} == CURVES
    assert err.count("\n") == 1
    assert err.startswith(
        "warning: only what needs no task is drawn: run: --task own.py:Maximum: there is no file own.py"
    )
    assert f"it was {run.parent / 'own.py'}; a copy of it, which is not run, is " in err
    assert compare(["run"]) == 0
    assert "Maximum" in capsys.readouterr().out
    assert sys.task_was_run == 0


def test_curves_do_not_run_a_file_that_is_there(run):
    (run.parent / "own.py").write_text(MAXIMUM + "# changed\n", encoding="utf-8")  # it would be run again
    for name in ("steps", "samples", "losses", "tokens", "positions"):
        assert draw("run", "--only", name) == 0
    assert draw("run", "--csv") == 0
    assert sys.task_was_run == 0
    assert draw("run", "--only", "heatmap") == 0
    assert sys.task_was_run == 1


def test_what_needs_the_task_says_where_it_was(run):
    (run.parent / "own.py").unlink()
    with pytest.raises(UserError, match=r"^run: --task own.py:Maximum: there is no file own.py; it was .*; a copy"):
        sample(["run", "--file", "-"])
    with pytest.raises(Lacking, match=r"there is no file own.py"):
        _ = RunData(run, Choices()).task


def test_nothing_in_the_folder_of_a_run_is_run(run):
    path = run / "config.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    values["config"]["task"]["kind"] = "run/task_file.py:Maximum"
    path.write_text(json.dumps(values), encoding="utf-8")
    for stranger in (values, values | {"format": 1, "config": {"task": {"task": "run/task_file.py:Maximum"}}}):
        path.write_text(json.dumps(stranger), encoding="utf-8")
        with pytest.raises(UserError, match=r"lies in the run's own directory, from which nothing is run"):
            read_record(run)
    assert sys.task_was_run == 0


def test_a_file_that_was_changed_is_told_where_the_run_goes_on(run, no_picture, recwarn):
    (run.parent / "own.py").write_text(MAXIMUM + "# changed\n", encoding="utf-8")
    assert train(["--resume", "run", "--steps", "6"]) == 0
    (warning,) = [str(one.message) for one in recwarn if "changed" in str(one.message)]
    assert warning.startswith("run: own.py was changed since the run began; ")
    assert (run / "task_file.py").read_text(encoding="utf-8") == MAXIMUM


def test_what_is_stated_is_what_the_task_would_say(run):
    stated, whole = read_record_alone(run), read_record(run)
    assert option_values(stated.config) == option_values(whole.config)
    assert (stated.name, stated.goal) == (whole.name, whole.goal) == ("Maximum", RunData(run, Choices()).task.goal)
    assert group_labels([stated]) == group_labels([whole])


@pytest.mark.parametrize(
    ("name", "value"), [("digits", [1]), ("digits", None), ("digits", {}), ("a b", 1), ("order", "a\x1b[2J")]
)
def test_strange_options_are_told(run, name, value):
    path = run / "config.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    values["config"]["task"][name] = value
    path.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(UserError, match=r"config.json: task: .* and no option of a task"):
        read_record_alone(run)


@pytest.mark.parametrize(("name", "value"), [("task_file", 5), ("task_file", "a\nb"), ("goal", 5), ("goal", {})])
def test_strange_facts_are_told(run, name, value):
    path = run / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {name: value}), encoding="utf-8")
    for read in (read_record, read_record_alone):
        with pytest.raises(UserError, match=f"config.json: {name} is "):
            read(run)


def test_a_run_from_before_files_were_kept_is_read(run, capsys):
    path = run / "config.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(
        json.dumps({name: value for name, value in values.items() if name not in ("task_file", "goal")}),
        encoding="utf-8",
    )
    (run / "task_file.py").unlink()
    for name in ("steps", "heatmap"):  # without the task, and with it
        assert draw("run", "--only", name) == 0
    assert capsys.readouterr().err == ""
    shutil.move(run.parent / "own.py", run.parent / "other.py")
    assert draw("run", "--only", "steps") == 0
    with pytest.raises(UserError, match=r"task.kind = 'own.py:Maximum': there is no file own.py$"):
        read_record(run)
