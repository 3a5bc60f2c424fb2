"""The layout of samples, the loss, the answers, and what happens to text that people type."""

import itertools

import numpy as np
import pytest

from tinygrad_arith.tasks import Problem, TaskConfig, build_task
from tinygrad_arith.tasks.digits import to_integers

LAYOUTS = list(itertools.product(("reversed", "plain"), ("zero", "none"), ("answer", "all"), ("uniform", "by-length")))


def task_of(**changes):
    return build_task(TaskConfig(**{"digits": 4, "validation_size": 9, "test_size": 25, **changes}))


@pytest.mark.parametrize(
    ("order", "padding", "problem"),
    [
        ("reversed", "none", Problem("1011+11=", "00001.")),
        ("reversed", "zero", Problem("1011+1100=", "00001.")),
        ("plain", "none", Problem("1101+11=", "10000.")),
        ("plain", "zero", Problem("1101+0011=", "10000.")),
    ],
)
def test_thirteen_and_three_in_each_layout(order, padding, problem):
    task = task_of(order=order, padding=padding)
    typed = "1011+110=" if order == "reversed" else "1101+011="
    assert task.text(task.parse(typed)) == [problem]
    assert task.statements(task.parse(typed)) == ["13 + 3 = 16"]


@pytest.mark.parametrize(("order", "padding", "loss", "operands"), LAYOUTS)
def test_every_row_of_a_batch_is_a_right_sum(order, padding, loss, operands):
    task = task_of(order=order, padding=padding, loss=loss, operands=operands, digits=5)
    batch = task.train_batch(7, 40, seed=3)
    direction = -1 if order == "reversed" else 1
    assert batch.tokens.shape == batch.targets.shape == (40, task.context)
    assert batch.tokens.dtype == batch.targets.dtype == np.int64
    for row in batch.tokens:
        sample = task.vocabulary.decode(row).rstrip("_")
        first, second, total = (int(number[::direction], 2) for number in sample[:-1].replace("+", "=").split("="))
        assert first + second == total
        assert sample.endswith(".")
        assert len(sample) == task.context or padding == "none"


@pytest.mark.parametrize(("order", "padding", "loss", "operands"), LAYOUTS)
def test_targets_are_the_next_tokens_where_the_loss_counts_and_nothing_elsewhere(order, padding, loss, operands):
    task = task_of(order=order, padding=padding, loss=loss, operands=operands)
    batch = task.train_batch(1, 30, seed=3)
    for tokens, targets in zip(batch.tokens, batch.targets, strict=True):
        sample = task.vocabulary.decode(tokens).rstrip("_")
        first = sample.index("=") + 1 if loss == "answer" else 1
        for place in range(task.context):
            counts = first <= place + 1 < len(sample)
            assert targets[place] == (tokens[place + 1] if counts else -1)


def test_the_key_mask_is_false_on_padding_and_absent_where_there_is_none():
    padded = task_of(padding="zero").train_batch(0, 20, seed=1)
    assert padded.key_mask is None
    assert padded.positions is None
    assert padded.weights is None
    ragged = task_of(padding="none").train_batch(0, 20, seed=1)
    assert ragged.key_mask.dtype == bool
    np.testing.assert_array_equal(ragged.key_mask, ragged.tokens != 0)


@pytest.mark.parametrize("bits", [4, 12])
def test_a_training_batch_is_a_pure_function_of_step_size_and_seed(bits):
    task = task_of(digits=bits)
    once = task.train_batch(5, 16, seed=2).tokens
    task.train_batch(6, 16, seed=2)
    np.testing.assert_array_equal(once, task_of(digits=bits).train_batch(5, 16, seed=2).tokens)
    for step, seed in ((6, 2), (5, 3)):
        assert not np.array_equal(once, task.train_batch(step, 16, seed=seed).tokens)


@pytest.mark.parametrize("operands", ["uniform", "by-length"])
@pytest.mark.parametrize("bits", [4, 12])
def test_no_training_batch_holds_a_held_out_pair(bits, operands):
    task = task_of(digits=bits, operands=operands)
    held_out = {
        text for split, size in (("test", 25), ("validation", 9)) for text in task.text(task.problems(split, size))
    }
    assert len(held_out) == 34
    for step in range(20):
        assert not held_out & set(task.text(task.train_problems(step, 64, seed=1)))


def test_operands_longer_than_any_machine_word_add_up():
    task = task_of(digits=64)
    problems = task.problems("test", 25)
    first, second = to_integers(problems.first, 2), to_integers(problems.second, 2)
    assert max(first) >= 2**60
    answers = [text.answer[:-1][::-1] for text in task.text(problems)]
    assert [int(answer, 2) for answer in answers] == [a + b for a, b in zip(first, second, strict=True)]


def test_problems_beyond_the_split_and_unknown_splits_are_refused():
    task = task_of()
    with pytest.raises(ValueError, match="--count 26: the test split holds 25 problems"):
        task.problems("test", 26)
    with pytest.raises(ValueError, match="split 'train': must be one of test, validation"):
        task.problems("train", 1)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("12+3=", "'2' at position 2 is not a binary digit: allowed are 0 and 1"),
        ("1 + x", "'x' at position 5 is not a binary digit: allowed are 0 and 1"),
        ("11111+1=", "the first operand has 5 digits: this model adds numbers of at most 4"),
        ("1+00000=", "the second operand has 5 digits: this model adds numbers of at most 4"),
        ("1011=", "there is no '+' in '1011=': write a problem as 1011+110="),
        ("", "there is no '+' in '': write a problem as 1011+110="),
        ("+1=", "the first operand is empty: write a problem as 1011+110="),
        ("1+=", "the second operand is empty: write a problem as 1011+110="),
        ("1+1+1=", "a second '+' at position 4: a problem has two operands"),
        ("1+1=01.", "'0' at position 5 stands behind the '=', which ends a problem"),
    ],
)
def test_what_is_no_problem_is_told_in_one_sentence(text, sentence):
    with pytest.raises(ValueError, match=r".") as caught:
        task_of().parse(text)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("text", ["11+1=", "11+1", " 11 + 1 = \n", "1100+1000="])
def test_spaces_and_the_equals_sign_are_optional_and_zeros_make_no_difference(text):
    assert task_of().statements(task_of().parse(text)) == ["3 + 1 = 4"]


@pytest.mark.parametrize("padding", ["zero", "none"])
def test_right_answers_score_and_each_wrong_token_fails(padding):
    task = task_of(padding=padding)
    problems = task.problems("test", 20)
    right = task.answers(problems)
    assert task.score(right, problems).all()
    for place in range(task.answer_length):
        wrong = right.copy()
        wrong[:, place] = 1 - (wrong[:, place] == 1)  # some other token
        counted = right[:, place] != task.vocabulary.padding
        np.testing.assert_array_equal(task.score(wrong, problems), ~counted)


@pytest.mark.parametrize("padding", ["zero", "none"])
@pytest.mark.parametrize("loss", ["answer", "all"])
def test_logits_that_point_at_the_next_token_answer_right(padding, loss):
    task = task_of(padding=padding, loss=loss)
    problems = task.problems("test", 20)
    batch = task.batch(problems)
    logits = np.zeros((*batch.tokens.shape, len(task.vocabulary)), dtype=np.float32)
    np.put_along_axis(logits[:, :-1], batch.tokens[:, 1:, None], 1.0, axis=2)
    predictions = task.answer_predictions(logits, batch)
    assert predictions.shape == (20, task.answer_length)
    assert task.score(predictions, problems).all()
    assert not task.score(task.answer_predictions(-logits, batch), problems).any()


def test_the_description_is_one_line():
    for order, padding, loss, operands in LAYOUTS:
        assert "\n" not in task_of(order=order, padding=padding, loss=loss, operands=operands).describe()
    assert task_of(digits=8).describe() == (
        "a+b of up to 8 bits, least significant bit first, zero-padded, loss on the answer, 65,502 training pairs"
    )
