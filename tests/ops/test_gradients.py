"""Questions 1 and 2 of every operation: is its backward right, and would the check notice if it were not?"""

import dataclasses
from functools import partial

import numpy as np
import pytest

from tinygrad_arith.backend import RandomKey
from tinygrad_arith.gradcheck_suite.mutant import one_element_wrong
from tinygrad_arith.gradcheck_suite.operations import cases, mutants
from tinygrad_arith.gradcheck_suite.suite import converted
from tinygrad_arith.ops import OPERATIONS
from tinygrad_arith.verify import GradientCheck, assert_gradients, rejects_mutants, tolerance

NAMES = sorted(OPERATIONS)


def operation_cases(name, seed=0):
    return cases(name, seed, lambda number: RandomKey(number, "gradcheck"))


EVERY_CASE = [(name, case) for name in NAMES for case in operation_cases(name)]
NUMBERED = [
    pytest.param(name, case, number, id=f"{name}: {case.name}") for number, (name, case) in enumerate(EVERY_CASE)
]


def test_every_operation_has_cases_and_mutants():
    assert all(len(operation_cases(name)) >= 3 for name in NAMES)
    assert all(len(mutants(name)) >= 5 for name in NAMES)


@pytest.mark.parametrize(("name", "case", "number"), NUMBERED)
def test_backward_is_the_derivative_of_the_forward(name, case, number):
    """And the check sees it there if one element of one gradient, another one in the next case, is a little off."""
    operation = OPERATIONS[name]
    check = GradientCheck(operation.forward, case.inputs, **case.settings())
    report = check.run(operation.backward)
    report.raise_unless_passed()
    assert report.largest_relative_error < tolerance("differences", "float64").largest

    gradients = list(check.gradients(operation.backward)[0].values())
    position = number % len(gradients)
    slip = partial(one_element_wrong(position), operation.backward)
    rejected = not check.run(slip, diagnosis=False).passed
    largest = [np.abs(gradient).max(initial=0.0) for gradient in gradients]
    # A gradient of zeros, or of what rounding leaves of them, has no element that the slip changes.
    assert rejected == (largest[position] > 1e-12 * max(largest))


@pytest.mark.parametrize("name", NAMES)
def test_float32_backward_against_float64_differences(name):
    operation = OPERATIONS[name]
    for case in operation_cases(name, seed=1):
        single = dataclasses.replace(case, inputs=converted(case.inputs, "float32", "cpu"))
        report = assert_gradients(operation.forward, operation.backward, single.inputs, **single.settings())
        assert {entry.dtype for entry in report.inputs} == {"float32"}


@pytest.mark.parametrize("name", NAMES)
def test_every_mutant_is_rejected(name):
    """A mutant may be right where its slip does not matter (a mask where nothing is masked), but not in every case.

    Where it differs and passes, `rejects_mutants` raises. One that was rejected is not tried in further cases, as the
    `gradcheck` command does not.
    """
    operation, left = OPERATIONS[name], mutants(name)
    for case in operation_cases(name):
        outcome = rejects_mutants(operation.forward, operation.backward, left, case.inputs, **case.settings())
        left = {description: mutant for description, mutant in left.items() if not outcome[description]}
        if not left:
            break
    assert not left


@pytest.mark.parametrize("name", NAMES)
def test_inputs_of_the_cases_are_asymmetric_and_random(name):
    """Another seed gives other numbers of the same shapes."""
    for first, second in zip(operation_cases(name, 0), operation_cases(name, 5), strict=True):
        shapes = [np.shape(value) for value in first.inputs]
        assert shapes == [np.shape(value) for value in second.inputs]
