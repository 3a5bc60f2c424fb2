"""Rotary positions: each pair of channels of a query or a key is turned by an angle that grows with its position.

    y[2i]     = x[2i] cos(p w_i) - x[2i + 1] sin(p w_i)
    y[2i + 1] = x[2i] sin(p w_i) + x[2i + 1] cos(p w_i),     w_i = base^(-2i / W)

The product of a turned query and a turned key then depends on their positions by the difference alone. Su et al.:
"RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021, arXiv 2104.09864, sections 3.2 and 3.4.2. Pairs
are neighbours, as there, or halves, as in the Llama of Hugging Face: channel i and i + W/2, which is the same up to an
order of the channels. W, the width, is the head size HS, unless only the first channels of a head are turned.
"""

from typing import Any, NamedTuple

import numpy as np

from ..backend import array_module
from .numbers import is_whole, require_positive
from .registry import Operation
from .rotary_scaling import check_scaling
from .shape_rules import ArraySpec, OpShapes, require


class RotaryCache(NamedTuple):
    """Saved: two numbers for each position and pair of channels, whatever the number of heads; x is not needed."""

    cos: Any  # (B, T, 1, W/2), or (T, 1, W/2) where all rows have the same positions
    sin: Any  # as cos
    pairing: str


def rotary_forward(
    x, positions, base=10000.0, *, pairing="neighbours", width=None, scaling=None
):  # x (B, T, NH, HS); positions (T,) or (B, T) int
    """Turns each pair of channels by its position. Returns y (B, T, NH, HS) and the cache.

    pairing: "neighbours" or "halves"
    width:   W, how many channels of a head are turned, an even number; default HS
    scaling: of the frequencies, from `rotary_scaling`; default none
    """
    cos, sin = turns(x, positions, width or x.shape[-1], base, scaling)  # (..., T, 1, W/2) each
    return turn(x, cos, sin, pairing), RotaryCache(cos, sin, pairing)


def rotary_backward(dy, cache):  # dy (B, T, NH, HS)
    """Returns dx (B, T, NH, HS). The positions have no gradient."""
    cos, sin, pairing = cache
    # forward: y = R x for each pair, R a rotation. Its transpose Rᵀ is the rotation by the opposite angle.
    return turn(dy, cos, -sin, pairing)  # (B, T, NH, HS)


def turns(like, positions, width, base, scaling=None):  # positions (T,) or (B, T)
    """Cosine and sine of each pair's angle, (T, 1, W/2) or (B, T, 1, W/2), in the library and dtype of `like`.

    The angle is made in float64: of the product of a large position and its frequency only the remainder counts.
    """
    xp = array_module(like)
    frequency = base ** (-xp.arange(0, width, 2, dtype=np.float64) / width)  # (W/2,)
    magnitude = 1.0 if scaling is None else scaling.magnitude
    frequency = frequency if scaling is None else scaling.stretched(frequency)  # (W/2,)
    angle = xp.asarray(positions)[..., None, None] * frequency  # (..., T, 1, W/2)
    return (magnitude * xp.cos(angle)).astype(like.dtype), (magnitude * xp.sin(angle)).astype(like.dtype)


def turn(x, cos, sin, pairing):  # x (B, T, NH, HS); cos, sin (..., T, 1, W/2)
    """Each pair of the first W channels turned by the angle of this cosine and sine; the other channels stay."""
    xp = array_module(x)
    width = 2 * cos.shape[-1]
    if pairing == "halves":
        first, second = x[..., : width // 2], x[..., width // 2 : width]  # (B, T, NH, W/2) each
    else:
        first, second = x[..., :width:2], x[..., 1:width:2]  # (B, T, NH, W/2) each
    left, right = first * cos - second * sin, first * sin + second * cos  # (B, T, NH, W/2) each
    if pairing == "halves":
        return xp.concatenate([left, right, x[..., width:]], axis=-1)  # (B, T, NH, HS)
    turned = xp.stack([left, right], axis=-1).reshape(x[..., :width].shape)  # (B, T, NH, W)
    return xp.concatenate([turned, x[..., width:]], axis=-1)  # (B, T, NH, HS)


def rotary_shapes(x, positions, base=10000.0, *, pairing="neighbours", width=None, scaling=None) -> OpShapes:
    """x (B, T, NH, HS), positions (T,) or (B, T) -> (B, T, NH, HS)."""
    require(x.ndim == 4, "rotary", "x must be (B, T, NH, HS)", x=x)
    check_pairs("rotary", x, x.shape[3], base, pairing, width, scaling)
    check_positions("rotary", x, positions)
    out = ArraySpec(x.shape, x.dtype)
    angles = positions.size * (width or x.shape[3])  # cosines and sines
    turned = x.size // x.shape[3] * (width or x.shape[3]) if x.size else 0
    return OpShapes(out, angles * out.dtype.itemsize, flop=3 * turned + 2 * angles, backward_flop=3 * turned)


def check_how(name, base, pairing, width, scaling) -> None:
    """Raises `ShapeError` for a way to turn that no head can be turned in."""
    require_positive(name, base=base)
    require(pairing in ("neighbours", "halves"), name, f"pairing must be neighbours or halves, not {pairing!r}")
    require(width is None or is_whole(width), name, f"width must be a whole number, not {width!r}")
    check_scaling(name, scaling)


def check_pairs(name, x, head_size, base, pairing, width, scaling) -> None:
    """Raises `ShapeError` unless channels of a head can be turned in such pairs."""
    check_how(name, base, pairing, width, scaling)
    if width is None:
        require(head_size % 2 == 0, name, "the head size must be even: channels are turned in pairs", x=x)
    else:
        rule = f"width {width} must be even, above 0 and at most the head size, {head_size}"
        require(width % 2 == 0 and 0 < width <= head_size, name, rule, x=x)
    check_scaling(name, scaling, (width or head_size) // 2)


def check_positions(name, x, positions) -> None:
    """Raises `ShapeError` unless there is an integer position for each of x's (B, T, ...)."""
    fits = positions.shape in (x.shape[:2], x.shape[1:2])
    require(fits, name, "positions must be (T,) or (B, T)", x=x, positions=positions)
    require(np.dtype(positions.dtype).kind in "iu", name, "positions must be integers", positions=positions)


ROTARY = Operation("rotary", rotary_forward, rotary_backward, ("x",), rotary_shapes, arrays=("positions",))
