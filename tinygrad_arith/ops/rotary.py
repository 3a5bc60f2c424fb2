"""Rotary positions: each pair of channels of a query or a key is turned by an angle that grows with its position.

    y[2i]     = x[2i] cos(p w_i) - x[2i + 1] sin(p w_i)
    y[2i + 1] = x[2i] sin(p w_i) + x[2i + 1] cos(p w_i),     w_i = base^(-2i / HS)

The product of a turned query and a turned key then depends on their positions by the difference alone. Su et al.:
"RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021, sections 3.2 and 3.4.2. Pairs are neighbours,
as there; some codes pair channel i with channel i + HS/2, which is the same up to an order of the channels.
"""

from typing import Any, NamedTuple

import numpy as np

from ..backend import array_module
from .registry import Operation
from .shape_rules import ArraySpec, OpShapes, require


class RotaryCache(NamedTuple):
    """Saved: two numbers for each position and pair of channels, whatever the number of heads; x is not needed."""

    cos: Any  # (B, T, 1, HS/2), or (T, 1, HS/2) where all rows have the same positions
    sin: Any  # as cos


def rotary_forward(x, positions, base=10000.0):  # x (B, T, NH, HS), HS even; positions (T,) or (B, T) int
    """Turns each pair of channels by its position. Returns y (B, T, NH, HS) and the cache."""
    cos, sin = turns(x, positions, x.shape[-1], base)  # (..., T, 1, HS/2) each
    return turn(x, cos, sin), RotaryCache(cos, sin)


def rotary_backward(dy, cache):  # dy (B, T, NH, HS)
    """Returns dx (B, T, NH, HS). The positions have no gradient."""
    cos, sin = cache
    # forward: y = R x for each pair, R a rotation. Its transpose Rᵀ is the rotation by the opposite angle.
    return turn(dy, cos, -sin)  # (B, T, NH, HS)


def turns(like, positions, head_size, base):  # positions (T,) or (B, T)
    """Cosine and sine of each pair's angle, (T, 1, HS/2) or (B, T, 1, HS/2), in the library and dtype of `like`.

    The angle is made in float64: of the product of a large position and its frequency only the remainder counts.
    """
    xp = array_module(like)
    frequency = base ** (-xp.arange(0, head_size, 2, dtype=np.float64) / head_size)  # (HS/2,)
    angle = xp.asarray(positions)[..., None, None] * frequency  # (..., T, 1, HS/2)
    return xp.cos(angle).astype(like.dtype), xp.sin(angle).astype(like.dtype)


def turn(x, cos, sin):  # x (B, T, NH, HS); cos, sin (..., T, 1, HS/2)
    """Each pair (x[2i], x[2i + 1]) turned by the angle of this cosine and sine."""
    xp = array_module(x)
    first, second = x[..., ::2], x[..., 1::2]  # (B, T, NH, HS/2) each
    pairs = xp.stack([first * cos - second * sin, first * sin + second * cos], axis=-1)  # (B, T, NH, HS/2, 2)
    return pairs.reshape(x.shape)  # (B, T, NH, HS)


def rotary_shapes(x, positions, base=10000.0) -> OpShapes:
    """x (B, T, NH, HS), positions (T,) or (B, T) -> (B, T, NH, HS)."""
    require(x.ndim == 4, "rotary", "x must be (B, T, NH, HS)", x=x)
    require(x.shape[3] % 2 == 0, "rotary", "the head size must be even: channels are turned in pairs", x=x)
    check_positions("rotary", x, positions)
    out = ArraySpec(x.shape, x.dtype)
    turned = positions.size * x.shape[3]  # cosines and sines
    return OpShapes(out, turned * out.dtype.itemsize, flop=3 * x.size + 2 * turned, backward_flop=3 * x.size)


def check_positions(name, x, positions) -> None:
    """Raises `ShapeError` unless there is an integer position for each of x's (B, T, ...)."""
    fits = positions.shape in (x.shape[:2], x.shape[1:2])
    require(fits, name, "positions must be (T,) or (B, T)", x=x, positions=positions)
    require(np.dtype(positions.dtype).kind in "iu", name, "positions must be integers", positions=positions)


ROTARY = Operation("rotary", rotary_forward, rotary_backward, ("x",), rotary_shapes, arrays=("positions",))
