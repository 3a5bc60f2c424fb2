"""What is different on Windows, emulated: files that are open elsewhere, shells, pipes, full disks, signals, names."""

import errno
import io
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tinygrad_arith.cli import console
from tinygrad_arith.cli.compare import default_directory
from tinygrad_arith.cli.console import data_table, lost_output, run_command
from tinygrad_arith.cli.progress import BarReporter, WatchedReporter
from tinygrad_arith.comparisons.jobs import JobsReporter, MetricsFollower, RunningJob, SideBySide
from tinygrad_arith.files import durability
from tinygrad_arith.files.names import fault_of_name
from tinygrad_arith.files.writing import Replacement, write_text
from tinygrad_arith.options.calling import as_typed
from tinygrad_arith.options.errors import MisuseError, RunWarning
from tinygrad_arith.options.system import in_words, system_error
from tinygrad_arith.parallel import interrupts
from tinygrad_arith.parallel.child_process import ChildProcess
from tinygrad_arith.run_files.checkpoints import Progress, complete_checkpoints, save_arrays, save_checkpoint
from tinygrad_arith.run_files.metrics import read_metrics, trim_metrics
from tinygrad_arith.tasks.metrics import EXACT_MATCH
from tinygrad_arith.training.runs import check_directory, resume_command


@pytest.fixture
def held(monkeypatch, held_error):
    """The names of files that another program has open: they are neither deleted nor replaced."""
    names, unlink, replace = set(), Path.unlink, os.replace

    def guarded_unlink(path, missing_ok=False):
        if path.name in names:
            raise held_error(path)
        unlink(path, missing_ok)

    def guarded_replace(source, target):
        if Path(target).name in names:
            raise held_error(source, 5)
        replace(source, target)

    monkeypatch.setattr(Path, "unlink", guarded_unlink)
    monkeypatch.setattr(durability.os, "replace", guarded_replace)
    return names


def save(folder, step, keep=1):
    arrays = {"w": np.zeros(2, "float32")}
    save_checkpoint(folder, Progress(step=step, examples=step, seconds=1.0), arrays, {}, seed=1, keep=keep)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("ending", [".json", ".safetensors"])
def test_a_checkpoint_that_is_open_elsewhere_is_pruned_at_a_later_one(tmp_path, held, ending):
    first = f"step-00000001{ending}"
    save(tmp_path, 1)
    held.add(first)
    with pytest.warns(RunWarning, match=f"{first}: .*used by another process; not needed any more, and not deleted"):
        save(tmp_path, 2)
    assert first in names_in(tmp_path)
    assert ("step-00000001.json" in names_in(tmp_path)) == (ending == ".json")  # never complete without its arrays
    held.clear()
    save(tmp_path, 3)
    assert names_in(tmp_path) == ["step-00000003.json", "step-00000003.safetensors"]
    assert len(complete_checkpoints(tmp_path)) == 1


def test_a_file_that_is_open_elsewhere_for_a_while_is_replaced(tmp_path, held, clock, monkeypatch):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 1.0}\n{"step": 2, "loss": 1.0}\n', encoding="utf-8")
    held.add(path.name)
    monkeypatch.setattr(durability.time, "sleep", lambda wait: (clock.append(wait), len(clock) == 4 and held.clear()))
    trim_metrics(path, 1)
    assert [row["step"] for row in read_metrics(path)] == [1]
    assert len(clock) == 4


def test_one_that_stays_open_is_an_error_after_a_while_which_names_it(tmp_path, held, clock):
    path = tmp_path / "config.json"
    write_text(path, "old")
    held.add(path.name)
    with pytest.raises(PermissionError) as raised:
        write_text(path, "new")
    assert in_words(raised.value).startswith(f"{path}: The process cannot access the file")
    assert 0 < sum(clock) <= durability.PATIENCE
    assert 5 < len(clock) < 30  # soon at first, then less often
    assert (path.read_text(encoding="utf-8"), names_in(tmp_path)) == ("old", ["config.json"])


def test_several_files_that_are_replaced_together_wait_too(tmp_path, held, clock, monkeypatch):
    for name in ("a", "b"):
        write_text(tmp_path / name, "old")
    held.add("a")
    monkeypatch.setattr(durability.time, "sleep", lambda wait: (clock.append(wait), held.clear()))
    with Replacement(tmp_path) as files:
        files.path("a").write_text("new", encoding="utf-8")
        files.path("b").write_text("new", encoding="utf-8")
    assert [(tmp_path / name).read_text(encoding="utf-8") for name in ("a", "b")] == ["new", "new"]
    assert len(clock) == 1


def test_one_of_several_that_stays_open_is_named(tmp_path, held, clock):
    held.add("a")
    with pytest.raises(PermissionError) as raised, Replacement(tmp_path) as files:
        files.path("a").write_text("new", encoding="utf-8")
    assert raised.value.filename == str(tmp_path / "a")


def test_a_comparison_goes_on_while_metrics_are_being_replaced(tmp_path, monkeypatch, held_error):
    path = tmp_path / "metrics.jsonl"
    follower = MetricsFollower(path)
    assert follower.newest() is None
    path.write_text('{"step": 1}\n', encoding="utf-8")
    monkeypatch.setattr("builtins.open", raising_any(held_error(path)))
    assert follower.newest() is None
    monkeypatch.undo()
    assert follower.newest() == {"step": 1}


def test_what_another_system_refuses_is_refused_at_once(tmp_path, clock, monkeypatch):
    def refuse(source, target):
        raise PermissionError(errno.EACCES, "Permission denied", str(source))

    monkeypatch.setattr(durability.os, "replace", refuse)
    with pytest.raises(PermissionError, match="Permission denied"):
        write_text(tmp_path / "a", "new")
    assert clock == []


WORDS = ["python", "-m", "tinygrad_arith.train", "--resume", "runs\\two words", "a&b", "--x=50%", "it's", "", "plain"]


def test_commands_are_quoted_for_the_shells_there(windows):
    typed = as_typed(WORDS)
    assert typed == ('python -m tinygrad_arith.train --resume "runs\\two words" "a&b" "--x=50%" "it\'s" "" plain')
    assert resume_command(Path("runs/it is")) == 'python -m tinygrad_arith.train --resume "runs/it is"'


def test_a_backslash_before_the_quote_is_doubled(windows):
    assert as_typed(["a b\\", "a&b\\", 'say "x"']) == '"a b\\\\" "a&b\\\\" "say \\"x\\""'


def test_elsewhere_they_are_for_a_posix_shell():
    assert as_typed(["a b", "it's"]) == """'a b' 'it'"'"'s'"""


def raising(error):
    def main():
        raise error

    return main


def test_a_pipe_that_is_closed_is_no_error_of_ours(windows, monkeypatch, capsys):
    left = []
    monkeypatch.setattr(console, "leave_output", lambda *stream: left.append(True))
    with pytest.raises(SystemExit) as ended:
        run_command(raising(OSError(errno.EINVAL, "Invalid argument")))  # what print raises there
    assert (ended.value.code, capsys.readouterr().err, left) == (1, "", [True])
    lost_output(OSError(errno.EINVAL, "Invalid argument"), "stopped after step 3")
    assert capsys.readouterr().err == "error: stdout: Broken pipe; stopped after step 3\n"


@pytest.mark.parametrize("error", [OSError(errno.EINVAL, "Invalid argument", "runs/x"), OSError(errno.EBADF, "Bad")])
def test_any_other_error_is_told(windows, error, capsys):
    with pytest.raises(SystemExit):
        run_command(raising(error))
    assert capsys.readouterr().err == f"error: {in_words(error)}\n"


def test_an_invalid_argument_elsewhere_is_none_of_a_pipe(capsys):
    with pytest.raises(SystemExit):
        run_command(raising(OSError(errno.EINVAL, "Invalid argument")))
    assert "Invalid argument" in capsys.readouterr().err


def safetensors_saying(monkeypatch, sentence):
    from safetensors import SafetensorError

    monkeypatch.setattr("safetensors.numpy.save_file", raising_any(SafetensorError(sentence)))


def raising_any(error):
    def call(*arguments, **named):
        raise error

    return call


def test_a_full_disk_has_its_own_number_and_its_own_words(windows, monkeypatch, tmp_path):
    said = "Error while serializing: I/O error: There is not enough space on the disk. (os error 112)"
    safetensors_saying(monkeypatch, said)
    with pytest.raises(OSError, match="There is not enough space on the disk") as raised:
        save_arrays(tmp_path / "a", {})
    assert raised.value.errno == errno.ENOSPC in console.FULL
    assert "Host is down" not in str(raised.value)


def test_elsewhere_a_number_is_the_systems_own(monkeypatch, tmp_path):
    safetensors_saying(monkeypatch, f'I/O error: whatever (os error {errno.ENOSPC}) at path "/x/.tmpA"')
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as raised:
        save_arrays(tmp_path / "a", {})
    assert raised.value.errno == errno.ENOSPC


def test_other_errors_there_keep_their_words(windows):
    assert "Access is denied." in str(system_error(5, "Access is denied."))


@pytest.fixture
def has_break(monkeypatch):
    """A signal of this system plays SIGBREAK."""
    number = getattr(signal, "SIGBREAK", None) or signal.SIGUSR2
    monkeypatch.setattr(interrupts, "BREAK", number)
    monkeypatch.setattr(interrupts, "STOP_SIGNALS", (signal.SIGINT, signal.SIGTERM, number))
    monkeypatch.setattr("tinygrad_arith.cli.progress.FROM_KEYBOARD", (signal.SIGINT, number))
    before = signal.getsignal(number)
    yield number
    signal.signal(number, before)


def test_ctrl_break_lets_the_step_finish_as_ctrl_c_does(has_break):
    with interrupts.StopSignals() as signals:
        signal.raise_signal(has_break)
        signal.raise_signal(has_break)  # does nothing
        assert signals.received == has_break
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_it_is_answered_at_once(has_break, capfd):
    WatchedReporter().stopping(has_break)
    assert "stopping after this step" in capfd.readouterr().err


def test_workers_ignore_it_once_they_listen(has_break):
    before = {number: signal.getsignal(number) for number in interrupts.STOP_SIGNALS}
    try:
        interrupts.ignore_stop_signals()
        signal.raise_signal(has_break)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class FakeProcess:
    """A process that notes how it was started and what it was sent."""

    started: list = []  # noqa: RUF012  # of all of them

    def __init__(self, command, **how):
        self.started.append(how)
        self.stdin, self.stdout, self.sent, self.ended = io.BytesIO(), io.BytesIO(), [], False

    def send_signal(self, number):
        if number == interrupts.BREAK_EVENT and self.ended:
            raise OSError(errno.EINVAL, "The handle is invalid")
        self.sent.append(number)

    def terminate(self):
        self.sent.append("ended")


@pytest.fixture
def started(monkeypatch):
    """How the processes were started."""
    monkeypatch.setattr(FakeProcess, "started", [])
    monkeypatch.setattr(subprocess, "Popen", FakeProcess)
    monkeypatch.setattr("tinygrad_arith.comparisons.jobs.Popen", FakeProcess)
    return FakeProcess.started


def test_no_ctrl_c_reaches_a_worker_before_it_listens(windows, started):
    ChildProcess("a.module", "a task")
    assert started[0]["creationflags"] == 0x200  # CREATE_NEW_PROCESS_GROUP


def test_elsewhere_a_worker_is_in_the_same_group_with_signals_blocked(started):
    ChildProcess("a.module", "a task")
    assert "creationflags" not in started[0]


def job_in(folder):
    return types.SimpleNamespace(
        directory=folder / "a", name="a", command=lambda: ["train"], config=types.SimpleNamespace(training=None)
    )


def test_a_run_of_a_comparison_is_asked_to_stop_by_ctrl_break(windows, started, tmp_path):
    one = RunningJob(job_in(tmp_path), {}, one_core=False)
    assert started[0]["creationflags"] == 0x200
    assert "start_new_session" not in started[0]
    one.stop()
    assert one.process.sent == [interrupts.BREAK_EVENT]


def test_one_without_a_console_is_ended(windows, started, tmp_path):
    one = RunningJob(job_in(tmp_path), {}, one_core=False)
    one.process.ended = True
    one.stop()
    assert one.process.sent == ["ended"]


def test_elsewhere_it_is_asked_by_ctrl_c(started, tmp_path):
    one = RunningJob(job_in(tmp_path), {}, one_core=False)
    assert started[0]["start_new_session"]
    one.stop()
    assert one.process.sent == [signal.SIGINT]


def test_a_comparison_stops_when_its_reader_leaves(windows, started, tmp_path, monkeypatch):
    asked = []

    class Left(JobsReporter):
        def begun(self, job):
            self.output_error = OSError(errno.EINVAL, "Invalid argument")  # of a pipe that nobody reads any more

    def stop(one):
        asked.append(one.job.name)
        one.process.poll, one.process.returncode = (lambda: 1), 1

    monkeypatch.setattr(FakeProcess, "poll", lambda process: None, raising=False)
    monkeypatch.setattr(RunningJob, "stop", stop)
    monkeypatch.setattr("tinygrad_arith.comparisons.jobs.is_finished", lambda directory: False)
    monkeypatch.setattr("tinygrad_arith.comparisons.jobs.LOOK_EVERY", 0.0)
    journal = types.SimpleNamespace(add=lambda *noted: None)
    jobs = [job_in(tmp_path), job_in(tmp_path)]
    outcome = SideBySide(jobs, [{}], Left(), journal).run()
    assert (asked, outcome.output_error.errno) == (["a"], errno.EINVAL)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("runs/CON", "like CON, which is a device"),
        ("nul.txt", "like nul.txt, which is a device"),
        ("con .txt", "like con .txt, which is a device"),
        ("runs/com1/x", "like com1, which is a device"),
        ("runs/mine.", "that ends in a dot or a space"),
        ("runs/mine ", "that ends in a dot or a space"),
        ("runs/a:b", "with ':'"),
        ("runs/a?", "with '?'"),
        ("runs/a\nb", r"with '\n'"),
    ],
)
def test_a_name_that_windows_does_not_take_is_misuse(windows, name, fault):
    with pytest.raises(MisuseError) as raised:
        check_directory(Path(name))
    assert str(raised.value) == f"--out {name}: Windows takes no name {fault}"


@pytest.mark.parametrize("name", ["runs/mine", "..", "../x", "C:/runs/x", r"\\server\share\x", "console", "a.b", "."])
def test_other_names_are_taken(windows, name):
    assert fault_of_name(Path(name)) is None


def test_elsewhere_every_name_is_taken():
    assert fault_of_name(Path("runs/CON:")) is None


def test_directories_of_comparisons_have_names_that_every_system_takes():
    assert default_directory("compare", ["a:b", "c?"]).name == "compare-a-b-c-"


def test_a_path_that_is_too_long_is_told(windows):
    path = os.path.abspath("x" * 300)
    error = FileNotFoundError(errno.ENOENT, "The system cannot find the path specified", path)
    words = in_words(error)
    assert words.endswith(f"({len(path)} characters; Windows takes 259, unless long paths are switched on)")
    assert in_words(FileNotFoundError(errno.ENOENT, "No such file", "x")) == "x: No such file"


class OldConsole(io.TextIOWrapper):
    """A terminal of an old code page."""

    def __init__(self, encoding):
        super().__init__(io.BytesIO(), encoding=encoding, errors="strict", newline="\n")

    def isatty(self):
        return True

    def printed(self):
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "ascii"])
def test_tables_and_bars_print_on_old_consoles(encoding, monkeypatch):
    screen = OldConsole(encoding)
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    console.console().print(data_table("a title", ["column", "another"], [["1", "x" * 300]]))
    console.print_facts([("name", "a value " * 40)])
    reporter = BarReporter(EXACT_MATCH)
    reporter.started(0, 10)
    reporter.stepped({"step": 5, "loss": 1.0, "examples_per_second": 10.0, EXACT_MATCH.field: 0.5})
    reporter.ended()
    printed = screen.printed()
    assert "column" in printed
    assert "5/10" in printed


def test_what_a_console_cannot_show_is_a_question_mark(monkeypatch):
    screen = OldConsole("cp437")
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", OldConsole("cp437"))
    console.check_streams()
    Console(file=screen).print("a ␣ of a user's task")
    assert "a ? of a user's task" in screen.printed()
