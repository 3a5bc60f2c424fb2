"""Targets, prefixes and epochs on small arrays that can be checked by eye."""

import numpy as np
import pytest

from tinygrad_arith.backend import RandomKey
from tinygrad_arith.tasks.rows import (
    epoch_indices,
    next_token_targets,
    packed_left,
    prefix_at,
    prefix_rows,
)

SAMPLES = np.array([[7, 9, 1, 2, 3], [8, 9, 4, 5, 0]])  # a prompt of two tokens, then an answer; 0 is padding


def test_targets_are_the_tokens_that_follow_where_they_bear_loss():
    bears_loss = np.array([[False, False, True, True, True], [True, True, True, True, False]])
    assert next_token_targets(SAMPLES, bears_loss).tolist() == [[-1, 1, 2, 3, -1], [9, 4, 5, -1, -1]]


def test_what_stands_behind_the_row_can_be_a_target_too():
    everything = np.ones_like(SAMPLES, dtype=bool)
    assert next_token_targets(SAMPLES, everything, behind=0).tolist() == [[9, 1, 2, 3, 0], [9, 4, 5, 0, 0]]


def test_padding_moves_to_the_right_and_the_rest_keeps_its_order():
    assert packed_left(np.array([[0, 3, 0, 1], [2, 0, 1, 0]]), 0).tolist() == [[3, 1, 0, 0], [2, 1, 0, 0]]
    assert packed_left(np.array([[0, 3, -1]]), -1).tolist() == [[0, 3, -1]]


def test_a_prefix_ends_before_the_token_to_be_predicted():
    tokens, targets = prefix_rows(SAMPLES, 2, np.array([2, 0]), padding=0)
    assert tokens.tolist() == [[7, 9, 1, 2, 0], [8, 9, 0, 0, 0]]
    assert targets.tolist() == [[3], [4]]


def test_answers_may_begin_at_different_places():
    tokens, targets = prefix_rows(SAMPLES, np.array([2, 1]), np.array([0, 1]), padding=0)
    assert tokens.tolist() == [[7, 9, 0, 0, 0], [8, 9, 0, 0, 0]]
    assert targets.tolist() == [[1], [4]]


@pytest.mark.parametrize("start", [2, np.array([2, 2])])
def test_all_prefixes_come_problem_by_problem_and_have_no_target_behind_the_end(start):
    start = np.repeat(start, 3) if isinstance(start, np.ndarray) else start
    tokens, targets = prefix_rows(np.repeat(SAMPLES, 3, axis=0), start, np.tile(np.arange(3), 2), padding=0)
    assert tokens.tolist() == [
        [7, 9, 0, 0, 0],
        [7, 9, 1, 0, 0],
        [7, 9, 1, 2, 0],
        [8, 9, 0, 0, 0],
        [8, 9, 4, 0, 0],
        [8, 9, 4, 5, 0],
    ]
    assert targets.tolist() == [[1], [2], [3], [4], [5], [-1]]


@pytest.mark.parametrize(("batch_size", "size"), [(3, 10), (10, 10), (7, 5), (4, 1)])
def test_each_item_comes_once_an_epoch(batch_size, size):
    key = RandomKey(5, "test")
    steps = 2 * size  # as many items as 2 * batch_size epochs hold
    drawn = np.concatenate([epoch_indices(key, step, batch_size, size) for step in range(steps)])
    for epoch in drawn.reshape(-1, size):
        assert sorted(epoch) == list(range(size))


def test_the_order_is_another_one_in_each_epoch_and_with_each_seed():
    def order(seed, step):
        return epoch_indices(RandomKey(seed, "test"), step, 20, 20).tolist()

    assert len({tuple(order(seed, step)) for seed in (1, 2) for step in range(5)}) == 10
    assert order(1, 3) == order(1, 3)


def test_a_step_does_not_depend_on_the_steps_before_it():
    key = RandomKey(5, "test")
    forwards = [epoch_indices(key, step, 6, 10).tolist() for step in range(8)]
    backwards = [epoch_indices(key, step, 6, 10).tolist() for step in reversed(range(8))]
    assert forwards == backwards[::-1]


def test_prefixes_are_counted_sample_by_sample():
    rows, places = prefix_at(np.array([3, 5, 6]), np.arange(6))  # answers of 3, 2 and 1 tokens
    assert rows.tolist() == [0, 0, 0, 1, 1, 2]
    assert places.tolist() == [0, 1, 2, 0, 1, 0]
