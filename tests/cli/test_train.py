"""The train command, judged by its output and its exit code; in a process of its own where signals and kills are."""

import dataclasses
import errno
import itertools
import json
import os
import random
import re
import shlex
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from child_command import start_command
from threadpoolctl import threadpool_info

import tinygrad_arith
from tinygrad_arith.cli import train as command
from tinygrad_arith.cli.console import printed_warnings, run_command
from tinygrad_arith.cli.progress import STOPPING
from tinygrad_arith.cli.train import main, make_train_parser
from tinygrad_arith.plots.training_curve import plot_training_curve
from tinygrad_arith.run_files.metrics import read_metrics
from tinygrad_arith.tasks.answering import AnsweringTask
from tinygrad_arith.training.config import Config, with_options
from tinygrad_arith.training.presets import preset_names
from tinygrad_arith.training.runs import LOCK_FILE, RunRecord, load_run, locked, read_record
from tinygrad_arith.training.session import new_session, resumed_session

ROOT = Path(tinygrad_arith.__file__).parents[1]
MODEL = ["--digits", "3", "--validation-size", "8", "--test-size", "8", "--eval-size", "8"]
MODEL += [
    "--d-model",
    "16",
    "--layers",
    "1",
    "--heads",
    "2",
    "--batch",
    "8",
    "--warmup",
    "5",
    "--blas-threads",
    "1",
    "--device",
    "cpu",
]
TINY = [*MODEL, "--steps", "60", "--checkpoint-every", "7", "--eval-every", "10", "--dropout", "0.1", "--workers", "1"]
LONG = [*MODEL, "--steps", "90000"]
SHARED = ["--workers", "2", "--worker-kind", "processes"]

pytestmark = pytest.mark.usefixtures("no_picture")
posix = pytest.mark.skipif(os.name == "nt", reason="Windows cannot send these signals to a child alone")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def draws_curves(no_picture, monkeypatch):
    """The command draws after all, as it does for a user."""
    monkeypatch.setattr(command, "plot_training_curve", plot_training_curve)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The directory of the tiny run, trained in one go."""
    directory = tmp_path_factory.mktemp("uninterrupted") / "run"
    assert main([*TINY, "--out", str(directory)]) == 0
    return directory


def process(arguments, here, program=("-m", "tinygrad_arith.train"), **options):
    """A child that trains; the options are those of `start_command`."""
    return start_command(program, arguments, here, **options)


def wait_for_rows(child, directory, count):
    """Wait until the child has measured so many steps (or has ended)."""
    metrics = directory / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while child.poll() is None and not (metrics.is_file() and metrics.read_bytes().count(b"\n") >= count):
        assert time.monotonic() < deadline, "the child trains nothing"
        time.sleep(0.002)


def exit_line(capsys, arguments):
    """The exit code of the command and the one line that it prints on stderr."""
    with pytest.raises(SystemExit) as raised:
        run_command(lambda: main(arguments))
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    return raised.value.code, err


def seal(directory, step=60):
    return json.loads((directory / "checkpoints" / f"step-{step:08d}.json").read_text(encoding="utf-8"))


def assert_same_run(directory, expected):
    """The same weights and optimizer state to the bit, and the same metrics but for the times."""
    assert seal(directory)["sha256"] == seal(expected)["sha256"]
    untimed = [
        [{k: v for k, v in row.items() if k not in ("seconds", "examples_per_second")} for row in read_metrics(path)]
        for path in (directory / "metrics.jsonl", expected / "metrics.jsonl")
    ]
    assert untimed[0] == untimed[1]
    assert [row["step"] for row in untimed[0]] == list(range(1, 61))
    assert (directory / "predictions.jsonl").read_bytes() == (expected / "predictions.jsonl").read_bytes()
    assert not list(directory.rglob("*.tmp"))


def test_a_whole_run(uninterrupted, capsys):
    names = {path.name for path in uninterrupted.iterdir()}
    assert {"config.json", "metrics.jsonl", "checkpoints", "plots", "result.json"} <= names
    assert len(list((uninterrupted / "plots").glob("*.png"))) == 1
    result = json.loads((uninterrupted / "result.json").read_text(encoding="utf-8"))
    assert result["test_count"] == 8
    assert result["interval_95"][0] <= result["test_exact_match"] <= result["interval_95"][1]


def test_what_is_printed(here, capsys):
    assert main([*TINY, "--seed", "5"]) == 0
    out = capsys.readouterr().out
    for word in (
        "task ",
        "parameters",
        "seed ",
        "threads ",
        "step 60/60",
        "exact match",
        "95 % interval",
        "true result",
    ):
        assert word in out
    assert str(Path("runs", "binary-reversed-seed5")) in out


def test_who_calls_the_command_has_as_many_threads_as_before(here):
    def threads():
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    before, seen = threads(), []
    count = 1 + max(before, default=0) % 2  # other than now
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "plot_training_curve", lambda directory, goal: seen.extend(threads()))
        assert main([*TINY, "--steps", "6", "--blas-threads", str(count), "--out", "run"]) == 0
    assert seen == [count] * len(before)
    assert threads() == before


def test_load_run_gives_the_trained_model(uninterrupted):
    run = load_run(uninterrupted)
    assert (run.step, run.config.task.digits, run.path) == (60, 3, uninterrupted)
    assert run.model.parameter_count() == sum(array.size for array in run.model.state_dict().values())


def test_a_run_killed_at_three_random_moments_ends_with_the_same_bits(here, uninterrupted):
    directory = here / "run"
    draw = random.Random(20)
    moments = sorted(draw.sample(range(2, 50), 3))
    arguments, kills = [*TINY, "--out", directory], 0
    for moment in moments:
        child = process(arguments, here, cpu=os.environ.get("TINYGRAD_ARITH_CPU", ""))
        wait_for_rows(child, directory, moment)
        time.sleep(draw.random() * 0.004)
        child.kill()
        child.communicate()
        kills += child.returncode != 0
        arguments = ["--resume", directory]
    assert kills >= 2  # the odd one may have been too late
    assert main(list(map(str, arguments))) == 0
    assert_same_run(directory, uninterrupted)


DEATHS = [(call, number) for call in ("fsync", "replace") for number in (2, 3, 8, 9)]


@pytest.fixture(scope="module")
def left_by_the_dead(tmp_path_factory):
    """By call of `os` and its number: what is on disk of the tiny run if its process ends there, as it begins the call.

    A process that is killed cleans nothing up, and what it has not flushed is lost: its directory stays as it is.
    """
    root, counts = tmp_path_factory.mktemp("dead"), Counter()

    def copying(call):
        real = getattr(os, call)

        def copy_and_call(*arguments):
            counts[call] += 1
            if (call, counts[call]) in DEATHS:
                ignored = shutil.ignore_patterns(LOCK_FILE)  # no one holds it any more
                shutil.copytree(root / "run", root / f"{call}-{counts[call]}", ignore=ignored)
            return real(*arguments)

        return copy_and_call

    with pytest.MonkeyPatch.context() as patch:
        for call in ("fsync", "replace"):
            patch.setattr(os, call, copying(call))
        assert main([*TINY, "--out", str(root / "run")]) == 0
    return {death: root / f"{death[0]}-{death[1]}" for death in DEATHS}


@pytest.mark.parametrize(("call", "number"), DEATHS)
def test_dying_while_a_file_is_written(uninterrupted, left_by_the_dead, call, number):
    directory = left_by_the_dead[call, number]
    assert not (directory / "result.json").exists()
    assert main(["--resume", str(directory)]) == 0
    assert_same_run(directory, uninterrupted)


def test_a_truncated_checkpoint_falls_back_loudly(here, uninterrupted, capsys):
    directory = here / "run"
    shutil.copytree(uninterrupted, directory)
    arrays = directory / "checkpoints" / "step-00000060.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:1000])
    capsys.readouterr()
    with printed_warnings():
        assert main(["--resume", str(directory)]) == 0
    out, err = capsys.readouterr()
    assert "warning: checkpoint" in err
    assert "damaged" in err
    assert "going on from step 56" in out
    assert_same_run(directory, uninterrupted)


@posix
def test_a_training_that_is_asked_to_end_finishes_the_step_and_saves(here):  # `kill`; Ctrl-C is heard by all: below
    directory = here / "run"
    child = process([*LONG, "--out", directory], here)
    wait_for_rows(child, directory, 10)
    child.terminate()
    out, err = child.communicate(timeout=60)
    last = read_metrics(directory / "metrics.jsonl")[-1]["step"]
    assert seal(directory, last)["step"] == last
    assert (child.returncode, err) == (143, saved_after(last, directory))
    assert "Stopped" not in out


WAITS_FOR_ITS_WORKER = """
import os, signal, sys
from tinygrad_arith.cli.console import run_command
from tinygrad_arith.train import main
from tinygrad_arith.training.workers import ProcessWorkers

real = ProcessWorkers.start

def start(self, index, *job):
    wait = real(self, index, *job)
    os.kill(self.others[index].process.pid, signal.SIGSTOP)  # it will never answer
    print("waits", file=sys.stderr, flush=True)
    return wait

ProcessWorkers.start = start
run_command(lambda: main(sys.argv[1:]))
"""


@posix
def test_ctrl_c_is_heard_within_a_step_and_a_second_one_ends_it(here):
    directory = here / "run"
    flags = [*LONG, *SHARED, "--out", directory]
    child = process(flags, here, program=("-c", WAITS_FOR_ITS_WORKER), start_new_session=True)
    assert child.stderr.readline() == "waits\n"
    os.killpg(child.pid, signal.SIGINT)
    assert child.stderr.readline() == f"{STOPPING}\n"
    assert child.poll() is None
    os.killpg(child.pid, signal.SIGINT)
    assert child.communicate(timeout=60)[1] == "interrupted\n"
    assert child.returncode == 130
    assert not (directory / "checkpoints").exists()
    with pytest.raises(ProcessLookupError):  # the worker has ended too
        os.killpg(child.pid, 0)


def saved_after(step, directory):
    """What is said on stderr."""
    return f"Stopped after step {step}; saved. Go on with:\npython -m tinygrad_arith.train --resume {directory}\n"


LOSES_ITS_READER_TO_CTRL_C = """
import os, signal, sys
from tinygrad_arith.train import main
from tinygrad_arith.cli.console import run_command
from tinygrad_arith.cli.progress import LineReporter

real = LineReporter.stepped

def stepped(self, row):
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, sys.stdout.fileno())
    signal.raise_signal(signal.SIGINT)
    real(self, row)

LineReporter.stepped = stepped
run_command(lambda: main(sys.argv[1:]))
"""


@posix
def test_ctrl_c_that_ends_the_reader_too_is_a_ctrl_c(here):  # `train | tee log`
    directory = here / "run"
    child = process([*LONG, "--out", directory], here, program=("-c", LOSES_ITS_READER_TO_CTRL_C))
    err = child.communicate(timeout=60)[1]
    assert (child.returncode, err) == (130, f"{STOPPING}\n" + saved_after(1, directory))
    assert seal(directory, 1)["step"] == 1


@posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])  # as a terminal sends them
def test_a_signal_to_all_processes_of_a_training_saves_too(here, hears_hang_up, name):
    directory, number = here / "run", signal.Signals[name]
    child = process([*LONG, *SHARED, "--out", directory], here, start_new_session=True)
    wait_for_rows(child, directory, 10)
    os.killpg(child.pid, number)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 128 + number
    assert "Stopped" not in out
    last = read_metrics(directory / "metrics.jsonl")[-1]["step"]
    assert seal(directory, last)["step"] == last
    heard = f"{STOPPING}\n" if name == "SIGINT" else ""
    assert err == ("" if name == "SIGHUP" else heard + saved_after(last, directory))  # a closed terminal hears nothing


def test_a_second_trainer_is_refused(here, uninterrupted, capsys):
    with locked(uninterrupted):
        code, err = exit_line(capsys, ["--resume", str(uninterrupted)])
    assert code == 1
    assert "another process is training this run" in err


def test_a_real_process_shows_one_line_and_no_traceback(here):
    child = process(["--resume", "nowhere"], here)
    assert child.communicate() == ("", "error: nowhere: no such run directory\n")
    assert child.returncode == 2


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--digitz", "3"], 2, "unknown flag --digitz; did you mean --digits?"),
        (["--prest", "x"], 2, "unknown flag --prest; did you mean --preset?"),
        (["--preset", "binary-revrsed"], 2, "no such preset; did you mean binary-reversed"),
        (["--digits", "0"], 2, "--digits: must be 1 to 1000, not 0"),
        (["--until", "99.9"], 2, "--until 99.9: must be at most 1, for exact match is a share of 1, or none"),
        (["--until", "-1"], 2, "--until: must be a number above 0, or none, not -1"),
        (["--batch", "100000", "--draws", "epochs"], 2, "--batch 100000: larger than the 54,536 training problems"),
        (["--kv-heads", "3"], 2, "--kv-heads 3: must divide --heads 4"),
        (["--task", "binary-additon"], 2, "FILE.py:Class; did you mean binary-addition?"),
        (["--curriculum", "abc"], 2, "--curriculum abc: must be written as"),
        (["--train-size", "60000"], 2, "--train-size 60000: only 54,536 operand pairs"),
        (["--workers", "4", "--batch", "2"], 2, "--workers 4: more than the --batch 2 that they share"),
        (["--out", ""], 2, "--out: must be a path, but is empty"),
        (["--resume", ""], 2, "--resume: must be a path, but is empty"),
        (["--dtype", "bfloat16", "--device", "cpu"], 2, "--dtype bfloat16: trains on a GPU only, and --device is cpu"),
        (["--heads", "3"], 2, "--heads 3: must divide --d-model 64"),
        (["--digits", "2", "--test-size", "16"], 2, "--digits 2: has only 16 operand pairs"),
        (["--out", "taken"], 1, "taken: not empty"),
        (["--out", "taken/file"], 2, "there is a file of that name"),
        (["--resume"], 1, "there is no run in runs"),
        (["--resume", "taken"], 1, "taken: not a run: it lacks config.json"),
        (["--resume", "taken/file"], 2, "not a directory"),
        (["--resume", "x", "--digits", "3"], 2, "--digits: not with --resume"),
        (
            ["--resume", "x", "--momentum", "0.5"],
            2,
            "--momentum: not with --resume, which takes every option from the run",
        ),
        (["--resume=x", "--nesterov"], 2, "--nesterov: not with --resume, which takes every option from the run"),
        (["--momentum", "0.5"], 2, "--momentum: means nothing for --optimizer adamw"),
        (["--resume", "x", "--out", "y"], 2, "--out: not with --resume"),
        (["--resume", "x", "--dry-run"], 2, "--dry-run: not with --resume"),
    ],
)
def test_bad_input_is_one_line(here, capsys, arguments, code, sentence):
    (here / "taken").mkdir()
    (here / "taken" / "file").write_text("mine", encoding="utf-8")
    assert exit_line(capsys, arguments)[0] == code
    assert sentence in exit_line(capsys, arguments)[1]
    assert [path.name for path in here.iterdir()] == ["taken"]


def test_cuda_without_cupy_says_what_to_install(here, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, err = exit_line(capsys, ["--device", "cuda"])
    assert code == 1
    assert 'pip install -e ".[gpu]" (CUDA 12) or ".[gpu-cuda13]" (CUDA 13), in a checkout' in err


def test_a_dry_run_shows_the_model_and_trains_nothing(here, capsys):
    assert main(["--dry-run"]) == 0
    out = capsys.readouterr().out
    for word in ("blocks.1.ffn.up", "102,791", "MiB", "implementations", "packed_attention", "Nothing was trained"):
        assert word in out
    assert list(here.iterdir()) == []


def test_presets_are_listed(capsys):
    assert main(["--list-presets"]) == 0
    out = capsys.readouterr().out
    assert "binary-reversed-12bit  " in out
    assert len(out.splitlines()) == len(preset_names()) + 2  # what minutes are, and articles
    assert main(["--list-presets", "binary-reversed-12bit"]) == 0
    assert "task.digits = 12" in capsys.readouterr().out.splitlines()[3]


def test_until_is_kept_over_a_resume(here, capsys):
    directory = here / "run"
    assert main([*TINY, "--out", str(directory), "--until", "1.0"]) == 0
    assert read_record(directory).until == 1.0
    capsys.readouterr()
    assert main(["--resume", str(directory), "--until", "0.5"]) == 0
    assert read_record(directory).until == 0.5


def shares_rise(monkeypatch):
    """Let the share of right answers on the validation problems be 0.25, 0.5, 0.75, 1.0, one after another."""
    shares, judge = itertools.count(1), AnsweringTask.judge

    def judged(self, model, problems, **options):
        found = judge(self, model, problems, **options)
        share = min(next(shares) / 4, 1.0) if len(problems) == 8 else found.values["exact_match"]
        return dataclasses.replace(found, values=found.values | {"exact_match": share})

    monkeypatch.setattr(AnsweringTask, "judge", judged)


def test_when_until_was_reached_is_told_and_kept(here, capsys, monkeypatch):
    shares_rise(monkeypatch)
    flags = [*TINY, "--validation-size", "8", "--test-size", "9"]
    assert main([*flags, "--out", "run", "--until", "0.7"]) == 0
    found = json.loads(Path("run", "result.json").read_text(encoding="utf-8"))["reached"]
    rows = read_metrics(Path("run", "metrics.jsonl"))
    assert found == {"until": 0.7, "step": 30, "seconds": rows[29]["seconds"], "value": 0.75}
    assert len(rows) == 30
    told = r"--until +exact match 0\.7 on the validation examples: reached at step 30, after [0-9.]+ s\n"
    assert re.search(told, capsys.readouterr().out)
    assert main(["--resume", "run", "--until", "0.5"]) == 0  # which it had reached before
    assert "reached at step 20, after" in capsys.readouterr().out
    assert json.loads(Path("run", "result.json").read_text(encoding="utf-8"))["reached"]["step"] == 20


def test_that_until_was_not_reached_is_told(here, capsys):
    assert main([*TINY, "--steps", "10", "--out", "run", "--until", "1"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"--until +exact match 1 on the validation examples: not reached; [0-9.]+ at the last", out)
    assert "reached" not in json.loads(Path("run", "result.json").read_text(encoding="utf-8"))
    assert main([*TINY, "--steps", "10", "--out", "other"]) == 0
    assert "reached" not in capsys.readouterr().out


def test_a_finished_run_that_is_to_go_on_is_not_finished(here, capsys):
    directory = here / "run"
    assert main([*TINY, "--schedule", "constant", "--warmup", "2", "--steps", "4", "--out", str(directory)]) == 0
    made = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    for steps, until, finished in ((4, None, True), (4, 0.5, True), (6, None, False)):
        with resumed_session(directory, steps, until):  # as if it were interrupted here
            assert (directory / "result.json").is_file() == finished
    found = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    assert (found["created"], found["versions"]) == (made["created"], made["versions"])
    assert [entry["step"] for entry in found["resumed"]] == [4]
    assert main(["--resume", str(directory)]) == 0
    assert json.loads((directory / "result.json").read_text(encoding="utf-8"))["step"] == 6


def test_resuming_the_newest_finished_run_tests_it_again(here, capsys):
    assert main(TINY) == 0
    first = json.loads(next(here.glob("runs/*/result.json")).read_text(encoding="utf-8"))
    capsys.readouterr()
    assert main(["--resume"]) == 0
    assert "60 of 8 examples: done, at step 60; only tested again" in capsys.readouterr().out
    assert json.loads(next(here.glob("runs/*/result.json")).read_text(encoding="utf-8")) == first


def test_more_steps_would_change_a_cosine(here, uninterrupted, capsys):
    code, err = exit_line(capsys, ["--resume", str(uninterrupted), "--steps", "90"])
    assert code == 2
    assert "would change the rate of the steps already done" in err


def test_more_steps_with_a_constant_rate_give_the_bits_of_a_longer_run(here, capsys):
    constant = [*TINY, "--schedule", "constant"]
    short, whole = str(here / "short"), str(here / "whole")
    assert main([*constant, "--steps", "33", "--out", short]) == 0
    assert main([*constant, "--out", whole]) == 0
    assert exit_line(capsys, ["--resume", short, "--steps", "20"])[0] == 2
    assert main(["--resume", short, "--steps", "60"]) == 0
    assert seal(Path(short))["sha256"] == seal(Path(whole))["sha256"]


def test_fewer_steps_than_the_warm_up_are_misuse(here, capsys):
    flags = ["--digits", "3", "--validation-size", "8", "--test-size", "8", "--schedule", "constant", "--warmup", "50"]
    config = with_options(Config(), make_train_parser(Config()).parse_args(flags).given).resolved()
    with new_session(RunRecord(config, "binary-reversed"), Path("run")):
        pass  # as if it were stopped before its first checkpoint
    code, err = exit_line(capsys, ["--resume", "run", "--steps", "20"])
    assert (code, err) == (2, "error: --steps 20: fewer than the 50 of this run's warm-up\n")


@posix
def test_a_closed_pipe_saves_and_says_so(here):
    directory = here / "run"
    child = process([*LONG, "--eval-every", "1", "--out", directory], here)
    assert any(line.startswith("step ") for line in child.stdout)  # the first of them is the last that is read
    child.stdout.close()
    err = child.stderr.read()
    child.stderr.close()
    assert child.wait(timeout=60) == 1
    last = read_metrics(directory / "metrics.jsonl")[-1]["step"]
    assert seal(directory, last)["step"] == last
    assert err == (
        f"error: stdout: Broken pipe; stopped after step {last} and saved; "
        f"go on with: python -m tinygrad_arith.train --resume {directory}\n"
    )


def test_a_picture_that_cannot_be_written_is_only_warned_of(here, uninterrupted, draws_curves, capsys):
    directory = here / "run"
    shutil.copytree(uninterrupted, directory)
    shutil.rmtree(directory / "plots")
    (directory / "plots").write_text("mine", encoding="utf-8")
    assert main(["--resume", str(directory)]) == 0
    out, err = capsys.readouterr()
    assert "95 % interval" in out
    assert err.startswith("warning: the curves of loss and exact match: not written: ")


def test_a_stdout_that_takes_no_more_is_not_told_as_a_missing_picture(here, capsys, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    def draw(directory, goal):
        monkeypatch.setattr("builtins.print", full)
        return directory / "plots" / "curves.png"

    monkeypatch.setattr(command, "plot_training_curve", draw)
    with pytest.raises(OSError, match="No space left on device"):
        main([*TINY, "--steps", "6", "--out", "run"])
    assert capsys.readouterr().err == ""


def test_ctrl_c_during_the_test_says_that_the_training_is_saved(here, capsys, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("tinygrad_arith.tasks.answering.AnsweringTask.preview", interrupted)
    assert main([*TINY, "--steps", "6", "--out", "a run"]) == 130
    err = capsys.readouterr().err
    assert err == (
        "Interrupted after the training, which is saved. Test it with:\n"
        "python -m tinygrad_arith.train --resume 'a run'\n"
    )
    assert seal(Path("a run"), 6)["step"] == 6
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert main(shlex.split(err.splitlines()[-1])[3:]) == 0
    assert Path("a run", "result.json").is_file()


def test_a_run_without_its_checkpoints_is_not_begun_anew(here, uninterrupted, capsys):
    directory = here / "run"
    shutil.copytree(uninterrupted, directory)
    shutil.rmtree(directory / "checkpoints")
    before = {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}
    for missing in ("result.json", None):
        code, err = exit_line(capsys, ["--resume", str(directory)])
        assert (code, "metrics.jsonl reaches step 60" in err) == (1, True)
        assert {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()} == before
        if missing:
            (directory / missing).unlink()
            del before[missing]


def test_other_libraries_than_before_are_warned_of(here, capsys, monkeypatch):
    computing = {"device": "a processor", "passes": "numpy 2.0"}
    monkeypatch.setattr("tinygrad_arith.training.session.what_computes", lambda device: computing)
    assert main([*TINY, "--schedule", "constant", "--steps", "6", "--out", "run"]) == 0
    assert main(["--resume", "run", "--steps", "7"]) == 0
    assert capsys.readouterr().err == ""
    computing = {"device": "a processor", "passes": "numba 0.60"}
    assert main(["--resume", "run"]) == 0
    assert capsys.readouterr().err == ""  # only tested again
    with printed_warnings():
        assert main(["--resume", "run", "--steps", "8"]) == 0
    err = capsys.readouterr().err
    assert "not to the bits that it would have come to: passes: numpy 2.0 before, numba 0.60 now" in err
    assert main(["--resume", "run", "--steps", "9"]) == 0
    assert capsys.readouterr().err == ""  # as in the sitting before
    found = json.loads(Path("run", "config.json").read_text(encoding="utf-8"))
    assert found["computed_by"]["passes"] == "numpy 2.0"
    assert [sitting["computed_by"]["passes"] for sitting in found["resumed"]] == [
        "numpy 2.0",
        "numba 0.60",
        "numba 0.60",
    ]


def test_a_short_training_has_a_short_warm_up(here, capsys):
    short = [flag for flag in TINY if flag not in ("--warmup", "5")]
    assert main([*short, "--steps", "24", "--out", "run"]) == 0
    assert read_record(Path("run")).config.optimizer.warmup == 2  # of 24 steps, as 50 of 600
    out = capsys.readouterr().out
    assert "after 2 steps of warm-up, cosine (the 50 of preset binary-reversed are more than all the steps)" in out
    assert main([*short, "--steps", "24", "--warmup", "3", "--out", "other"]) == 0
    assert "after 3 steps of warm-up, cosine\n" in capsys.readouterr().out  # as it was asked for
    code, err = exit_line(capsys, [*short, "--steps", "24", "--warmup", "25"])
    assert (code, "--warmup 25: longer than the 24 steps" in err) == (2, True)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], None),
        (["--optimizer", "sgd"], "sgd, momentum 0.9"),
        (["--optimizer", "sgd", "--momentum", "0", "--coupled-decay"], "sgd, coupled decay"),
        (["--optimizer", "lion", "--beta2", "0.9"], "lion, beta1 0.9, beta2 0.9"),
    ],
)
def test_another_optimizer_than_the_usual_one_is_named(here, capsys, flags, words):
    assert main([*TINY, "--steps", "6", *flags, "--out", "run"]) == 0
    told = [line.split(None, 1)[1] for line in capsys.readouterr().out.splitlines() if line.startswith("optimizer ")]
    assert told == ([words] if words else [])


def test_flags_without_effect_are_warned_of(here, capsys):
    flags = ["--rotary-base", "5", "--tf32", "--final-fraction", "0.1", "--batch-makers", "2", "--no-scale-residuals"]
    assert main([*TINY, "--steps", "6", "--device", "cpu", "--schedule", "constant", *flags, "--out", "run"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "warning: --rotary-base: has no effect without --positions rotary",
        "warning: --final-fraction: has no effect without --schedule cosine",
        "warning: --tf32: has no effect on the CPU",
        "warning: --batch-makers: has no effect on the CPU",
    ]


def test_more_workers_than_cores_are_warned_of(here, capsys, monkeypatch):
    monkeypatch.setattr("tinygrad_arith.training.session.available_cores", lambda: 1)
    with printed_warnings():
        assert main([*TINY, "--steps", "6", "--workers", "2", "--worker-kind", "threads", "--out", "run"]) == 0
    assert "warning: --workers 2: more than the 1 cores" in capsys.readouterr().err


def test_a_goal_can_be_taken_away(here, capsys, monkeypatch):
    monkeypatch.setattr("tinygrad_arith.tasks.metrics.Metrics.value", property(lambda self: 1.0))
    assert main([*TINY, "--until", "0.9", "--steps", "30", "--out", "run"]) == 0
    monkeypatch.undo()
    monkeypatch.chdir(here)
    capsys.readouterr()
    assert main(["--resume", "run"]) == 0
    assert "done, at step 10 (--until none goes on to the last step); only tested again" in capsys.readouterr().out
    assert main(["--resume", "run", "--until", "none"]) == 0
    assert read_record(Path("run")).until is None
    assert read_metrics(Path("run", "metrics.jsonl"))[-1]["step"] == 30
