"""Cases and mutants are found by the operation's name."""

import re

import pytest

from tinygrad_arith.gradcheck_suite import operations
from tinygrad_arith.ops import OPERATIONS, Operation


def test_an_operation_without_cases_is_named():
    with pytest.raises(KeyError, match=r"no cases for the operation 'sofmax'; there are cases for embedding, linear"):
        operations.cases("sofmax")
    assert operations.cases("dropout") == ()


def test_an_operation_without_a_file_of_cases_is_told_which(monkeypatch):
    def wobble_forward(x):
        return x, None

    wobble_forward.__module__ = "tinygrad_arith.ops.wobble"
    wobble = Operation("wobble", wobble_forward, lambda dy, cache: dy, ("x",))
    monkeypatch.setitem(OPERATIONS, "wobble", wobble)
    told = "no cases for 'wobble': there is no gradcheck_suite/operations/wobble.py"
    for look in (operations.cases, operations.mutants):
        with pytest.raises(KeyError, match=re.escape(told)):
            look("wobble")
