"""Position ids: golden rows, what padding has, offsets in training alone, and that prompts know those of the answer."""

import itertools

import numpy as np
import pytest

from tinygrad_arith.tasks import build_task, task_options

SUM = {"kind": "decimal-addition", "digits": 3, "order": "reversed-answer", "padding": "longer"}
GOLDEN = [
    # 653+049=2070.
    ("653+49", {"position_ids": "coupled"}, [4, 3, 2, 1, 4, 3, 2, 1, 2, 3, 4, 5, 6]),
    ("653+49", {"position_ids": "abacus"}, [3, 2, 1, 0, 3, 2, 1, 0, 1, 2, 3, 4, 5]),
    # 65+94=951. and padding
    ("65+94", {"position_ids": "coupled"}, [3, 2, 1, 3, 2, 1, 2, 3, 4, 5, 0, 0, 0]),
    # 653+049=0702.
    ("653+49", {"position_ids": "coupled", "order": "plain"}, [4, 3, 2, 1, 4, 3, 2, 1, 5, 4, 3, 2, 1]),
    ("653+49", {"position_ids": "abacus", "order": "plain"}, [3, 2, 1, 0, 3, 2, 1, 0, 4, 3, 2, 1, 0]),
    # 356+94=207. unpadded
    (
        "356+94",
        {"position_ids": "abacus", "order": "reversed", "padding": "none"},
        [1, 2, 3, 0, 1, 2, 0, 1, 2, 3, 4, 0, 0],
    ),
    # 653 + 049 = 2070.
    (
        "653+49",
        {"position_ids": "coupled", "spaces": True},
        [4, 3, 2, 1, 1, 1, 4, 3, 2, 1, 1, 1, 2, 3, 4, 5, 6],
    ),
    # 653-749=690-. and 653-749=-690.
    (
        "653-749",
        {"kind": "decimal-subtraction", "position_ids": "coupled"},
        [4, 3, 2, 1, 4, 3, 2, 1, 2, 3, 4, 5, 6],
    ),
    (
        "653-749",
        {"kind": "decimal-subtraction", "position_ids": "coupled", "sign": "first"},
        [4, 3, 2, 1, 4, 3, 2, 1, 1, 2, 3, 4, 5],
    ),
]


def task_of(**changes):
    return build_task(task_options(**{**SUM, "validation_size": 5, "test_size": 50, **changes}))


@pytest.mark.parametrize(("typed", "changes", "ids"), GOLDEN)
def test_golden_ids(typed, changes, ids):
    task = task_of(**changes)
    assert task.batch(task.parse(typed)).positions.tolist() == [ids]


def test_order_needs_no_ids():
    assert task_of().batch(task_of().parse("1+1")).positions is None
    assert task_of().prompt(task_of().parse("1+1")).positions is None


@pytest.mark.parametrize(
    ("scheme", "order", "padding", "sign"),
    [
        choice
        for choice in itertools.product(
            ("coupled", "abacus"),
            ("reversed", "plain", "reversed-answer"),
            ("zero", "longer", "none"),
            ("first", "last"),
        )
        if choice[1:3] != ("plain", "none")
    ],
)
def test_a_prompt_knows_the_ids_of_its_answer_without_knowing_the_answer(scheme, order, padding, sign):
    task = task_of(
        kind="decimal-subtraction", position_ids=scheme, order=order, padding=padding, sign=sign, operands="by-length"
    )
    problems = task.problems("test", 50)
    batch = task.batch(problems)
    for row in range(50):
        prompt = task.prompt(problems[row : row + 1])
        width = prompt.tokens.shape[1]
        assert prompt.positions.shape == (1, width + task.answer_length)
        np.testing.assert_array_equal(prompt.tokens[0], batch.tokens[row, :width])
        assert prompt.tokens[0, -1] == task.vocabulary.ids["="]
        assert (prompt.targets == -1).all()
        length = np.count_nonzero(batch.tokens[row])
        np.testing.assert_array_equal(prompt.positions[0, :length], batch.positions[row, :length])
        assert (batch.positions[row, length:] == 0).all()


@pytest.mark.parametrize("scheme", ["order", "coupled", "abacus"])
def test_ids_stay_below_their_count_and_reach_it(scheme):
    task = task_of(position_ids=scheme, position_offset=7, longest=5)
    seen = [task.train_batch(step, 200, seed=1).positions.max() for step in range(5)]
    longest = task.with_digits(5)
    seen.append(
        (longest.context if scheme == "order" else longest.batch(longest.problems("test", 50)).positions.max() + 1) - 1
    )
    assert max(seen) == task.position_count - 1


def test_each_training_row_has_its_own_offset_and_tests_have_none():
    task, fixed = task_of(position_ids="coupled", position_offset=20), task_of(position_ids="coupled")
    shifted, plain = (each.train_batch(3, 500, seed=1).positions for each in (task, fixed))
    offsets = (shifted - plain)[:, 0]
    assert sorted(set(offsets.tolist())) == list(range(21))
    np.testing.assert_array_equal(shifted, np.where(plain > 0, plain + offsets[:, None], 0))
    np.testing.assert_array_equal(shifted, task.train_batch(3, 500, seed=1).positions)
    assert not np.array_equal(shifted, task.train_batch(4, 500, seed=1).positions)
    assert not np.array_equal(shifted, task.train_batch(3, 500, seed=2).positions)
    problems = task.problems("test", 50)
    np.testing.assert_array_equal(task.batch(problems).positions, fixed.batch(problems).positions)


def test_abacus_shifts_digits_alone_and_order_shifts_every_place():
    task, fixed = task_of(position_ids="abacus", position_offset=9), task_of(position_ids="abacus")
    shifted, plain = (each.train_batch(3, 100, seed=1).positions for each in (task, fixed))
    np.testing.assert_array_equal(shifted == 0, plain == 0)
    assert (shifted != plain).any()
    in_order = task_of(position_offset=9).train_batch(3, 100, seed=1).positions
    np.testing.assert_array_equal(in_order - in_order[:, :1], np.tile(np.arange(in_order.shape[1]), (100, 1)))
    assert sorted(set(in_order[:, 0].tolist())) == list(range(10))
