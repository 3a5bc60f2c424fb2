"""What each task computes, against Python, and by what it breaks an evaluation down."""

import pytest

from tinygrad_arith.tasks import build_task, task_options


def task_of(**changes):
    return build_task(task_options(**{"validation_size": 5, "test_size": 60, **changes}))


@pytest.mark.parametrize("base", ["binary", "decimal"])
@pytest.mark.parametrize("name", ["addition", "subtraction", "multiplication"])
@pytest.mark.parametrize("digits", [2, 13, 40])
def test_statements_are_true(base, name, digits):
    task = task_of(kind=f"{base}-{name}", digits=digits, test_size=4 if digits == 2 else 60)
    for statement in task.statements(task.problems("test", task.config.test_size)):
        first, symbol, second, equals, result = statement.split()
        a, b = int(first), int(second)
        assert equals == "="
        assert int(result) == {"+": a + b, "-": a - b, "*": a * b}[symbol]
        assert symbol == task.symbol


@pytest.mark.parametrize("name", ["addition", "subtraction", "multiplication"])
@pytest.mark.parametrize("padding", ["zero", "longer", "none"])
def test_right_answers_score_and_a_wrong_token_fails(name, padding):
    task = task_of(kind=f"decimal-{name}", digits=4, padding=padding)
    problems = task.problems("test", 60)
    right = task.answers(problems)
    assert task.score(right, problems).all()
    for place in range(task.answer_length):
        wrong = right.copy()
        wrong[:, place] = (wrong[:, place] + 1) % len(task.vocabulary)
        assert (task.score(wrong, problems) == (right[:, place] == task.vocabulary.padding)).all()


def test_groups_of_a_sum_a_difference_and_a_product():
    def groups(name, typed):
        task = task_of(kind=f"decimal-{name}", digits=4, order="plain")
        return {title: values.tolist() for title, values in task.groups(task.parse(typed)).items()}

    assert groups("addition", "1995+2005") == {"operand length": [4], "longest carry chain": [3]}
    assert groups("addition", "12+345") == {"operand length": [3], "longest carry chain": [0]}
    assert groups("subtraction", "5-12") == {"operand length": [2], "longest borrow chain": [1], "negative": [1]}
    assert groups("subtraction", "1001-2") == {"operand length": [4], "longest borrow chain": [3], "negative": [0]}
    assert groups("multiplication", "12*345") == {"operand length": [3]}


def test_operand_lengths_are_those_of_the_numbers_not_of_their_padding():
    task = task_of(kind="decimal-addition", digits=4, order="plain")
    first, second = task.operand_lengths(task.parse("0012+345"))
    assert (first.tolist(), second.tolist()) == ([2], [3])


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("decimal-addition", "1x+2", "'x' at position 2 is not a decimal digit: allowed are 0 to 9; write .*"),
        ("decimal-addition", "12", r"there is no '\+' in '12': write 13 \+ 3 as 31\+3, least .*"),
        ("decimal-subtraction", "1-2-3", "a second '-' at position 4: a problem has two operands"),
        (
            "decimal-subtraction",
            "-3",
            "the first operand is empty: write 13 - 3 as 31-3, least .*",
        ),
        (
            "binary-multiplication",
            "11111*1",
            "the first operand has 5 digits: this model multiplies numbers of at most 4",
        ),
        ("binary-subtraction", "1-11111", "the second operand has 5 digits: this model subtracts numbers of at most 4"),
    ],
)
def test_what_is_no_problem_is_told_in_the_words_of_the_task(name, text, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        task_of(kind=name, digits=4).parse(text)


def test_the_description_names_the_operation():
    assert task_of(kind="decimal-subtraction", digits=2, order="reversed-answer").describe() == (
        "a-b of up to 2 digits, most significant digit first, the answer reversed, zero-padded, loss on the answer, "
        "9,935 training pairs"
    )
    assert task_of(kind="binary-addition", digits=12, position_ids="coupled", padding="longer").describe() == (
        "a+b of up to 12 bits, least significant bit first, zero-padded to the longer operand, loss on the answer, "
        "coupled position ids, all but 1 in 8 pairs for training"
    )
