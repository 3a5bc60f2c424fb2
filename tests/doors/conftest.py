"""A small run that the doors can open: 3-bit sums, trained for about a second."""

import pytest

from tinygrad_arith.train import main
from tinygrad_arith.training.console import run_door

FLAGS = ["--digits", "3", "--validation-size", "8", "--test-size", "16", "--eval-size", "8"]
FLAGS += ["--d-model", "32", "--layers", "1", "--heads", "2", "--batch", "40", "--warmup", "5", "--steps", "120"]


@pytest.fixture(scope="session")
def small_run(tmp_path_factory):
    """The directory of the run. Tests read it, and may add pictures."""
    directory = tmp_path_factory.mktemp("small") / "run"
    assert main([*FLAGS, "--out", str(directory)]) == 0
    return directory


@pytest.fixture
def through_the_door(capsys):
    """A function from a door's `main` and its flags to (exit code, stdout, stderr)."""

    def run(door_main, *flags):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run_door(lambda: door_main(list(flags)))
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return run
