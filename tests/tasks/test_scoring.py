"""Exact match, its interval and its breakdowns, on cases small enough to count by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_arith.tasks import scoring
from tinygrad_arith.tasks.scoring import GroupScore

PADDING = 0
ANSWERS = np.array([[2, 3, 6], [3, 6, 0], [2, 2, 6]])


def test_exact_match_ignores_what_stands_behind_the_end():
    predictions = np.array([[2, 3, 6], [3, 6, 5], [2, 3, 6]])
    assert scoring.exact_match(predictions, ANSWERS, PADDING).tolist() == [True, True, False]


def test_by_position_counts_only_answers_that_reach_it():
    predictions = np.array([[2, 3, 6], [2, 6, 0], [2, 3, 6]])
    assert scoring.by_position(predictions, ANSWERS, PADDING) == [
        GroupScore(1, 3, 2),
        GroupScore(2, 3, 2),
        GroupScore(3, 2, 2),
    ]


def test_answer_predictions_are_read_behind_the_equals_sign_of_each_row():
    equals = 5
    tokens = np.array([[3, 5, 2, 6], [3, 3, 5, 6]])
    best = np.array([[1, 2, 3, 4], [1, 2, 3, 4]])
    logits = np.eye(5)[best]
    found = scoring.answer_predictions(logits, tokens, equals, length=3)
    assert found.tolist() == [[2, 3, 4], [3, 4, -1]]


def test_groups():
    correct = np.array([True, False, True, True])
    assert scoring.by_group(correct, np.array([4, 4, 2, 4])) == [GroupScore(2, 1, 1), GroupScore(4, 3, 2)]
    assert scoring.by_group(np.zeros(0, dtype=bool), np.zeros(0, dtype=np.int64)) == []


def test_length_pairs():
    correct = np.array([True, False, True])
    rights, counts = scoring.by_length_pair(correct, np.array([1, 2, 2]), np.array([3, 1, 1]), longest=3)
    assert counts.tolist() == [[0, 0, 1], [2, 0, 0], [0, 0, 0]]
    assert rights.tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 0]]


def test_wilson_interval_has_the_published_values():
    """Newcombe 1998, Statistics in Medicine 17:857, table I, method 3 (score, no continuity correction).

    https://doi.org/10.1002/%28SICI%291097-0258%2819980430%2917:8%3C857::AID-SIM777%3E3.0.CO;2-E
    """
    for correct, count, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert scoring.wilson_interval(correct, count) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10**6).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))))
def test_wilson_interval_holds_the_share_and_stays_inside_zero_and_one(drawn):
    correct, count = drawn
    low, high = scoring.wilson_interval(correct, count)
    assert 0.0 <= low <= correct / count <= high <= 1.0


def test_wilson_interval_of_nothing_is_everything():
    assert scoring.wilson_interval(0, 0) == (0.0, 1.0)


def test_five_consecutive_tokens_of_answers_must_be_right_together():
    answers = np.array([[4, 5, 16, 0], [6, 16, 0, 0], [7, 8, 9, 16], [5, 16, 0, 0]])  # 11 tokens: two fives and a rest
    assert scoring.share_in_fives(answers, answers, padding=0) == 1.0
    wrong = answers.copy()
    wrong[1, 0] += 1  # the fourth token
    assert scoring.share_in_fives(wrong, answers, padding=0) == 0.5
    behind = answers + (answers == 0)  # what stands behind an answer does not count
    assert scoring.share_in_fives(behind, answers, padding=0) == 1.0
    wrong[3, 1] += 1  # the eleventh token is in no group
    assert scoring.share_in_fives(wrong, answers, padding=0) == pytest.approx(0.5)


def test_fewer_than_five_tokens_have_no_such_measure():
    answers = np.array([[4, 16, 0]])
    assert scoring.share_in_fives(answers, answers, padding=0) is None
