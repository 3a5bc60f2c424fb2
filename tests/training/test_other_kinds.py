"""A task without problems and answers, judged by its loss: all that training, its files and commands need is `Task`."""

import dataclasses

import numpy as np
import pytest

from tinygrad_arith.autograd import no_grad
from tinygrad_arith.backend import RandomKey, integers
from tinygrad_arith.cli.evaluation_report import evaluation_tables, evaluation_values, goal_facts
from tinygrad_arith.cli.progress import LineReporter
from tinygrad_arith.comparisons.finished_runs import read_finished
from tinygrad_arith.models import GPT, GPTConfig
from tinygrad_arith.objectives import NEXT_TOKEN, Batch
from tinygrad_arith.optim import AdamW
from tinygrad_arith.options.errors import UserError
from tinygrad_arith.plots.training_curve import plot_training_curve
from tinygrad_arith.run_files.checkpoints import load_newest
from tinygrad_arith.run_files.metrics import read_metrics
from tinygrad_arith.tasks import Vocabulary, task_options
from tinygrad_arith.tasks.answering import answering
from tinygrad_arith.tasks.metrics import Goal, Metrics, Preview
from tinygrad_arith.training.config import Config
from tinygrad_arith.training.runs import RunRecord, write_record, write_result
from tinygrad_arith.training.trainer import Session, Trainer

CONFIG = Config.from_dict(
    {
        "model": {"d_model": 16, "heads": 2, "layers": 1},
        "optimizer": {"warmup": 3, "learning_rate": 0.02, "schedule": "constant"},
        "training": {"steps": 200, "batch": 16, "eval_every": 5, "checkpoint_every": 50, "device": "cpu"},
    }
).resolved()


class Counting:
    """Six digits, each one more than the one before it."""

    config, objective, goal = task_options(), NEXT_TOKEN, Goal("loss", rising=False, share=False)
    pure_batches, train_size, vocabulary = True, None, Vocabulary(tuple("0123456789"))
    context = longest_context = position_count = 6

    def train_batch(self, step, size, seed, rows=slice(None)):
        return self.rows_from(integers(RandomKey(seed, "digits", step=step), size, 0, 10)[rows])

    def rows_from(self, starts):
        tokens = (starts[:, None] + np.arange(7)) % 10
        return Batch(tokens[:, :-1], tokens[:, 1:])

    def split_size(self, split):
        return 10

    def evaluate(self, model, split, count=None):
        batch = self.rows_from(np.arange(10)[:count])
        with no_grad():
            loss = self.objective.loss(model, batch)
        right = loss.outputs.data.argmax(axis=-1) == batch.targets
        values = {"loss": loss.total.item() / self.objective.count(batch), "accuracy": float(right.mean())}
        return Metrics(goal=self.goal, count=len(right), values=values)

    def preview(self, model, metrics):
        return [Preview("digits", ("first", "next"), [("1", "2")])]

    def describe(self):
        return "counting from a digit on"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(trainer, directory) of a run that stopped when its loss was low enough."""
    directory, task = tmp_path_factory.mktemp("counting"), Counting()
    write_record(directory, RunRecord(CONFIG, "counting", 0.1))
    model = GPT(GPTConfig(vocabulary=10, context=6, d_model=16, layers=1, heads=2)).initialize(seed=1)
    config = dataclasses.replace(CONFIG, training=dataclasses.replace(CONFIG.training, eval_size=10))
    reporter = LineReporter(task.goal)
    session = Session(RunRecord(config, "counting", 0.1), directory, task, model, AdamW(model.flat))
    trainer = Trainer(session, reporter)
    assert not trainer.run().stopped
    return trainer, directory


def test_training_stops_at_the_goal_and_its_files_name_it(trained):
    trainer, directory = trained
    assert trainer.progress.step < 200
    *before, last = [row["validation_loss"] for row in read_metrics(directory / "metrics.jsonl") if "accuracy" in row]
    assert min(before) > 0.1 >= last == trainer.progress.value
    assert load_newest(directory / "checkpoints").progress == trainer.progress
    assert not (directory / "predictions.jsonl").exists()


def test_its_result_is_read_by_comparisons(trained):
    trainer, directory = trained
    metrics = trainer.task.evaluate(trainer.model, "test")
    write_result(directory, trainer.progress.step, 1.0, metrics)
    run = read_finished(directory)
    assert (run.goal, run.value) == (trainer.task.goal, metrics.loss)
    assert run.best() == (trainer.progress.value, trainer.progress.step)
    assert run.values()["test_loss"] == run.value
    assert run.further_results() == {"accuracy": metrics.values["accuracy"]}
    assert plot_training_curve(directory, trainer.task.goal).is_file()


def test_reports_tell_what_there_is(trained):
    trainer, _ = trained
    metrics = trainer.task.evaluate(trainer.model, "test")
    assert goal_facts(metrics, "digits") == [("loss", f"{metrics.loss:.4g} on 10 digits")]
    assert evaluation_values(metrics)["loss"] == metrics.loss
    assert evaluation_tables(metrics) == []


def test_what_needs_answers_says_so_in_one_sentence():
    with pytest.raises(UserError, match=r"^sample needs a task of problems with answers, .* none: counting"):
        answering(Counting(), "sample")
