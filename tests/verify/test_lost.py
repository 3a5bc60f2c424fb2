"""What float64 loses beside large entries: cancellation in a right backward, and wrong ones that look like it."""

import numpy as np
import pytest

from tinygrad_arith.verify import GradientCheck


def sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


def cross_entropy(logits, targets):
    """Per element, exact at large logits."""
    loss = np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))
    return loss, (logits, targets)


LOGITS, TARGETS = np.array([[42.0, -1.1, 0.4], [3.0, -39.0, 2.0]]), np.array([[1, 0, 1], [0, 0, 1]])


def cancelling(dy, cache):
    logits, targets = cache
    return dy * (sigmoid(logits) - targets)


def test_a_backward_that_cancels_where_it_is_saturated_is_not_accused():
    report = GradientCheck(cross_entropy, (LOGITS, TARGETS)).run(cancelling)
    assert report.verdict == "undecided"
    assert "cancel" in str(report)


def test_in_a_sum_it_is_within_the_tolerance():
    """1e-12 of the largest entry that reaches the same output."""

    def total(logits, targets):
        loss, cache = cross_entropy(logits, targets)
        return loss.sum(), cache

    assert GradientCheck(total, (LOGITS, TARGETS)).run(cancelling).verdict == "passed"


@pytest.mark.parametrize("factor", [0.0, 0.9, 1.01])
def test_one_that_is_wrong_at_the_saturated_element_wherever_that_lies_is_wrong(factor):
    def wrong(dy, cache):
        gradient = cancelling(dy, cache)
        gradient[0, 0] *= factor
        return gradient

    assert GradientCheck(cross_entropy, (LOGITS, TARGETS)).run(wrong).verdict == "wrong"


def test_elements_that_are_forgotten_beside_far_larger_ones():
    x = np.array([1e-9, 3.0, 2e8, 1e10])

    def forward(x):
        return 1 / x, x

    for forgotten in range(1, len(x)):

        def backward(dy, x, forgotten=forgotten):
            gradient = -dy / x**2
            gradient[forgotten] = 0.0
            return gradient

        assert GradientCheck(forward, x).run(backward).verdict == "wrong"
    assert GradientCheck(forward, x).run(lambda dy, x: -dy / x**2).verdict != "wrong"


def test_a_backward_that_fails_at_other_values_is_left_undecided():
    def guarded(dy, cache):
        if cache[0][0, 0] != LOGITS[0, 0]:
            raise ValueError("these are not my logits")
        return cancelling(dy, cache)

    assert GradientCheck(cross_entropy, (LOGITS, TARGETS)).run(guarded).verdict == "undecided"


def test_a_backward_that_does_not_read_its_cache_is_not_moved_and_not_accused():
    x = np.array([0.5, 40.0, -0.3, 1.2])
    checked = GradientCheck(lambda x: (-np.logaddexp(0, -x), x), x)
    assert checked.run(lambda dy, cache: dy * (1 - 1 / (1 + np.exp(-x)))).verdict == "undecided"


def test_what_cancels_in_a_steeper_element_is_not_wrong():
    weights, x = np.array([1.0, 100.0, 1.0]), np.array([0.3, 35.0, -1.0])
    checked = GradientCheck(lambda x: (-weights * np.logaddexp(0, -x), x), x)
    assert checked.run(lambda dy, c: dy * weights * (1 - 1 / (1 + np.exp(-c)))).verdict == "undecided"


def test_gradients_below_the_normal_numbers_of_their_dtype():
    x = np.array([10.0, 9.9, -10.05], np.float32)

    def backward(dy, c):
        return (dy.astype(float) * -2 * c.astype(float) * np.exp(-(c.astype(float) ** 2))).astype(np.float32)

    assert GradientCheck(lambda x: (np.exp(-x * x), x), x).run(backward).verdict == "undecided"
