"""Addition, subtraction and multiplication, binary and decimal."""

import numpy as np

from ..batch import Problems
from . import digits
from .numbers import NumberTask


class Addition(NumberTask):
    """a + b: one digit more than the operands."""

    symbol, verb = "+", "adds"

    def result(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The sums, uint8 (n, D + 1)."""
        return digits.add(first, second, self.base)

    def chain_digits(self, first: np.ndarray) -> np.ndarray:
        """What makes base - 1 with each digit, uint8 (n, D)."""
        return np.uint8(self.base - 1) - first

    def groups(self, problems: Problems) -> dict[str, np.ndarray]:
        """And over how many digits the farthest-travelling carry is handed on."""
        chains = digits.longest_carry_chain(problems.first, problems.second, self.base)
        return super().groups(problems) | {"longest carry chain": chains}


class Subtraction(NumberTask):
    """a - b, which may be negative: every answer has a sign, `+` or `-`."""

    symbol, verb, signed = "-", "subtracts", True

    def result(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The magnitudes of the differences, uint8 (n, D)."""
        return digits.difference(first, second, self.base)

    def negative(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Where the second operand is the larger one, bool (n,)."""
        return digits.is_less(first, second)

    def chain_digits(self, first: np.ndarray) -> np.ndarray:
        """The digits themselves, uint8 (n, D): a borrow passes equal ones."""
        return first

    def groups(self, problems: Problems) -> dict[str, np.ndarray]:
        """And the longest chain of borrows, and whether the difference is negative."""
        return super().groups(problems) | {
            "longest borrow chain": digits.longest_borrow_chain(problems.first, problems.second),
            "negative": self.negative(problems.first, problems.second).astype(np.int64),
        }


class Multiplication(NumberTask):
    """a * b: twice as many digits as the operands."""

    symbol, verb = "*", "multiplies"

    def result(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The products, uint8 (n, 2D)."""
        return digits.multiply(first, second, self.base)


class BinaryAddition(Addition):
    base = 2


class DecimalAddition(Addition):
    base = 10


class BinarySubtraction(Subtraction):
    base = 2


class DecimalSubtraction(Subtraction):
    base = 10


class BinaryMultiplication(Multiplication):
    base = 2


class DecimalMultiplication(Multiplication):
    base = 10
