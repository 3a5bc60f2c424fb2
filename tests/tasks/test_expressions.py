"""Expressions: their enumeration against the article's loops, their values against Python's own arithmetic."""

import itertools

import numpy as np
import pytest

from tinygrad_arith.backend import RandomKey, integers
from tinygrad_arith.tasks import build_task, task_options
from tinygrad_arith.tasks.enumerated import EnumeratedProblems
from tinygrad_arith.tasks.expressions import expression_count
from tinygrad_arith.tasks.rows import packed_left


def task_of(depth=1, **changes):
    return build_task(task_options(**{"kind": "expressions", "depth": depth, "order": "plain", **changes}))


def enumerated(depth):
    """All expressions of a depth, as the loops of the article write them."""
    if depth == 0:
        return list("0123456789")
    operands = enumerated(depth - 1)
    pairs = itertools.product(operands, operands, "+*")
    return [text for a, b, operator in pairs for text in (f"{a}{operator}{b}", f"({a}{operator}{b})")]


def all_of(depth):
    return EnumeratedProblems(np.arange(expression_count(depth)))


def some_of_depth_2(count, seed=0):
    return EnumeratedProblems(integers(RandomKey(seed, "test"), count, 0, 640_000))


# The set of expressions


@pytest.mark.parametrize("depth", [0, 1])
def test_shallow_expressions_are_those_of_the_articles_loops_in_their_order(depth):
    texts = [text.prompt for text in task_of(depth).text(all_of(depth))]
    assert texts == [expression + "=" for expression in enumerated(depth)]


def test_expressions_of_depth_2_are_those_of_the_articles_loops_in_their_order():
    everything = enumerated(2)
    assert len(everything) == 640_000
    problems = some_of_depth_2(2_000)
    texts = [text.prompt for text in task_of(2).text(problems)]
    assert texts == [everything[index] + "=" for index in problems.indices]


def test_all_640_000_strings_are_distinct_and_as_long_as_the_article_has_them():
    task = task_of(2)
    prompts = packed_left(task.prompts(all_of(2)), task.vocabulary.padding)  # (640,000, 13)
    codes = prompts @ 17 ** np.arange(13)  # 17**13 fits into 63 bits
    assert len(np.unique(codes)) == 640_000
    lengths = np.sum(prompts != task.vocabulary.padding, axis=1)
    assert dict(zip(*np.unique(lengths, return_counts=True), strict=True)) == {
        7: 80_000,
        9: 240_000,
        11: 240_000,
        13: 80_000,
    }


def test_values_are_those_of_python():
    for task, problems in ((task_of(0), all_of(0)), (task_of(1), all_of(1)), (task_of(2), some_of_depth_2(5_000))):
        expected = [eval(text.prompt[:-1]) for text in task.text(problems)]
        np.testing.assert_array_equal(task.values(problems), expected)


def test_answers_of_depth_2_have_the_articles_numbers_of_digits():
    values = task_of(2).values(all_of(2))
    assert (values.min(), values.max()) == (0, 6561)
    assert np.bincount(np.searchsorted([10, 100, 1000], values, side="right")).tolist() == [
        116_576,
        403_326,
        108_922,
        11_176,
    ]


# Splits


def test_by_default_a_quarter_is_trained_on_and_sizes_are_met_exactly():
    task = task_of(2, test_size=480_000, validation="test", validation_size=1_000)
    assert task.train_size == 160_000
    train, test = task.split["train"], task.split["test"]
    assert len(np.union1d(train, test)) == 640_000
    np.testing.assert_array_equal(task.problems("validation", 1_000).indices, test[:1_000])
    assert task_of(2).train_size == 160_000
    assert abs(np.mean(train) / 640_000 - 0.5) < 0.005  # of all kinds


def test_a_larger_training_split_holds_a_smaller_one_and_no_held_out_problem():
    small, large = task_of(train_size=50), task_of(train_size=200)
    np.testing.assert_array_equal(small.split["train"], large.split["train"][:50])
    kept = {*small.split["test"], *small.split["validation"]}
    assert len(kept) == 125
    assert not kept & {*large.split["train"]}


def test_the_split_seed_decides_and_the_training_seed_does_not():
    one, other = task_of(split_seed=1), task_of(split_seed=2)
    one.train_batch(3, 50, seed=8)
    np.testing.assert_array_equal(
        one.problems("test", 100).indices, task_of(split_seed=1).problems("test", 100).indices
    )
    assert not np.array_equal(one.problems("test", 100).indices, other.problems("test", 100).indices)


def test_problems_beyond_the_split_and_unknown_splits_are_refused():
    with pytest.raises(ValueError, match=r"^the test split holds 100 problems, not 101$"):
        task_of().problems("test", 101)
    with pytest.raises(ValueError, match="split 'train': must be one of test, validation"):
        task_of().problems("train", 1)


# Rows


@pytest.mark.parametrize("order", ["plain", "reversed"])
@pytest.mark.parametrize("loss", ["answer", "all", "padding-too"])
def test_whole_rows_are_samples_with_the_next_tokens_as_targets(order, loss):
    task = task_of(2, order=order, loss=loss)
    batch = task.train_batch(7, 40, seed=3)
    assert batch.tokens.shape == batch.targets.shape == (40, 19)
    assert (batch.key_mask is None) == (loss == "padding-too")
    for tokens, targets in zip(batch.tokens, batch.targets, strict=True):
        sample = task.vocabulary.decode(tokens).rstrip("_")
        expression, answer = sample.split("=")
        assert answer == (str(eval(expression))[:: 1 if order == "plain" else -1]) + "."
        first = {"answer": len(expression) + 1}.get(loss, 1)  # first token that bears loss
        last = 19 if loss == "padding-too" else len(sample) - 1
        following = [*tokens[1:], 0]
        assert [(place, target) for place, target in enumerate(targets) if target >= 0] == [
            (place - 1, following[place - 1]) for place in range(first, last + 1)
        ]


def test_prefix_rows_are_laid_out_as_in_the_article():
    task = task_of(2, rows="prefix", prompt_width=13, context=19)
    problems = task.parse("(1+2)*(9+4)")
    batch = task.batch(problems)
    decoded = [task.vocabulary.decode(row) for row in batch.tokens]
    assert decoded == [
        "(1+2)*(9+4)__=_____",
        "(1+2)*(9+4)__=3____",
        "(1+2)*(9+4)__=39___",
        "(1+2)*(9+4)__=39.__",
        "(1+2)*(9+4)__=39.__",
    ]
    assert [task.vocabulary.tokens[target] if target >= 0 else "" for (target,) in batch.targets] == [*"39.", "", ""]
    np.testing.assert_array_equal(batch.key_mask, batch.tokens != 0)
    assert batch.tokens.shape == (5, 19)


def test_training_prefixes_are_prefixes_of_training_problems_and_each_comes_once_an_epoch():
    task = task_of(1, rows="prefix", draws="epochs")
    train = EnumeratedProblems(task.split["train"])
    every = task.batch(train)
    expected = {(*row, *target) for row, target in zip(every.tokens, every.targets, strict=True) if target[0] >= 0}
    count = len(expected)
    assert count == task.answer_token_counts(train).sum()
    batch = task.train_batch(3, count, seed=1)
    assert sorted((*row, *target) for row, target in zip(batch.tokens, batch.targets, strict=True)) == sorted(expected)
    drawn = task_of(1, rows="prefix", draws="random").train_batch(3, 4 * count, seed=1)
    drawn_rows = {(*row, *target) for row, target in zip(drawn.tokens, drawn.targets, strict=True)}
    assert drawn_rows <= expected
    assert len(drawn_rows) > 0.9 * count


@pytest.mark.parametrize("rows", ["whole", "prefix"])
@pytest.mark.parametrize("draws", ["random", "epochs"])
def test_a_training_batch_is_a_pure_function_of_step_size_and_seed(rows, draws):
    task = task_of(2, rows=rows, draws=draws)
    once = task.train_batch(5, 16, seed=2)
    task.train_batch(6, 16, seed=2)
    again = task_of(2, rows=rows, draws=draws).train_batch(5, 16, seed=2)
    np.testing.assert_array_equal(once.tokens, again.tokens)
    np.testing.assert_array_equal(once.targets, again.targets)
    for step, seed in ((6, 2), (5, 3)):
        assert not np.array_equal(once.tokens, task.train_batch(step, 16, seed=seed).tokens)
    for row, text in zip(once.tokens, task.text(task.train_problems(5, 16, seed=2)), strict=True):
        assert task.vocabulary.decode(row).replace("_", "").startswith(text.prompt)


def test_position_offsets_are_drawn_for_training_alone():
    task = task_of(1, position_offset=7)
    assert task.position_count == task.context + 7
    batch = task.train_batch(0, 200, seed=1)
    offsets = batch.positions[:, 0]
    assert set(offsets.tolist()) == set(range(8))
    np.testing.assert_array_equal(batch.positions, offsets[:, None] + np.arange(task.context))
    assert task.batch(task.problems("test", 5)).positions is None


def test_a_wider_context_is_filled_with_padding():
    assert task_of(1, context=30).train_batch(0, 4, seed=1).tokens.shape == (4, 30)
    with pytest.raises(ValueError, match="--context 8: must be at least 9, the tokens for the longest sample"):
        task_of(1, context=8)
    with pytest.raises(ValueError, match="--prompt-width 12: must be at least 13, the tokens before the = of a prompt"):
        task_of(2, rows="prefix", prompt_width=12)


# Answers


@pytest.mark.parametrize("rows", ["whole", "prefix"])
@pytest.mark.parametrize("order", ["plain", "reversed"])
def test_logits_that_point_at_the_targets_answer_right_and_others_do_not(rows, order):
    task = task_of(2, rows=rows, order=order)
    problems = task.problems("test", 30)
    batch = task.batch(problems)
    logits = np.zeros((*batch.targets.shape, len(task.vocabulary)), dtype=np.float32)
    np.put_along_axis(logits, np.maximum(batch.targets, 0)[..., None], 1.0, axis=2)
    predictions = task.answer_predictions(logits, batch)
    assert predictions.shape == (30, task.answer_length)
    assert task.score(predictions, problems).all()
    assert not task.score(task.answer_predictions(-logits, batch), problems).any()


@pytest.mark.parametrize("rows", ["whole", "prefix"])
def test_a_prompt_is_what_a_batch_begins_with(rows):
    task = task_of(2, rows=rows)
    for index in range(20):
        problem = task.problems("test", 20)[index : index + 1]
        prompt, batch = task.prompt(problem), task.batch(problem)
        length = prompt.tokens.shape[1]
        np.testing.assert_array_equal(prompt.tokens, batch.tokens[:1, :length])
        assert task.vocabulary.tokens[prompt.tokens[0, -1]] == "="
        assert (prompt.targets == -1).all()
        if prompt.key_mask is None:
            assert (prompt.tokens != 0).all()
        else:
            assert prompt.key_mask.shape == (1, length + task.answer_length)
            np.testing.assert_array_equal(prompt.key_mask[:, :length], prompt.tokens != 0)


def test_groups_tell_problems_apart():
    task = task_of(2)
    groups = task.groups(task.parse("(1*2)+3*4"))
    assert {title: values.tolist() for title, values in groups.items()} == {
        "tokens of the expression": [9],
        "multiplications": [2],
        "digits of the answer": [2],
    }
    assert not task.tests_by_length(1, 10)


# Text


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_every_expression_is_read_back_as_it_was_written(depth):
    task = task_of(depth)
    problems = all_of(depth) if depth < 2 else some_of_depth_2(500)
    for index, text in zip(problems.indices, task.text(problems), strict=True):
        assert task.parse(text.prompt).indices.tolist() == [index]


def test_spaces_and_the_equals_sign_are_optional():
    task = task_of(2)
    for text in ("(1 + 2)*3+4 = \n", "(1+2)*3+4"):
        assert task.statements(task.parse(text)) == ["(1+2)*3+4 = 13"]


@pytest.mark.parametrize(
    ("depth", "text", "sentence"),
    [
        (1, "1-2", "'-' at position 2: allowed are the digits, +, *, ( and )"),
        (1, "1=2", "'=' at position 2: allowed are the digits, +, *, ( and )"),
        (1, "  1 + x", "'x' at position 7: allowed are the digits, +, *, ( and )"),
        (0, "12", "'12' is no expression of depth 0: those are single digits, such as 7"),
        (
            1,
            "",
            "'' is no expression of depth 1: those are two digits with a + or * between them, such as 3*4 or (3*4)",
        ),
        *(
            (
                2,
                text,
                f"'{text}' is no expression of depth 2: those are a+b, a*b, (a+b) or (a*b) with a and b of depth 1",
            )
            for text in ("1+2", "1+2+3", "((1+2))*3+4", "1+(2+3)*4", "(1+2*3+4", "1+2)*3+4", "12*3+4", "1+2+3+4+5")
        ),
    ],
)
def test_what_is_no_expression_is_told_in_one_sentence(depth, text, sentence):
    with pytest.raises(ValueError, match=r".") as caught:
        task_of(depth).parse(text)
    assert str(caught.value).startswith(sentence)


def test_the_description_is_one_line():
    assert task_of(2, rows="prefix").describe() == (
        "expressions of depth 2, answers most significant digit first, a row per prefix, 160,000 training expressions"
    )


def test_expressions_have_no_digits():
    with pytest.raises(ValueError, match=r"^--digits 4: means nothing for --task expressions; leave it out$"):
        task_of().with_digits(4)


def test_problems_are_cut_and_counted_like_any_others():
    problems = all_of(1)
    assert [len(chunk) for chunk in problems.chunks(150)] == [150, 150, 100]
    assert problems[np.array([3, 5])].indices.tolist() == [3, 5]
    assert problems[problems.indices > 397].indices.tolist() == [398, 399]
