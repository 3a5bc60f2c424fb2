"""What fast implementations share: conditions by look alone, and where gradients go."""

import numpy as np
import pytest

from tinygrad_arith.ops.fast import basic_index, destinations, not_empty
from tinygrad_arith.ops.registry import Destination


def test_a_destination_is_taken_where_one_is_offered_and_made_elsewhere():
    offered = Destination(np.ones(3), True)
    first, second = destinations([offered, None], [(3,), (2, 4)], np.zeros)
    assert first is offered
    assert (second.array.shape, second.add) == ((2, 4), False)
    for nothing in (None, [None]):
        ((array, add),) = destinations(nothing, [(2, 4)], np.zeros)
        assert (array.shape, add) == ((2, 4), False)


def test_as_many_destinations_as_gradients():
    with pytest.raises(ValueError, match="zip"):
        destinations([None], [(3,), (2, 4)], np.zeros)


def test_not_empty_looks_at_arrays_only():
    assert not_empty(x=np.zeros((2, 3)), heads=0, kv_heads=None)
    assert not not_empty(x=np.zeros((2, 3)), positions=np.zeros((0,)))


@pytest.mark.parametrize("index", [0, np.int64(0), None, Ellipsis, slice(2), (), (0, slice(None), None)], ids=repr)
def test_basic(index):
    assert basic_index(np.zeros((2, 3)), index)


@pytest.mark.parametrize(
    "index", [True, np.True_, [0], np.array(0), np.array([0]), (0, [1]), (slice(None), False)], ids=repr
)
def test_not_basic(index):
    assert not basic_index(np.zeros((2, 3)), index)
