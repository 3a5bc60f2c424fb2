"""Evaluation in one forward pass: against a model that is right, one that errs where told, and greedy decoding."""

import dataclasses

import numpy as np
import pytest

from tinygrad_arith.autograd import Tensor
from tinygrad_arith.backend import RandomKey
from tinygrad_arith.cli.evaluation_report import (
    evaluation_tables,
    evaluation_values,
    interval_in_words,
    score_row,
    share_in_words,
)
from tinygrad_arith.generation import generate
from tinygrad_arith.models import GPT, GPTConfig
from tinygrad_arith.optim.adamw import AdamWOptions
from tinygrad_arith.options.errors import UserError
from tinygrad_arith.tasks import answering, build_task, task_options
from tinygrad_arith.tasks.arithmetic.digits import longest_carry_chain, significant_lengths
from tinygrad_arith.tasks.metrics import Groups
from tinygrad_arith.tasks.scoring import GroupScore
from tinygrad_arith.training.build import make_optimizer
from tinygrad_arith.training.config import Config
from tinygrad_arith.training.steps import training_step
from tinygrad_arith.training.workers import ThreadWorkers


def task_of(**changes):
    return build_task(task_options(**{"digits": 4, "validation_size": 20, "test_size": 90, **changes}))


class Oracle:
    """A stand-in for a model: it reads the next token off its input, except on rows chosen by `errs(tokens)`."""

    def __init__(self, vocabulary, errs=lambda row: False):
        self.vocabulary, self.errs, self.batches = vocabulary, errs, []

    def __call__(self, ids, positions=None, key_mask=None, dropout_key=None):
        self.batches.append(len(ids))
        following = np.roll(ids, -1, axis=1)
        for row in range(len(ids)):
            if self.errs(ids[row]):
                following[row] = self.vocabulary.padding
        return Tensor(np.eye(len(self.vocabulary), dtype=np.float32)[following])  # (B, T, V)


@pytest.mark.parametrize("padding", ["zero", "none"])
@pytest.mark.parametrize("order", ["reversed", "plain"])
def test_a_right_model_scores_all_and_batches_are_small_enough(padding, order):
    task = task_of(padding=padding, order=order)
    oracle = Oracle(task.vocabulary)
    evaluation = task.judge(oracle, task.problems("test", 90), batch_size=40)
    assert oracle.batches == [40, 40, 10]
    assert (evaluation.correct, evaluation.count, evaluation.value) == (90, 90, 1.0)
    assert evaluation.interval == pytest.approx((0.959, 1.0), abs=1e-3)


@pytest.mark.parametrize(
    ("wrong", "title"),
    [
        *(((), None), ((0, 3), None), (range(90), None)),
        *(((0, 6), "1 more of 2 mistakes"), (range(4, 90), "5 more of 86 mistakes")),
    ],
)
def test_mistakes_are_listed_unless_all_of_them_are_among_the_first_problems(wrong, title, monkeypatch):
    monkeypatch.setattr(answering, "sample_answer", lambda model, task, problem: task.statements(problem))
    monkeypatch.setattr(answering, "as_preview", lambda title, answers: title)
    task = task_of()
    problems = task.problems("test", 90)
    prompts = {task.text(problems[i : i + 1])[0].prompt for i in wrong}
    oracle = Oracle(task.vocabulary, lambda row: task.vocabulary.decode(row[:10]) in prompts)
    shown = task.preview(oracle, task.judge(oracle, problems, batch_size=40))
    assert shown == ["problems from the test", *([title] if title else [])]


def test_mistakes_are_found_where_they_are():
    task = task_of()
    problems = task.problems("test", 90)
    wrong = {text.prompt for text in task.text(problems[::3])}
    oracle = Oracle(task.vocabulary, lambda row: task.vocabulary.decode(row[:10]) in wrong)
    evaluation = task.judge(oracle, problems, batch_size=7)
    np.testing.assert_array_equal(evaluation.right, np.arange(90) % 3 != 0)
    *groups, places, grid = evaluation.breakdowns.values()
    lengths = np.maximum(significant_lengths(problems.first), significant_lengths(problems.second))
    chains = longest_carry_chain(problems.first, problems.second, 2)
    assert [part.title for part in groups] == ["operand length", "longest carry chain"]
    for part, numbers in zip(groups, (lengths, chains), strict=True):
        assert sum(score.total for score in part.scores) == 90
        for score in part.scores:
            assert score.total == (numbers == score.group).sum()
            assert score.correct == evaluation.right[numbers == score.group].sum()
    assert [score.group for score in places.scores] == [1, 2, 3, 4, 5, 6]
    assert all(score.correct == 60 for score in places.scores)
    assert (grid.correct.sum(), grid.count.sum()) == (60, 90)


def test_no_problems_are_no_measurement():
    task = task_of()
    with pytest.raises(UserError, match="there are no problems to evaluate"):
        task.judge(Oracle(task.vocabulary), task.problems("test", 0))


@pytest.mark.parametrize("options", [{}, {"padding": "none"}, {"loss": "all", "padding": "none", "order": "plain"}])
def test_the_loss_is_that_of_a_training_step_on_the_same_problems(options):
    task = task_of(**options)
    shape = GPTConfig(vocabulary=len(task.vocabulary), context=task.context, d_model=16, layers=1, heads=2)
    model = GPT(shape).initialize(seed=4)
    problems = task.problems("test", 90)
    expected, _ = ThreadWorkers(model, 1).forward_backward(task.batch(problems), RandomKey(1, "dropout"))
    assert task.judge(model, problems, batch_size=40).loss == pytest.approx(expected, rel=1e-5)


def test_a_task_without_two_operands_has_no_heat_map():
    task = build_task(task_options("modular-addition", modulus=5, validation_size=4, test_size=4))
    found = task.evaluate(Oracle(task.vocabulary), "test").breakdowns
    assert list(found) == ["by_times_the_modulus_is_taken_off", "by_answer_position"]
    assert sum(score.total for score in found["by_times_the_modulus_is_taken_off"].scores) == 4


@pytest.mark.parametrize("padding", ["zero", "none"])
def test_one_forward_pass_finds_right_what_greedy_decoding_finds_right(padding):
    """On a model that has begun to learn: some of its answers are right, some are wrong."""
    task = build_task(task_options(digits=2, padding=padding, validation_size=1, test_size=1))
    shape = GPTConfig(vocabulary=len(task.vocabulary), context=task.context, d_model=16, layers=1, heads=2)
    model = GPT(shape).initialize(seed=4)
    config = Config(optimizer=AdamWOptions(learning_rate=1e-2, warmup=0, schedule="constant"))
    optimizer = make_optimizer(config, model)
    problems, shares = task.train_problems(1000, 40, seed=9), []
    for step in range(60):
        training_step(ThreadWorkers(model, 1), optimizer, task.train_batch(step, 16, seed=1), config, step)
        if step % 20 == 0:
            right = task.judge(model, problems).right
            greedy = [greedy_answer(model, task, text.prompt) == text.answer for text in task.text(problems)]
            assert right.tolist() == greedy
            shares.append(right.mean())
    assert any(0.1 < share < 0.9 for share in shares)  # otherwise the two agree on nothing


def greedy_answer(model, task, prompt):
    stop = task.vocabulary.ids["."]
    ids = task.vocabulary.encode(prompt)[None]
    return task.vocabulary.decode(generate(model, ids, task.answer_length, stop_token=stop)[0])


def test_only_all_is_100_percent():
    assert share_in_words(999_960, 1_000_000, "test problems") == "99.99% of 1,000,000 test problems (999,960 right)"
    assert interval_in_words((0.999_96, 1.0)) == "99.99% to 100.00%"
    assert score_row(GroupScore(3, 100_000, 99_999))[3] == "99.99%"


def test_the_report_holds_the_same_numbers():
    task = task_of()
    evaluation = task.judge(Oracle(task.vocabulary), task.problems("test", 90))
    values = evaluation_values(evaluation)
    assert (values["count"], values["correct"], values["exact_match"]) == (90, 90, 1.0)
    assert values["loss"] == evaluation.loss
    lost = dataclasses.replace(evaluation, values=evaluation.values | {"loss": float("nan")})
    assert evaluation_values(lost)["loss"] is None  # JSON knows no NaN
    assert sum(group["count"] for group in values["by_operand_length"]) == 90
    assert [table.row_count for table in evaluation_tables(evaluation)] == [
        len(part.scores) for part in evaluation.breakdowns.values() if isinstance(part, Groups)
    ]
