"""Options in whatever kind of number: they count by value, as Python's numbers do."""

import numpy as np
import pytest

from tinygrad_arith.autograd import Tensor
from tinygrad_arith.autograd import functions as F
from tinygrad_arith.autograd.operands import option
from tinygrad_arith.backend import RandomKey
from tinygrad_arith.ops import OPERATIONS

ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed: pip install -e '.[kernels]'")

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (np.array(1), 1),
        (np.array(-1), -1),
        (np.int8(3), 3),
        (np.uint64(3), 3),
        (np.float32(0.5), 0.5),
        (np.array(0.5), 0.5),
        (ml_dtypes.bfloat16(0.5), 0.5),
        (np.array(0.5, BFLOAT16), 0.5),
        (np.array(True), True),
        (Tensor(np.array(0.5)), 0.5),
        (True, True),
        (None, None),
    ],
)
def test_an_option_without_axes_becomes_a_number_of_python(given, expected):
    made = option(OPERATIONS["attention"], "scale", given)
    assert made == expected
    assert type(made) is type(expected)


def test_a_scale_in_an_array_counts_by_its_value():
    q, k, v = (Tensor(np.random.default_rng(i).normal(size=(1, 5, 2, 4)).astype(np.float32)) for i in range(3))
    for scale in (1, -1, 0):
        expected = F.attention(q, k, v, scale=float(scale)).numpy()
        for given in (np.array(scale), np.int32(scale), np.array(scale, np.float16), Tensor(np.array(float(scale)))):
            np.testing.assert_array_equal(F.attention(q, k, v, scale=given).numpy(), expected)


def test_whole_numbers_of_numpy_are_taken_as_python_has_them():
    x = Tensor(np.random.default_rng(0).normal(size=(2, 5, 64)).astype(np.float32))
    positions, logits, targets = np.arange(5), Tensor(x.array[0, :, :9]), np.array([3, -100, 0, 2, -100])
    calls = {
        "heads": lambda n: F.packed_attention(x, n(2), kv_heads=n(1)),
        "turned heads": lambda n: F.packed_rotary(x, positions, n(2), kv_heads=n(1)),
        "ignored": lambda n: F.cross_entropy_sum(logits, targets, ignore_index=n(-100)),
        "ignored in a mean": lambda n: F.cross_entropy(logits, targets, ignore_index=n(-100)),
        "a key": lambda n: F.dropout(x, 0.5, RandomKey(n(1), "dropout", step=n(3), site=n(4))),
    }
    for call in calls.values():
        expected = call(int).numpy()
        for number in (np.int64, np.int16, np.array):
            np.testing.assert_array_equal(call(number).numpy(), expected)
