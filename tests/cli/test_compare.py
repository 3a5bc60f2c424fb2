"""The compare command: trains presets with several seeds, gathers what is there, prints a table, draws one picture."""

import contextlib
import io
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from child_command import start_command

import tinygrad_arith
from tinygrad_arith.cli import train
from tinygrad_arith.cli.compare import default_directory, main
from tinygrad_arith.cli.console import run_command

ROOT = Path(tinygrad_arith.__file__).parents[1]
PRESET = ["--preset", "binary-reversed"]
TINY = ["--digits", "3", "--validation-size", "8", "--test-size", "8", "--eval-size", "8", "--device", "cpu"]
TINY += ["--d-model", "16", "--layers", "1", "--heads", "2", "--batch", "8", "--warmup", "5", "--eval-every", "10"]
TINY += ["--workers", "1", "--blas-threads", "1"]
PNG_START = b"\x89PNG\r\n\x1a\n"
posix = pytest.mark.skipif(os.name == "nt", reason="Windows cannot send these signals to a child alone")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def trains_here(monkeypatch, no_picture):
    """Runs are trained one after the other in this process; side by side: tests/comparisons/test_comparison_jobs.py."""
    monkeypatch.setattr("tinygrad_arith.comparisons.jobs.Popen", TrainsHere)
    monkeypatch.setattr("tinygrad_arith.comparisons.jobs.LOOK_EVERY", 0.0)


class TrainsHere:
    """Stands for the `Popen` of a process that trains; it has ended when it is made."""

    def __init__(self, command, stdin, stdout, stderr, env, start_new_session):
        assert command[:3] == [sys.executable, "-m", "tinygrad_arith.train"]
        log = io.TextIOWrapper(stdout, encoding="utf-8")
        with pytest.raises(SystemExit) as ended, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            run_command(lambda: train.main(command[3:]))
        log.flush()
        log.detach()
        self.returncode = ended.value.code

    def poll(self):
        return self.returncode


TELLS_ALL = """
from tinygrad_arith.cli import compare, comparison_progress, console

comparison_progress.STATUS_EVERY = 0.0
console.run_command(compare.main)
"""


def start(here, *flags, program=("-m", "tinygrad_arith.compare")):
    """The command as a process."""
    return start_command(program, flags, here)


def test_presets_are_trained_compared_and_not_trained_again(here, trains_here, call_command):
    flags = [*PRESET, "--preset", "binary-plain", "--seeds", "2", *TINY, "--steps", "20"]
    code, out, err = call_command(main, *flags)
    assert (code, err) == (0, "")
    directory = Path("runs", "compare-binary-reversed-binary-plain")
    runs = sorted(path.parent.name for path in directory.glob("*/result.json"))
    assert runs == ["binary-plain-seed1", "binary-plain-seed2", "binary-reversed-seed1", "binary-reversed-seed2"]
    for words in (
        "4 runs",
        "done (4 of 4)",
        "| binary-reversed |",
        "| binary-plain ",
        str(directory / "comparison.png"),
    ):
        assert words in out
    assert (directory / "comparison.png").read_bytes().startswith(PNG_START)
    assert json.loads((directory / "journal.json").read_text(encoding="utf-8"))["command"].endswith("--steps 20")

    code, out, err = call_command(main, *flags, "--json")
    assert (code, err) == (0, "4 runs, 4 of them finished before\n")
    values = json.loads(out)
    assert values == json.loads((directory / "comparison.json").read_text(encoding="utf-8"))
    assert [group["label"] for group in values["groups"]] == ["binary-reversed", "binary-plain"]
    assert [run["seed"] for run in values["groups"][0]["runs"]] == [1, 2]
    assert values["failed"] == {}
    assert values["picture"] == str(directory / "comparison.png")


def test_one_that_fails_is_told_beside_the_table_of_the_others(here, trains_here, blank_pictures, call_command):
    (here / "out" / "binary-reversed-seed1").mkdir(parents=True)
    (here / "out" / "binary-reversed-seed1" / "stranger").touch()
    flags = [*PRESET, "--seeds", "2", "--jobs", "1", *TINY, "--steps", "20", "--out", "out"]
    code, out, err = call_command(main, *flags)
    assert code == 1
    assert "| binary-reversed |    1 |" in out
    assert err.startswith("error: binary-reversed-seed1: ")
    assert "not empty (it holds stranger)" in err
    assert str(Path("out", "binary-reversed-seed1.log")) in err
    assert list(json.loads((here / "out" / "comparison.json").read_text(encoding="utf-8"))["failed"]) == [
        "binary-reversed-seed1"
    ]


@posix
def test_ctrl_c_stops_and_the_same_command_goes_on(here, trains_here, call_command):
    flags = [*PRESET, "--seeds", "2", *TINY, "--steps", "200", "--eval-every", "200", "--out", "out"]
    child = start(here, *flags)
    metrics = [here / "out" / f"binary-reversed-seed{seed}" / "metrics.jsonl" for seed in (1, 2)]
    deadline = time.monotonic() + 60
    while not any(path.is_file() and path.stat().st_size for path in metrics):
        assert child.poll() is None, "the child trains nothing"
        assert time.monotonic() < deadline, "the child trains nothing"
        time.sleep(0.001)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130, (out, err)
    assert "stopped at step" in out
    command = err.splitlines()[-1]
    assert command == " ".join(["python", "-m", "tinygrad_arith.compare", *flags])
    assert not (here / "out" / "comparison.json").exists()

    assert call_command(main, *command.split()[3:])[0] == 0
    values = json.loads((here / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert [run["step"] for run in values["groups"][0]["runs"]] == [200, 200]
    sittings = json.loads((here / "out" / "journal.json").read_text(encoding="utf-8"))["runs"]
    assert max(entry["sittings"] for entry in sittings.values()) == 2


def test_finished_runs_are_gathered(here, write_run, blank_pictures, call_command):
    for seed in (1, 2, 3):
        write_run(here / "mine" / f"run{seed}", seed=seed, correct=8 - seed)
    (here / "mine" / "run2" / "result.json").unlink()
    code, out, err = call_command(main, "mine", "--json")
    assert code == 0
    assert "run2: not finished, left out" in err
    group = json.loads(out)["groups"][0]
    assert [run["seed"] for run in group["runs"]] == [1, 3]
    assert group["summary"]["exact_match"] == {"median": 0.75, "low": 0.625, "high": 0.875}
    assert (here / "mine" / "comparison.png").is_file()

    code, out, err = call_command(main, "mine/run1", "mine/run3")
    assert (code, err) == (0, "")
    assert (here / "runs" / "compare-named-binary-reversed" / "comparison.png").is_file()


def test_named_runs_take_no_comparison_of_others(here, write_run, blank_pictures, call_command):
    for seed in (1, 2, 3):
        write_run(here / f"run{seed}", seed=seed)
    named = here / "runs" / "compare-named-binary-reversed"
    assert call_command(main, "run1", "run2")[0] == 0
    before = (named / "comparison.json").read_bytes()
    code, out, err = call_command(main, "run1", "run3")
    assert (code, err) == (0, "")
    assert str(Path("runs", "compare-named-binary-reversed-2", "comparison.json")) in out
    assert (named / "comparison.json").read_bytes() == before
    assert call_command(main, "run2", "run1")[0] == 0  # the same runs: drawn again where they are
    assert sorted(path.name for path in (here / "runs").iterdir()) == [named.name, f"{named.name}-2"]


def test_named_runs_do_not_take_the_place_of_a_trained_comparison(here, write_run, blank_pictures, call_command):
    write_run(here / "trained" / "a")
    (here / "trained" / "journal.json").write_text("{}", encoding="utf-8")
    write_run(here / "other")
    found = call_command(main, "other", "trained/a", "--out", "trained")
    assert found[:2] == (2, "")
    assert "--out trained: holds a comparison of other runs" in found[2]
    assert call_command(main, "trained/a", "--out", "trained")[0] == 0  # its own


def test_a_comparison_that_cannot_be_written_is_printed(here, write_run, blank_pictures, call_command):
    write_run(here / "mine" / "run1")
    (here / "mine" / "comparison.png").mkdir()
    code, out, err = call_command(main, "mine")
    assert (code, err.count("\n")) == (0, 1)
    assert err.startswith("warning: the comparison's picture and figures: not written: ")
    assert "| binary-reversed |" in out
    assert "comparison.png" not in out
    code, out, err = call_command(main, "mine", "--json")
    assert (code, json.loads(out).keys()) == (0, {"groups", "failed"})
    assert err.startswith("warning: ")


@posix
def test_a_closed_pipe_stops_the_runs_which_save(here):
    flags = [*PRESET, "--seeds", "2", "--jobs", "1", *TINY, "--steps", "5000", "--out", "out"]
    child = start(here, *flags, program=("-c", TELLS_ALL))
    child.stdout.readline()
    child.stdout.close()
    err = child.stderr.read()
    child.stderr.close()
    assert child.wait(timeout=60) == 1
    assert err.startswith(
        "error: stdout: Broken pipe; stopped, saved in out; go on with: python -m tinygrad_arith.comp"
    )
    assert err.count("\n") == 1
    found = sorted(path.name for path in (here / "out").iterdir() if path.is_dir())
    assert found == ["binary-reversed-seed1"]  # the second was not begun: nobody would hear of it
    assert list((here / "out").glob("*/checkpoints/*.json"))
    assert not list((here / "out").glob("*/result.json"))


@posix
def test_a_closed_stderr_stops_the_runs_of_a_comparison_in_json(here):
    child = start(here, *PRESET, "--seeds", "1", *TINY, "--json", "--steps", "200", "--out", "out")
    child.stderr.close()
    out = child.stdout.read()
    child.stdout.close()
    assert (child.wait(timeout=60), out) == (1, "")
    assert not (here / "out" / "comparison.json").exists()


@pytest.mark.parametrize(
    ("flags", "code", "complaint"),
    [
        ([], 2, "nothing to compare"),
        (["run", *PRESET], 2, "run: name runs or --preset, not both"),
        (["run", "--steps", "20"], 2, "--steps: only with --preset"),
        (["run", "--eval-every", "20"], 2, "--eval-every: only with --preset"),
        (["run", "--jobs", "2"], 2, "--jobs: only with --preset"),
        ([*PRESET, "--seeds", "0"], 2, "--seeds: must be a whole number of at least 1, not 0"),
        (["--preset", "binary-revrsed"], 2, "did you mean binary-reversed"),
        ([*PRESET, "--step", "20"], 2, "did you mean --steps"),
        ([*PRESET, "--heads", "3"], 2, "--heads 3: must divide --d-model 64"),
        ([*PRESET, "--out", "file"], 2, "file: there is a file of that name; choose another --out"),
        ([*PRESET, "--out", ""], 2, "--out: must be a path, but is empty"),
        ([*PRESET, "--train-size", "60000"], 2, "--train-size 60000: only 54,536 operand pairs"),
        (["missing"], 2, "missing: no such run directory"),
        (["empty"], 1, "empty: not a run"),
        (["unfinished"], 1, "none of these runs is finished"),
    ],
)
def test_misuse_is_told_in_one_sentence(here, write_run, call_command, flags, code, complaint):
    (here / "file").touch()
    (here / "empty").mkdir()
    (write_run(here / "unfinished") / "result.json").unlink()
    found, out, err = call_command(main, *flags)
    assert (found, out) == (code, "")
    assert complaint in err.splitlines()[-1]
    assert not (here / "runs").exists()


def test_a_file_in_the_place_of_the_default_directory_is_told_by_its_name(here, call_command):
    (here / "runs").mkdir()
    (here / "runs" / "compare-binary-reversed").touch()
    code, out, err = call_command(main, *PRESET)
    place = Path("runs", "compare-binary-reversed")
    assert (code, out, err) == (2, "", f"error: {place}: there is a file of that name; choose another --out\n")


def test_a_directory_with_the_names_of_many_presets_stays_short():
    assert default_directory("compare", ["a", "b"]) == Path("runs", "compare-a-b")
    assert default_directory("compare", [f"a-preset-{number}" for number in range(9)]) == Path(
        "runs", "compare-a-preset-0-and-8-more"
    )
