"""Numbers and options that an operation cannot compute with: one sentence says so, before anything is computed."""

import math

import numpy as np
import pytest

from tinygrad_arith.autograd import Tensor
from tinygrad_arith.autograd import functions as F
from tinygrad_arith.ops import ArraySpec, ShapeError
from tinygrad_arith.ops.rotary_scaling import LinearScaling, Llama3Scaling, LongRopeScaling

NO_NUMBERS_ABOVE_0 = [0, 0.0, -2, math.nan, math.inf, "a", None, True]


def turned(**options):
    return F.rotary(np.ones((1, 3, 2, 4)), np.arange(3), **options)


def turned_in_a_projection(**options):
    return F.packed_rotary(np.ones((1, 3, 24)), np.arange(3), 2, **options)


each_rotary = pytest.mark.parametrize("turn", [turned, turned_in_a_projection])


@each_rotary
@pytest.mark.parametrize("base", NO_NUMBERS_ABOVE_0)
def test_a_base_that_makes_no_angles(turn, base):
    with pytest.raises(ShapeError, match=r"^\w+: base must be a number above 0, not "):
        turn(base=base)


@each_rotary
@pytest.mark.parametrize("scaling", [2.0, {"rope_type": "linear", "factor": 2.0}, "linear", LinearScaling])
def test_what_is_no_scaling(turn, scaling):
    with pytest.raises(ShapeError, match=r"^\w+: scaling must be a LinearScaling, Llama3Scaling or LongRopeScaling of"):
        turn(scaling=scaling)


@each_rotary
def test_factors_for_other_pairs(turn):
    with pytest.raises(ShapeError, match=r"^\w+: 3 factors for 2 pairs of channels$"):
        turn(scaling=LongRopeScaling((1.0, 2.0, 3.0)))
    with pytest.raises(ShapeError, match=r"^\w+: 2 factors for 1 pairs of channels$"):
        turn(scaling=LongRopeScaling((1.0, 2.0)), width=2)


def test_factors_for_other_pairs_are_told_by_a_dry_pass():
    float32 = np.dtype(np.float32)
    x, positions = ArraySpec((2, 3, 24), float32), ArraySpec((3,), np.dtype(np.int64))
    with pytest.raises(ShapeError, match="3 factors for 2 pairs of channels"):
        F.packed_rotary(Tensor(x), positions, 2, scaling=LongRopeScaling((1.0, 2.0, 3.0)))


@pytest.mark.parametrize("pairing", ["half", None, 1])
def test_no_shapes_are_told_where_none_matter(pairing):
    with pytest.raises(ShapeError) as told:
        turned(pairing=pairing)
    assert str(told.value) == f"rotary: pairing must be neighbours or halves, not {pairing!r}"


@pytest.mark.parametrize("number", NO_NUMBERS_ABOVE_0)
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (LinearScaling, "factor"),
        (lambda number: LinearScaling(2.0, number), "magnitude"),
        (Llama3Scaling, "factor"),
        (lambda number: Llama3Scaling(8.0, original=number), "original"),
        (lambda number: LongRopeScaling((1.0, number)), "factors[1]"),
        (lambda number: LongRopeScaling((1.0,), number), "magnitude"),
    ],
)
def test_numbers_that_no_scaling_can_have(make, name, number):
    with pytest.raises(ShapeError) as told:
        make(number)
    assert f"Scaling: {name} must be a number above 0, not {number!r}" in str(told.value)


@pytest.mark.parametrize(("low", "high"), [(4.0, 1.0), (4.0, 4.0)])
def test_waves_are_kept_above_those_that_are_stretched(low, high):
    with pytest.raises(ShapeError, match=f"^Llama3Scaling: high must be above low, not {high} and {low}$"):
        Llama3Scaling(8.0, low, high, 64)


@pytest.mark.parametrize("factors", [(), 2.0, None, "ab"])
def test_what_are_no_factors(factors):
    with pytest.raises(ShapeError, match=r"^LongRopeScaling: factors must be a tuple of numbers, not "):
        LongRopeScaling(factors)


@pytest.mark.parametrize("original", [1, 0, -4, 2.5])
def test_a_context_that_nothing_can_grow_from(original):
    with pytest.raises(ShapeError, match=r"^magnitude_for: original must be a whole number from 2 on, not "):
        LongRopeScaling.magnitude_for(10, original)
    assert LongRopeScaling.magnitude_for(64, 64) == 1.0
    assert LongRopeScaling.magnitude_for(256, 64) == pytest.approx(math.sqrt(4.0 / 3.0))


@pytest.mark.parametrize("heads", [2.0, "2", True, None])
@pytest.mark.parametrize("name", ["heads", "kv_heads"])
def test_what_is_no_number_of_heads(name, heads):
    if name == "kv_heads" and heads is None:
        return  # as many as heads
    counts = {"heads": 2, name: heads}
    for call in (lambda: F.packed_attention(np.ones((1, 3, 24)), **counts), lambda: turned_in_a_projection_of(counts)):
        with pytest.raises(ShapeError, match=rf"^packed_\w+: {name} must be a whole number, not {heads!r}$"):
            call()


def turned_in_a_projection_of(counts):
    return F.packed_rotary(np.ones((1, 3, 24)), np.arange(3), **counts)


def test_no_head_turns_nothing():
    with pytest.raises(ShapeError, match=r"^packed_rotary: there must be a head at least, not 0"):
        turned_in_a_projection_of({"heads": 0})


ATTENTIONS = {
    "attention": lambda **options: F.attention(*np.ones((3, 2, 4, 2, 3)), **options),
    "attention_blockwise": lambda **options: F.attention_blockwise(*np.ones((3, 2, 4, 2, 3)), **options),
    "packed_attention": lambda **options: F.packed_attention(np.ones((2, 4, 18)), 2, **options),
}
each_attention = pytest.mark.parametrize("attend", ATTENTIONS.values(), ids=ATTENTIONS)


@each_attention
@pytest.mark.parametrize("scale", ["a", math.nan, math.inf, True, [0.5]])
def test_what_no_score_can_be_multiplied_by(attend, scale):
    with pytest.raises(ShapeError, match=r": scale must be a number, not "):
        attend(scale=scale)
    attend(scale=np.float32(0.5))


@each_attention
@pytest.mark.parametrize("dtype", [float, bool, "f4"])
def test_lengths_are_counted(attend, dtype):
    with pytest.raises(ShapeError, match=r": lengths must be integers, not (float|bool)"):
        attend(lengths=np.array([1, 3], dtype))
    attend(lengths=np.array([1, 3], np.uint8))


class Foreign:
    """An array of another library, whose dtype is not NumPy's; NumPy can read it."""

    dtype, shape, ndim = "foreign.bool", (2, 4), 2

    def __array__(self, dtype=None, copy=None):
        return np.tri(4, dtype=bool)[:2]


@each_attention
def test_a_mask_of_another_library_is_read(attend):
    mask = Foreign()
    np.testing.assert_array_equal(attend(key_mask=mask).numpy(), attend(key_mask=np.asarray(mask)).numpy())


NORMS = {
    "layernorm": lambda eps: F.layernorm(np.ones((2, 3)), np.ones(3), np.ones(3), eps),
    "rmsnorm": lambda eps: F.rmsnorm(np.ones((2, 3)), np.ones(3), eps),
}


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("eps", [-1.0, math.nan, "a", None, True])
def test_what_cannot_stand_under_a_root(name, eps):
    with pytest.raises(ShapeError, match=f"^{name}: eps must be a number from 0 on, not {eps!r}$"):
        NORMS[name](eps)


@pytest.mark.parametrize("name", ["silu", "negative", "softmax", "log_softmax"])
def test_what_is_no_number_has_no_function(name):
    with pytest.raises(TypeError, match=f"^{name} takes numbers, not an array of bool$"):
        getattr(F, name)(np.array([True, False]))
    with pytest.raises(TypeError, match=f"^{name} takes numbers, not an array of object$"):
        getattr(F, name)(np.array([None, 1.0]))
