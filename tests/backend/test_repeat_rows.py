"""Rows repeated: for several continuations of one prompt."""

import numpy as np
import pytest

from tinygrad_arith.backend import repeat_rows
from tinygrad_arith.nn import KeyValueCache


@pytest.mark.parametrize("shape", [(1,), (3,), (1, 4), (3, 4, 2), (0, 3), (2, 0, 3)])
@pytest.mark.parametrize("times", [2, 5])
def test_rows_stand_one_behind_the_other_in_an_array_of_their_own(shape, times):
    array = np.random.default_rng(1).normal(size=shape)
    found = repeat_rows(array, times)
    np.testing.assert_array_equal(found, np.repeat(array, times, axis=0))
    assert found.flags.writeable
    assert not np.shares_memory(found, array)


def test_nothing_is_done_for_once_and_for_none():
    array = np.ones((2, 3))
    assert repeat_rows(array, 1) is array
    assert repeat_rows(None, 4) is None


def test_a_cache_for_more_rows_leaves_the_first_as_it_is():
    rng = np.random.default_rng(2)
    cache = KeyValueCache.empty(2, 6, 3, 4, np.float32)
    k, v = rng.normal(size=(2, 2, 5, 3, 4)).astype(np.float32)
    cache.append(k, v)
    more = cache.repeated(3)
    assert (more.length, more.keys.shape) == (5, (6, 6, 3, 4))
    more.append(*np.ones((2, 6, 1, 3, 4), np.float32))
    np.testing.assert_array_equal(more.keys[:, :5], np.repeat(k, 3, axis=0))
    np.testing.assert_array_equal(more.values[:, :5], np.repeat(v, 3, axis=0))
    assert cache.length == 5
    assert (cache.keys[:, 5] == 0).all()
