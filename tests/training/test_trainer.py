import dataclasses
import json
import math
import signal

import numpy as np
import pytest

from tinygrad_arith.cli.progress import LineReporter
from tinygrad_arith.options.errors import UserError
from tinygrad_arith.run_files.metrics import read_metrics
from tinygrad_arith.run_files.predictions import read_predictions
from tinygrad_arith.training.build import initialize, make_model, make_optimizer, make_task
from tinygrad_arith.training.config import Config
from tinygrad_arith.training.reporter import Reporter
from tinygrad_arith.training.runs import RunRecord
from tinygrad_arith.training.trainer import Session, Trainer

TINY = Config.from_dict(
    {
        "task": {"digits": 3, "validation_size": 8, "test_size": 8},
        "model": {"d_model": 16, "heads": 2, "layers": 1},
        "optimizer": {"warmup": 3},
        "training": {"steps": 20, "batch": 8, "eval_every": 6, "eval_size": 8, "checkpoint_every": 7},
    }
)


def tiny(**sections):
    changes = {name: dataclasses.replace(getattr(TINY, name), **values) for name, values in sections.items()}
    return dataclasses.replace(TINY, **changes)


def make_trainer(config, directory, until=None, reporter=None):
    directory.mkdir(exist_ok=True)
    task = make_task(config.task)
    model = initialize(make_model(config, task), config)
    record = RunRecord(config, "tiny", until)
    return Trainer(Session(record, directory, task, model, make_optimizer(config, model)), reporter)


def weights_after(config, directory, **options):
    trainer = make_trainer(config, directory, **options)
    trainer.run()
    return trainer.model.state_dict()


def same_bits(first, second):
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


class Listener(Reporter):
    def __init__(self):
        self.events = []

    def started(self, step, steps):
        self.events.append(("started", step, steps))

    def stepped(self, row):
        self.events.append(("stepped", row["step"], "exact_match" in row))

    def saved(self, step, path):
        self.events.append(("saved", step))

    def ended(self):
        self.events.append(("ended",))


def test_the_order_of_events(tmp_path):
    listener = Listener()
    outcome = make_trainer(TINY, tmp_path, reporter=listener).run()
    assert not outcome.stopped
    assert listener.events[0] == ("started", 0, 20)
    assert listener.events[-1] == ("ended",)
    assert [e[1] for e in listener.events if e[0] == "stepped" and e[2]] == [6, 12, 18, 20]
    assert [e[1] for e in listener.events if e[0] == "saved"] == [7, 14, 20]
    assert sorted(path.stem for path in (tmp_path / "checkpoints").glob("*.json")) == ["step-00000014", "step-00000020"]


def test_a_signal_while_the_last_step_is_saved_is_not_forgotten(tmp_path):
    class Interrupts(Listener):
        def saved(self, step, path):
            if step == 20:
                signal.raise_signal(signal.SIGINT)

    trainer = make_trainer(TINY, tmp_path, reporter=Interrupts())
    assert trainer.run().signal == signal.SIGINT
    assert trainer.finished()
    trainer.reporter = Listener()
    assert not trainer.run().stopped  # taken up again, there is nothing to do


def test_nobody_hears_is_told_with_the_reason(tmp_path):
    class BreaksAt(Listener):
        def stepped(self, row):
            if row["step"] == 3:
                self.output_error = OSError("no more room")

    trainer = make_trainer(TINY, tmp_path, reporter=BreaksAt())
    outcome = trainer.run()
    assert (outcome.signal, str(outcome.output_error)) == (None, "no more room")
    assert (tmp_path / "checkpoints" / "step-00000003.json").is_file()


def test_metrics_have_a_row_for_each_step(tmp_path):
    make_trainer(TINY, tmp_path).run()
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, 21))
    assert all(math.isfinite(row[name]) for row in rows for name in ("loss", "gradient_norm", "learning_rate"))
    assert [row["examples"] for row in rows] == list(range(8, 161, 8))
    assert rows[0]["loss"] == pytest.approx(math.log(7), abs=0.7)  # an untrained model knows nothing of 7 tokens
    assert rows[0]["learning_rate"] == pytest.approx(TINY.optimizer.learning_rate / 3)
    seconds = [row["seconds"] for row in rows]
    assert seconds == sorted(seconds)


def test_an_evaluation_is_told_in_the_row_of_its_step(tmp_path):
    trainer = make_trainer(TINY, tmp_path)
    trainer.run()
    rows = read_metrics(tmp_path / "metrics.jsonl")
    evaluated = [row for row in rows if "exact_match" in row]
    assert [row["step"] for row in evaluated] == [6, 12, 18, 20]
    evaluation = trainer.task.evaluate(trainer.model, "validation", 8)
    assert evaluated[-1]["exact_match"] == evaluation.value
    assert evaluated[-1]["validation_loss"] == evaluation.loss
    right = trainer.task.answers(evaluation.problems) == evaluation.predictions
    assert evaluated[-1]["by_position"] == pytest.approx(right.mean(axis=0))
    assert read_predictions(tmp_path / "predictions.jsonl").steps == [6, 12, 18, 20]


def test_where_a_row_is_a_prefix_an_evaluation_tells_the_measure_of_the_article_too(tmp_path):
    sections = {
        "task": {"kind": "decimal-addition", "digits": 2, "rows": "prefix", "validation_size": 50, "test_size": 50},
        "model": {"kind": "window-gpt", "d_model": 8, "layers": 1, "heads": 2},
        "optimizer": {"warmup": 0},
        "training": {"steps": 2, "batch": 16, "eval_every": 1, "eval_size": 50},
    }
    trainer = make_trainer(Config.from_dict(sections).resolved(), tmp_path)
    trainer.run()
    evaluation = trainer.task.evaluate(trainer.model, "validation", 50)
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert [row["in_fives"] for row in rows][-1] == evaluation.values["in_fives"]
    assert all("in_fives" in row for row in rows)


def test_training_lowers_the_loss(tmp_path):
    config = tiny(training={"steps": 60}, optimizer={"learning_rate": 5e-3})
    make_trainer(config, tmp_path).run()
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert rows[-1]["loss"] < 0.6 * rows[0]["loss"]


def test_biases_that_are_not_trained_keep_what_they_start_with(tmp_path):
    trainer = make_trainer(tiny(optimizer={"train_biases": False}), tmp_path)
    before = {name: p.array.copy() for name, p in trainer.model.named_parameters().items()}
    trainer.run()
    for name, parameter in trainer.model.named_parameters().items():
        assert np.array_equal(parameter.array, before[name]) == (not parameter.decay), name


def test_the_same_seed_gives_the_same_bits(tmp_path):
    config = tiny(model={"dropout": 0.2})
    first, second = (weights_after(config, tmp_path / name) for name in "ab")
    assert same_bits(first, second)
    other = weights_after(tiny(model={"dropout": 0.2}, training={"seed": 2}), tmp_path / "c")
    assert not same_bits(first, other)


def test_evaluating_and_saving_more_often_changes_nothing(tmp_path):
    first = weights_after(TINY, tmp_path / "a")
    second = weights_after(tiny(training={"eval_every": 1, "checkpoint_every": 2}), tmp_path / "b")
    assert same_bits(first, second)


def test_weights_keep_their_dtype(tmp_path):
    for dtype in ("float32", "float64"):
        weights = weights_after(tiny(training={"dtype": dtype, "steps": 7}), tmp_path / dtype)
        assert {array.dtype.name for array in weights.values()} == {dtype}


def test_until_stops_at_the_evaluation_that_reaches_it(tmp_path):
    trainer = make_trainer(tiny(training={"eval_every": 4}), tmp_path, until=1.0)
    accuracies = iter([0.25, 1.0])

    def evaluate():
        trainer.progress.value = next(accuracies)
        return {"exact_match": trainer.progress.value}

    trainer.evaluate = evaluate
    assert not trainer.run().stopped
    assert trainer.progress.step == 8
    facts = json.loads((tmp_path / "checkpoints" / "step-00000008.json").read_text(encoding="utf-8"))
    assert facts["exact_match"] == 1.0


def test_what_a_checkpoint_tells_of_the_progress(tmp_path):
    trainer = make_trainer(TINY, tmp_path)
    trainer.run()
    last = read_metrics(tmp_path / "metrics.jsonl")[-1]
    facts = json.loads((tmp_path / "checkpoints" / "step-00000020.json").read_text(encoding="utf-8"))
    assert (facts["step"], facts["examples"], facts["exact_match"]) == (20, 20 * 8, last["exact_match"])


@pytest.mark.parametrize(
    "fails",
    ["run_files.predictions.PredictionsWriter", "training.trainer.start_steps", "training.trainer.make_batches"],
)
def test_what_was_opened_is_closed_when_the_rest_cannot_be_opened(tmp_path, monkeypatch, fails):
    listener, closed = Listener(), []

    def failing(*arguments, **options):
        raise OSError("no more of these")

    class Closes:
        waits = False

        def close(self):
            closed.append(self)

    monkeypatch.setattr("tinygrad_arith.training.trainer.start_steps", lambda *arguments: Closes())
    monkeypatch.setattr(f"tinygrad_arith.{fails}", failing)
    trainer = make_trainer(TINY, tmp_path, reporter=listener)
    with pytest.raises(OSError, match="no more of these"):
        trainer.run()
    assert trainer.metrics.file.closed
    assert trainer.predictions is None or trainer.predictions.file.closed
    assert len(closed) == (fails.endswith("make_batches"))
    assert listener.events == [("started", 0, 20), ("ended",)]


def test_a_learning_rate_that_blows_up_names_step_and_tensor(tmp_path):
    trainer = make_trainer(tiny(optimizer={"learning_rate": 1e30}), tmp_path)
    with pytest.raises(UserError, match=r"^step \d+: .* is the first tensor that is not finite"):
        trainer.run()
    assert all(math.isfinite(row["loss"]) for row in read_metrics(tmp_path / "metrics.jsonl"))


def test_a_poisoned_parameter_is_named_and_nothing_is_updated(tmp_path):
    trainer = make_trainer(TINY, tmp_path)
    weights = trainer.model.state_dict()
    weights["blocks.0.ffn.up.weight"][3, 5] = np.nan
    trainer.model.load_state_dict(weights)
    with pytest.raises(UserError, match=r"^step 1: the loss is nan; parameter blocks\.0\.ffn\.up\.weight is the first"):
        trainer.run()
    after = trainer.model.state_dict()
    assert all(np.array_equal(after[name], weights[name], equal_nan=True) for name in weights)
    assert not (tmp_path / "checkpoints").exists()


def test_plain_lines(tmp_path, capsys):
    make_trainer(TINY, tmp_path, reporter=LineReporter()).run()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["1/20", "6/20", "12/20", "18/20", "20/20"]
    assert all("loss " in line and "examples/s" in line and line.endswith(" left") for line in lines)


def test_a_line_says_100_percent_of_all_only(capsys):
    reporter = LineReporter()
    reporter.started(0, 9)
    for step, measured in ((1, {}), (2, {"exact_match": 0.99996}), (3, {"exact_match": 1.0})):
        reporter.stepped({"step": step, "loss": 0.5, "examples_per_second": 1.0, **measured})
    found = [line.split("exact match")[1].split()[0] for line in capsys.readouterr().out.splitlines()]
    assert found == ["-", "99.99%", "100.00%"]
