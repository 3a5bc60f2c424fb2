"""What editors and type checkers are told of F is what is there."""

import ast
import inspect

from tinygrad_arith.autograd import Tensor, stub
from tinygrad_arith.autograd import functions as F
from tinygrad_arith.ops import OPERATIONS


def test_the_stub_says_what_the_declarations_say():
    written = ast.dump(ast.parse(stub.STUB.read_text(encoding="utf-8")))
    assert written == ast.dump(ast.parse(stub.stub())), "run: python -m tinygrad_arith.autograd.stub && ruff format"


def test_every_operation_is_a_function():
    assert set(F.FUNCTIONS) == set(OPERATIONS)
    assert all(getattr(F, name) is function for name, function in F.FUNCTIONS.items())


def test_a_function_has_the_signature_and_the_words_of_its_forward():
    forward = OPERATIONS["attention"].forward
    assert list(inspect.signature(F.attention).parameters.values()) == list(
        inspect.signature(forward).parameters.values()
    )
    assert inspect.signature(F.attention).return_annotation is Tensor
    assert F.attention.__doc__ == forward.__doc__
