"""Small runs that the commands can open: 3-bit sums, trained for about a second, and other tasks, hardly trained."""

import pytest

from tinygrad_arith.cli import compare, evaluate, gradcheck, plot, train
from tinygrad_arith.cli.console import run_command
from tinygrad_arith.gradcheck_suite import pool
from tinygrad_arith.plots.figure import blank_figure, save_figure

FLAGS = ["--digits", "3", "--validation-size", "8", "--test-size", "16", "--eval-size", "8"]
FLAGS += ["--d-model", "32", "--layers", "1", "--heads", "2", "--batch", "40", "--warmup", "5", "--steps", "120"]


def trained(directory, *flags):
    """The directory, with a run that was trained there, without its curves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "plot_training_curve", lambda directory, goal: None)
        assert train.main([*flags, "--out", str(directory)]) == 0
    return directory


@pytest.fixture(scope="session")
def small_run(tmp_path_factory):
    """The directory of the run. Tests read it, and may add pictures."""
    return trained(tmp_path_factory.mktemp("small") / "run", *FLAGS)


OTHER_FLAGS = ["--batch", "40", "--warmup", "5", "--steps", "30", "--eval-size", "4", "--d-model", "24", "--heads", "2"]
OTHER_TASKS = {
    "expressions": ["--task", "expressions", "--depth", "1", "--order", "plain", "--layers", "1"],
    "prefixes": [
        *("--task", "expressions", "--depth", "1", "--order", "plain", "--rows", "prefix", "--prompt-width", "14"),
        *("--architecture", "window-gpt", "--positions", "sinusoidal", "--layers", "1"),
    ],
    "coupled": ["--digits", "3", "--longest", "5", "--position-ids", "coupled", "--layers", "1"],
    "modular": ["--task", "modular-addition", "--modulus", "13", "--layers", "1"],
}


@pytest.fixture(scope="session")
def other_runs(tmp_path_factory):
    """Directories of runs of tasks that are no binary addition, by name."""
    directory = tmp_path_factory.mktemp("other")
    return {name: trained(directory / name, *flags, *OTHER_FLAGS) for name, flags in OTHER_TASKS.items()}


@pytest.fixture
def blank_pictures(monkeypatch):
    """Commands write a small empty sheet for every picture: drawing takes longer than all else that they do."""
    for command in (compare, evaluate, plot):
        monkeypatch.setattr(command, "save_figure", lambda figure, path: save_figure(blank_figure(1.0, 1.0), path))


@pytest.fixture
def call_command(capsys):
    """A function from a command's `main` and its flags to (exit code, stdout, stderr)."""

    def run(command_main, *flags):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run_command(lambda: command_main(list(flags)))
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return run


@pytest.fixture
def my_ops(tmp_path):
    """A function that writes a file of operations; returns its path."""

    def write(source, name="my_ops.py"):
        path = tmp_path / name
        path.write_text(source, encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def gradcheck_here(call_command, monkeypatch):
    """A function from flags of `gradcheck` to (exit code, stdout, stderr), which runs a user's file in this process."""

    def check(*flags):
        with monkeypatch.context() as patch:
            patch.setattr(pool, "CheckingProcess", InThisProcess)
            return call_command(gradcheck.main, *flags)

    return check


class InThisProcess:
    """Stands for a `CheckingProcess`; with real ones: test_gradcheck_processes.py."""

    def __init__(self, work):
        self.work = work

    def ask(self, name):
        self.known = getattr(self, "known", None) or {subject.name: subject for subject in self.work.subjects()}
        return list(self.known.values()) if name is None else self.work.check(self.known[name])

    def close(self):
        pass

    kill = close
