"""What the train command tells while it trains, on request: answers of the model, events for TensorBoard."""

import json
import sys
from types import ModuleType

import pytest

from tinygrad_arith.cli import progress
from tinygrad_arith.cli.train import main
from tinygrad_arith.cli.watching import watching
from tinygrad_arith.run_files.metrics import flat, read_metrics
from tinygrad_arith.training.runs import load_run

FLAGS = ["--digits", "3", "--validation-size", "8", "--test-size", "8", "--d-model", "16", "--layers", "1"]
FLAGS += ["--heads", "2", "--batch", "8", "--warmup", "2", "--steps", "12", "--eval-every", "2", "--dropout", "0.1"]
FLAGS += ["--checkpoint-every", "4"]


@pytest.fixture
def train(call_command, no_picture, tmp_path, monkeypatch):
    """A function from further flags to (exit code, stdout, stderr); the working directory is empty."""
    monkeypatch.chdir(tmp_path)
    return lambda *flags: call_command(main, *flags)


def seal(run):
    return json.loads((run / "checkpoints" / "step-00000012.json").read_text(encoding="utf-8"))["sha256"]


def test_previews_are_shown_beside_the_pipe_and_change_no_bit(train, tmp_path):
    code, plain, err = train(*FLAGS, "--out", "plain")
    assert (code, err) == (0, "")
    code, out, err = train(*FLAGS, "--out", "shown", "--preview", "3")
    assert code == 0
    lines = err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["  step 6"] * 3 + ["  step 12"] * 3
    steps = [line.removeprefix("step").split()[0] for line in out.splitlines() if line.startswith("step ")]
    assert steps == [f"{step}/12" for step in (1, 2, 4, 6, 8, 10, 12)]
    assert len(out.splitlines()) == len(plain.splitlines())
    assert seal(tmp_path / "shown") == seal(tmp_path / "plain")
    run = load_run(tmp_path / "shown")
    for line, statement in zip(lines[3:], run.task.statements(run.task.problems("validation", 3)), strict=True):
        assert f"   {statement}   " in line
        assert line.endswith(("   right", " is right"))


def test_a_run_that_goes_on_shows_the_same_evaluations(train, tmp_path):
    assert train(*FLAGS, "--schedule", "constant", "--steps", "8", "--out", "run")[0] == 0
    code, _, err = train("--resume", "run", "--steps", "12", "--preview", "3")
    assert (code, [line.split(":")[0] for line in err.splitlines()]) == (0, ["  step 12"] * 3)


@pytest.fixture
def tensorboardx(monkeypatch):
    """Stands for the package, which need not be installed: what was written, by folder."""
    written = {}

    class SummaryWriter:
        def __init__(self, logdir, purge_step=None):
            self.scalars = written.setdefault(logdir, [])
            self.scalars.append(("begins", purge_step))

        def add_scalar(self, tag, scalar_value, global_step):
            self.scalars.append((tag, scalar_value, global_step))

        def close(self):
            self.scalars.append(("ends",))

    package = ModuleType("tensorboardX")
    package.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "tensorboardX", package)
    monkeypatch.setattr("tinygrad_arith.training.tensorboard.is_installed", lambda: True)
    return written


def test_tensorboard_gets_every_number_of_the_metrics(train, tensorboardx, tmp_path):
    assert train(*FLAGS, "--schedule", "constant", "--out", "a/run", "--tensorboard", "events")[0] == 0
    (folder,) = tensorboardx
    assert folder == str(tmp_path.joinpath("events", "run").relative_to(tmp_path))
    begun, *scalars, ended = tensorboardx[folder]
    rows = [flat(row) for row in read_metrics(tmp_path / "a" / "run" / "metrics.jsonl")]
    assert (begun, ended) == (("begins", None), ("ends",))
    assert scalars == [(name, value, row["step"]) for row in rows for name, value in row.items() if name != "step"]
    assert {"loss", "exact_match", "by_position_1"} <= {name for name, *_ in scalars}
    assert train("--resume", "a/run", "--steps", "13", "--tensorboard", "events")[0] == 0
    assert tensorboardx[folder][len(scalars) + 2] == ("begins", 13)


def test_events_are_what_tensorboard_reads(train, tmp_path):
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed: pip install -e '.[tensorboard]'")
    from tensorboardX.proto.event_pb2 import Event

    assert train(*FLAGS, "--out", "run", "--tensorboard", "events")[0] == 0
    (file,) = (tmp_path / "events" / "run").iterdir()
    data, events = file.read_bytes(), []
    while data:  # length, its checksum, the event, its checksum
        length = int.from_bytes(data[:8], "little")
        events.append(Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    losses = [value.simple_value for event in events for value in event.summary.value if value.tag == "loss"]
    assert losses == pytest.approx([row["loss"] for row in read_metrics(tmp_path / "run" / "metrics.jsonl")])


def test_without_tensorboardx_nothing_is_made_and_a_sentence_says_so(train, tmp_path, monkeypatch):
    monkeypatch.setattr("tinygrad_arith.training.tensorboard.is_installed", lambda: False)
    code, out, err = train(*FLAGS, "--tensorboard", "events")
    assert (code, out) == (1, "")
    assert err == 'error: --tensorboard: needs tensorboardX: pip install -e ".[tensorboard]"\n'
    assert list(tmp_path.iterdir()) == []


def test_a_task_without_answers_has_no_previews(capsys):
    class Described:
        goal = progress.EXACT_MATCH

    arguments = type("Arguments", (), {"preview": 1, "tensorboard": None})
    reporters = watching(arguments, type("Session", (), {"task": Described()})).reporters
    assert [type(one) for one in reporters] == [progress.LineReporter]
    assert capsys.readouterr().err.startswith("warning: --preview: has no effect on this task")


@pytest.mark.parametrize("flag", [["--preview", "0"], ["--preview", "x"], ["--tensorboard", ""]])
def test_misuse_is_one_sentence(train, flag):
    code, out, err = train(*FLAGS, *flag)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {flag[0]}: must be ")
