import numpy as np
import pytest

from tinygrad_arith.training.final import share_in_fives


def test_five_consecutive_tokens_of_answers_must_be_right_together():
    answers = np.array([[4, 5, 16, 0], [6, 16, 0, 0], [7, 8, 9, 16], [5, 16, 0, 0]])  # 11 tokens: two fives and a rest
    assert share_in_fives(answers, answers, padding=0) == 1.0
    wrong = answers.copy()
    wrong[1, 0] += 1  # the fourth token
    assert share_in_fives(wrong, answers, padding=0) == 0.5
    behind = answers + (answers == 0)  # what stands behind an answer does not count
    assert share_in_fives(behind, answers, padding=0) == 1.0
    wrong[3, 1] += 1  # the eleventh token is in no group
    assert share_in_fives(wrong, answers, padding=0) == pytest.approx(0.5)


def test_fewer_than_five_tokens_have_no_such_measure():
    answers = np.array([[4, 16, 0]])
    assert share_in_fives(answers, answers, padding=0) is None
