"""Modular addition in Nanda's layout: three positions, one answer token, no padding and no end mark."""

import numpy as np
import pytest

from tinygrad_arith.tasks import Problem, build_task, task_options
from tinygrad_arith.tasks.enumerated import EnumeratedProblems


def task_of(modulus=13, **changes):
    return build_task(task_options(**{"kind": "modular-addition", "modulus": modulus, **changes}))


def test_the_published_shape():
    task = task_of(113)
    assert len(task.vocabulary) == 114
    assert (task.context, task.longest_context, task.position_count, task.answer_length) == (3, 3, 3, 1)
    assert task.train_size == 3_830  # 30 % of 12,769


@pytest.mark.parametrize("modulus", [2, 7, 13, 250])
def test_every_row_is_a_right_sum_and_only_the_answer_bears_loss(modulus):
    task = task_of(modulus)
    batch = task.train_batch(0, 60, seed=1)
    first, second, equals = batch.tokens.T
    assert (batch.tokens.dtype, batch.tokens.shape) == (np.int64, (60, 3))
    assert (equals == modulus).all()
    assert (batch.targets[:, :2] == -1).all()
    np.testing.assert_array_equal(batch.targets[:, 2], (first + second) % modulus)
    assert (batch.positions, batch.key_mask) == (None, None)


def test_a_loss_on_all_tokens_counts_the_operands_too():
    batch = task_of(loss="all").train_batch(0, 5, seed=1)
    np.testing.assert_array_equal(batch.targets[:, :2], batch.tokens[:, 1:])


def test_all_pairs_are_there_and_none_twice():
    task = task_of(train_size=169 - 10 - 42)
    parts = [task.split[name] for name in ("train", "validation", "test")]
    assert sorted(np.concatenate(parts)) == list(range(169))


def test_full_batches_hold_every_training_problem_at_every_step():
    task = task_of(draws="epochs")
    expected = sorted(task.split["train"])
    orders = [task.train_problems(step, task.train_size, seed=4).indices for step in range(3)]
    assert all(sorted(order) == expected for order in orders)
    assert not np.array_equal(orders[0], orders[1])


def test_text_is_written_with_spaces_and_read_back():
    task = task_of(113)
    problem = task.parse("5 111 =")
    assert task.text(problem) == [Problem("5 111 = ", "3")]
    assert task.statements(problem) == ["5 + 111 = 3 (mod 113)"]
    for text in ("5 111", "5+111=", " 5 + 111 "):
        assert task.parse(text).indices.tolist() == problem.indices.tolist() == [5 * 113 + 111]
    np.testing.assert_array_equal(task.vocabulary.encode(task.text(problem)[0].prompt), task.prompt(problem).tokens[0])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("5", "'5' is no problem: write two numbers, such as 1 12 ="),
        ("1 2 3", "'1 2 3' is no problem: write two numbers, such as 1 12 ="),
        ("1 x", "'1 x' is no problem: write two numbers, such as 1 12 ="),
        ("-1 2", "'-1 2' is no problem: write two numbers, such as 1 12 ="),
        ("1 13 =", "13: must be 0 to 12, below the modulus"),
        ("1 " + "9" * 5000, "9" * 40 + "... (5,000 characters): must be 0 to 12, below the modulus"),
    ],
)
def test_what_is_no_problem_is_told_in_one_sentence(text, sentence):
    with pytest.raises(ValueError, match=r".") as caught:
        task_of().parse(text)
    assert str(caught.value) == sentence


def test_right_answers_score_and_wrong_ones_do_not():
    task = task_of()
    problems = task.problems("test", 42)
    batch = task.batch(problems)
    logits = np.zeros((42, 3, 14), dtype=np.float32)
    np.put_along_axis(logits[:, 2], batch.targets[:, 2, None], 1.0, axis=1)
    predictions = task.answer_predictions(logits, batch)
    assert predictions.shape == (42, 1)
    assert task.score(predictions, problems).all()
    assert not task.score((predictions + 1) % 13, problems).any()


def test_zero_is_a_number_here_and_no_padding():
    task = task_of()
    problem = EnumeratedProblems(np.array([0]))
    assert task.text(problem) == [Problem("0 0 = ", "0")]
    assert task.answer_token_counts(problem).tolist() == [1]
    assert not task.score(np.array([[5]]), problem)[0]


def test_groups_and_description():
    task = task_of(113)
    groups = task.groups(EnumeratedProblems(np.array([0, 5 * 113 + 111])))
    assert {title: values.tolist() for title, values in groups.items()} == {"times the modulus is taken off": [0, 1]}
    assert task.number_tokens().tolist() == list(range(task.modulus))
    assert task.describe() == "a+b modulo 113, 3,830 training pairs"
