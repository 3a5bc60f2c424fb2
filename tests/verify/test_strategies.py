"""What the strategies draw, what a failing example looks like, and what is said where Hypothesis is missing."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from tinygrad_arith.verify.strategies import (
    KINDS,
    LAYOUTS,
    Recipe,
    broadcasting_shapes,
    dtypes,
    in_layout,
    key_masks,
    padding_lengths,
    recipes,
    shapes,
)

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)


@quick
@given(shapes((2, 4), largest=6))
def test_axes_differ_or_have_size_1(shape):
    large = [size for size in shape if size > 1]
    assert 2 <= len(shape) <= 4
    assert len(set(large)) == len(large)
    assert all(1 <= size <= 6 for size in shape)


@quick
@given(broadcasting_shapes())
def test_the_two_shapes_broadcast(both):
    np.broadcast_shapes(*both)


@quick
@given(recipes(shapes(empty=True), kinds=KINDS))
def test_a_recipe_makes_the_same_array_in_every_layout(recipe):
    array = recipe.array()
    assert array.shape == recipe.shape
    assert array.dtype == recipe.dtype
    np.testing.assert_array_equal(array, recipe.contiguous())
    np.testing.assert_array_equal(array, eval(repr(recipe)).array())


def test_layouts_are_what_their_names_say():
    array = np.arange(6.0).reshape(2, 3)
    assert in_layout(array, "contiguous") is array
    assert in_layout(array, "strided").strides == (48, 16)
    assert in_layout(array, "reversed").strides == (-24, 8)
    assert in_layout(array, "transposed").strides == (8, 16)
    for layout in LAYOUTS:
        np.testing.assert_array_equal(in_layout(array, layout), array)
        assert in_layout(np.array(2.0), layout) == 2.0


def test_kinds_are_what_their_names_say():
    made = {kind: Recipe((4, 6), kind).array() for kind in KINDS}
    assert np.abs(made["large"]).max() > 1e4
    assert np.ptp(made["equal"]) == 0
    assert 0 < made["tiny variance"].std() < 1e-6
    assert made["far from 0"].min() > 900
    assert not made["zero"].any()
    assert np.isneginf(made["-inf"]).any()
    assert np.isfinite(made["-inf"][:, 0]).all()
    with pytest.raises(ValueError, match="no kind of values 'big'; there are normal, large"):
        Recipe((2,), "big").array()
    with pytest.raises(ValueError, match="no layout 'odd'; there are contiguous, strided"):
        Recipe((2,), layout="odd").array()


@quick
@given(padding_lengths(3, 5), key_masks(3, 5), dtypes())
def test_lengths_and_masks_fit_the_batch(lengths, mask, dtype):
    assert lengths.shape == (3,)
    assert 0 <= lengths.min() <= lengths.max() <= 5
    assert mask.shape == (3, 5)
    assert (lengths.dtype.kind, mask.dtype.kind) == ("i", "b")
    assert dtype in ("float64", "float32")


def test_a_failing_example_shrinks_to_a_small_recipe():
    """The simplest array of three axes or more, and the simplest with an odd layout: everything else is plain."""
    calm = settings(database=None, derandomize=True)
    anything = recipes(shapes((1, 4)), kinds=KINDS)
    assert find(anything, lambda recipe: len(recipe.shape) >= 2, settings=calm) in (Recipe((2, 3)), Recipe((2, 5)))
    simplest = find(anything, lambda recipe: recipe.layout == "reversed", settings=calm)
    assert simplest == Recipe((2,), layout="reversed")
    assert repr(find(st.tuples(anything), lambda _: True, settings=calm)[0]) == (
        "Recipe(shape=(2,), kind='normal', layout='contiguous', dtype='float64', seed=0)"
    )


def test_without_hypothesis_the_error_says_what_to_install():
    code = "import sys; sys.modules['hypothesis'] = None; import tinygrad_arith.verify.strategies"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1] == (
        "ImportError: tinygrad_arith.verify.strategies needs Hypothesis; install it with: pip install hypothesis"
    )
