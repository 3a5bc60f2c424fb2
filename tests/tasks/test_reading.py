"""Problems that people type: as a task writes them, or in decimal; and what an answer is worth."""

import pytest

from tinygrad_arith.tasks import build_task, task_options

NUMBERS = {
    "bits": {"digits": 5},
    "plain bits": {"digits": 5, "order": "plain", "padding": "none"},
    "backwards": {"kind": "decimal-addition", "digits": 3},
    "decimal": {"kind": "decimal-addition", "digits": 3, "order": "plain"},
    "sign first": {"kind": "binary-subtraction", "digits": 5, "sign": "first"},
    "sign last": {"kind": "decimal-subtraction", "digits": 2, "order": "plain", "spaces": True},
    "products": {"kind": "binary-multiplication", "digits": 5, "order": "reversed-answer"},
}


@pytest.fixture(params=NUMBERS)
def task(request):
    return build_task(task_options(**NUMBERS[request.param]))


def test_what_is_read_in_decimal_has_these_operands(task):
    for first, second in ((0, 0), (3, 17), (31, 30), (20, 9)):
        typed = f" {first} {task.symbol}{second} ="
        reading = task.read(typed, decimal=True)
        assert reading.decimal
        assert task.statements(reading.problem)[0].startswith(f"{first} {task.symbol} {second} = ")
        assert task.read(task.text(reading.problem)[0].prompt).decimal is False


def test_the_value_of_a_right_answer_is_the_result(task):
    problems = task.problems("test", 50)
    results = [int(statement.rpartition(" = ")[2]) for statement in task.statements(problems)]
    assert [task.answer_value(text.answer) for text in task.text(problems)] == results


@pytest.mark.parametrize("answer", ["", ".", "1.0", "1+1.", "x.", "2.", "-1+.", "  1.", "\u0661."])
def test_what_is_no_number_has_no_value(answer):
    assert build_task(task_options(digits=5)).answer_value(answer) is None


def test_the_digits_decide_and_a_note_says_where_both_would_do():
    task = build_task(task_options(digits=5))
    assert (task.read("13+3").decimal, task.statements(task.read("13+3").problem)) == (True, ["13 + 3 = 16"])
    both = task.read("10+11")
    assert (both.decimal, task.statements(both.problem)) == (False, ["1 + 3 = 4"])
    assert both.note == "10+11 is read as the model writes numbers, least significant bit first: 1 + 3"
    assert task.read("11+1").note is not None
    assert task.read("1+1").note is None  # both come to the same
    assert task.read("00001+1").note is not None
    assert task.read("10000+01111").note is None  # too large in decimal
    backwards = build_task(task_options("decimal-addition", digits=3))
    assert (
        backwards.read("13+3").note == "13+3 is read as the model writes numbers, least significant digit first: 31 + 3"
    )
    assert build_task(task_options("decimal-addition", digits=3, order="plain")).read("13+3").note is None


@pytest.mark.parametrize(
    ("text", "decimal", "sentence"),
    [
        ("32+1", False, "the first operand is 32: this model adds numbers of at most 5 bits, which are up to 31"),
        ("1+99", True, "the second operand is 99: this model adds numbers of at most 5 bits, which are up to 31"),
        ("1-2", True, "'-' at position 2: this model adds, and between its two numbers stands '[+]'$"),
        ("13", True, "'13' is no problem in decimal: write 13[+]3$"),
        ("13-3", False, "'-' at position 3: this model adds, and between its two numbers stands '[+]'$"),
        ("13*3", False, "'[*]' at position 3: this model adds, and between its two numbers stands '[+]'$"),
        ("13+", False, "the second operand is empty: write 13[+]3$"),
        ("+13", True, "the first operand is empty: write 13[+]3$"),
        ("13+3=16", False, "'1' at position 6 stands behind the '=', which ends a problem$"),
        ("13+3 14+4", False, "a second '[+]' at position 8: a problem has two operands$"),
        ("13 14+4", False, "'13 14[+]4' is no problem in decimal: a number has no space inside; one problem at a time"),
        ("-3+5", False, "'-' at position 1: the numbers of this model have no sign$"),
        ("3+-5", True, "'-' at position 3: the numbers of this model have no sign$"),
        ("13x3", False, "'x' at position 3 is not a digit: write 13[+]3$"),
        ("3" * 99, False, "'3{40}[.]{3} .99 characters.' is no problem in decimal"),
        ("1" * 99, False, "there is no '[+]' in '1{40}[.]{3} .99 characters.'"),
        ("1.5+2", False, "'[.]' at position 2: this model adds whole numbers$"),
        ("9" * 5000 + "+1", False, "the first operand has 5,000 digits: at most 1,000 are read$"),
        ("111111+1", False, "the first operand has 6 digits: this model adds numbers of at most 5"),
        ("1+2+3", False, "a second '[+]' at position 4: a problem has two operands$"),
    ],
)
def test_what_is_none_is_told(text, decimal, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        build_task(task_options(digits=5)).read(text, decimal)


def test_tasks_of_other_kinds_read_what_they_parse():
    task = build_task(task_options("expressions", depth=1))
    assert task.read("3*4").problem == task.parse("3*4")
    assert not task.typed_in_decimal
    assert task.answer_value("12.") is None
