"""How a problem is written: each option drawn as text, and every row of every task read back by Python."""

import itertools

import numpy as np
import pytest

from tinygrad_arith.tasks import build_task, task_options
from tinygrad_arith.tasks.rows import pack

NAMES = [f"{base}-{name}" for base in ("binary", "decimal") for name in ("addition", "subtraction", "multiplication")]
WRITINGS = list(itertools.product(("reversed", "plain", "reversed-answer"), ("zero", "longer", "none"), (False, True)))


def task_of(**changes):
    return build_task(task_options(**{"digits": 3, "validation_size": 5, "test_size": 9, **changes}))


def sample(text, **changes):
    """The whole sample of a typed problem, its padding included."""
    task = task_of(**changes)
    return task.vocabulary.decode(task.batch(task.parse(text)).tokens[0])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "653+049=2070."),
        ({"order": "plain"}, "653+049=0702."),
        ({"order": "reversed"}, "356+940=2070."),
        ({"padding": "none"}, "653+49=207.__"),
        ({"padding": "longer", "digits": 4}, "653+049=2070.___"),
        ({"padding": "zero", "digits": 4}, "0653+0049=20700."),
        ({"spaces": True}, "653 + 049 = 2070."),
        ({"spaces": True, "padding": "none", "context": 20}, "653 + 49 = 207._____"),
    ],
)
def test_addition_in_each_writing(changes, expected):
    typed = "356+94" if changes.get("order") == "reversed" else "653+49"
    assert sample(typed, **{"kind": "decimal-addition", "order": "reversed-answer", **changes}) == expected


@pytest.mark.parametrize(
    ("typed", "changes", "expected"),
    [
        ("49-53", {}, "049-053=400-."),
        ("53-49", {}, "053-049=400+."),
        ("7-7", {}, "007-007=000+."),
        ("49-53", {"sign": "first"}, "049-053=-400."),
        ("49-53", {"sign": "first", "order": "plain", "spaces": True}, "049 - 053 = -004."),
        ("49-53", {"padding": "none"}, "49-53=4-.____"),
        ("49-53", {"padding": "longer"}, "49-53=40-.___"),
    ],
)
def test_every_difference_has_a_sign(typed, changes, expected):
    assert sample(typed, **{"kind": "decimal-subtraction", "order": "reversed-answer", **changes}) == expected


def test_a_product_has_room_for_twice_the_digits():
    changes = {"kind": "decimal-multiplication", "order": "plain"}
    assert sample("49*53", **changes, digits=2) == "49*53=2597."
    assert sample("3*2", **changes) == "003*002=000006."
    assert sample("3*2", **changes, padding="longer") == "3*2=06.________"
    assert sample("3*2", **changes, padding="none") == "3*2=6._________"


def test_the_sample_of_the_candle_article():
    changes = {"spaces": True, "padding": "none", "operands": "by-length", "loss": "padding-too", "context": 64}
    task = task_of(digits=12, **changes)
    assert task.vocabulary.tokens == ("_", " ", "0", "1", "+", "=", ".")
    assert task.text(task.parse("111 + 1")) == [("111 + 1 =", " 0001.")]
    assert sample("111+1", digits=12, **changes) == "111 + 1 = 0001.".ljust(64, "_")
    assert task.context == 64
    assert task_of(digits=12, **{**changes, "context": 0}).context == 44  # its longest sample
    assert task.batch(task.parse("111+1")).key_mask is None


def test_vocabularies_are_those_published_with_what_is_missing_behind():
    julia = tuple("_+*=0123456789().")
    assert task_of(kind="decimal-addition").vocabulary.tokens == julia
    assert task_of(kind="decimal-multiplication", spaces=True).vocabulary.tokens == (*julia, " ")
    assert task_of(kind="decimal-subtraction").vocabulary.tokens == (*julia, "-")
    assert task_of(kind="binary-subtraction").vocabulary.tokens == tuple("_ 01+=.-")
    assert task_of(kind="binary-multiplication").vocabulary.tokens == tuple("_ 01+=.*")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("order", "padding", "spaces"), WRITINGS)
def test_python_reads_every_row_as_a_true_statement(name, order, padding, spaces):
    for sign in ({"sign": "first"}, {"sign": "last"}) if "subtraction" in name else ({},):
        task = task_of(kind=name, order=order, padding=padding, spaces=spaces, operands="by-length", **sign)
        for row in task.train_batch(4, 25, seed=6).tokens:
            prompt, _, answer = task.vocabulary.decode(row).rstrip("_").partition("=")
            first, second = prompt.replace(" ", "").split(task.symbol)
            assert answer.endswith(".")
            assert answer.startswith(" ") == spaces
            assert spaces == (f" {task.symbol} " in prompt)
            value = read(answer.strip(" ."), order != "plain", task.base)
            operands = [int(word[::-1] if order == "reversed" else word, task.base) for word in (first, second)]
            assert (
                value
                == {"+": sum(operands), "-": operands[0] - operands[1], "*": operands[0] * operands[1]}[task.symbol]
            )
            if padding == "none":
                assert not any(
                    len(word) > 1 and word[-1 if order == "reversed" else 0] == "0" for word in (first, second)
                )
            if padding == "longer":
                assert len(first) == len(second)
            if padding == "zero":
                assert len(first) == len(second) == 3
                assert len(task.vocabulary.decode(row).rstrip("_")) == task.context


def read(answer, backwards, base):
    """The value of an answer with its sign before or behind its digits."""
    negative = "-" in answer
    digits = answer.strip("+-")
    return (-1 if negative else 1) * int(digits[::-1] if backwards else digits, base)


def test_longer_pads_no_further_than_the_longer_operand():
    task = task_of(kind="decimal-addition", padding="longer", operands="by-length", order="plain")
    for row in task.train_batch(1, 50, seed=2).tokens:
        first, second, total = task.vocabulary.decode(row).rstrip("_.").replace("+", "=").split("=")
        assert not (first[0] == second[0] == "0" and len(first) > 1)
        assert len(first) == len(second) == len(total) - 1


def test_prompts_of_prefix_rows_are_padded_before_the_equals_sign():
    julia = {"kind": "decimal-addition", "digits": 2, "order": "plain", "padding": "none", "rows": "prefix"}
    task = task_of(**julia, prompt_width=14, context=19)
    batch = task.batch(task.parse("49+53="))
    assert [task.vocabulary.decode(row) for row in batch.tokens] == [
        "49+53_________=____",
        "49+53_________=1___",
        "49+53_________=10__",
        "49+53_________=102_",
    ]
    assert [task.vocabulary.decode(target) for target in batch.targets] == ["1", "0", "2", "."]
    np.testing.assert_array_equal(batch.key_mask, batch.tokens != 0)
    assert task.text(task.parse("49+53=")) == [("49+53=", "102.")]
    short = task.batch(task.parse("1+2"))
    assert short.targets[:, 0].tolist() == [task.vocabulary.ids["3"], task.vocabulary.ids["."], -1, -1]
    assert task_of(**julia).context == 5 + 4


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"context": 12}, "--context 12: must be at least 13, the tokens for the longest sample"),
        ({"rows": "prefix", "prompt_width": 6}, "--prompt-width 6: must be at least 7, the tokens before the ="),
        (
            {"rows": "prefix", "prompt_width": 9, "context": 13},
            "--context 13: must be at least 14",
        ),
    ],
)
def test_a_context_that_is_too_short_is_told(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        task_of(**changes)


def test_pack_moves_what_is_written_to_the_left():
    values = np.array([[1, 2, 3], [4, 5, 6]])
    written = np.array([[True, False, True], [False, False, True]])
    assert pack(values, written, 4, fill=9).tolist() == [[1, 3, 9, 9], [6, 9, 9, 9]]
    assert pack(values, np.ones((2, 3), dtype=bool), 3, 0).tolist() == values.tolist()
