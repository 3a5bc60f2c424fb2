"""The Gaussian error linear unit, x Φ(x), in its two forms.

    exact:  x Φ(x) = x/2 (1 + erf(x / sqrt 2))
    tanh:   x/2 (1 + tanh(sqrt(2/π) (x + 0.044715 x³)))       an approximation to within 5e-4; GPT-2 uses this one

Hendrycks and Gimpel: "Gaussian Error Linear Units", 2016, arXiv 1606.08415, section 2.
"""

import math
from typing import Any, NamedTuple

from ..backend import array_module
from ..backend.arrays import erf
from .registry import Operation
from .shape_rules import ArraySpec, OpShapes

SQRT_2_OVER_PI = math.sqrt(2.0 / math.pi)
CUBIC = 0.044715
FAR = 100.0  # beyond it tanh(u) is 1 or -1, and the slope 1 or 0


class GeluCache(NamedTuple):
    """Saved: the input by reference and the tanh (as large as x), dearer to recompute than to keep."""

    x: Any  # (...)
    tanh: Any  # (...)


def gelu_forward(x):  # x (...)
    """The tanh form. Returns y (...) and the cache."""
    xp = array_module(x)
    near = xp.clip(x, -FAR, FAR)  # (...), whose powers are numbers, too
    tanh = xp.tanh(SQRT_2_OVER_PI * (near + CUBIC * (near * near * near)))  # (...)
    y = 0.5 * x * (1.0 + tanh)  # (...)
    return y, GeluCache(x, tanh)


def gelu_backward(dy, cache):  # dy (...)
    """Returns dx (...)."""
    x, tanh = cache
    x = array_module(x).clip(x, -FAR, FAR)  # (...): farther out du is as good as infinite, and its factor 0
    # forward: y = x/2 (1 + tanh(u)), u = sqrt(2/π) (x + 0.044715 x³). Product rule, then chain rule with
    # tanh' = 1 - tanh²:
    du = SQRT_2_OVER_PI * (1.0 + 3.0 * CUBIC * (x * x))  # (...), du/dx
    slope = 0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * du  # (...), dy/dx
    return dy * slope  # (...)


class GeluExactCache(NamedTuple):
    """Saved by reference: the input. Φ is recomputed."""

    x: Any  # (...)


def gelu_exact_forward(x):  # x (...)
    """The exact form. Returns y (...) and the cache."""
    return x * _normal_cdf(x), GeluExactCache(x)


def gelu_exact_backward(dy, cache):  # dy (...)
    """Returns dx (...)."""
    xp = array_module(dy)
    x = xp.clip(cache.x, -FAR, FAR)  # (...): farther out φ is 0, and x may be infinite
    density = math.sqrt(0.5 / math.pi) * xp.exp(-0.5 * (x * x))  # (...), φ = Φ'
    # forward: y = x Φ(x)
    return dy * (_normal_cdf(x) + x * density)  # (...)


def _normal_cdf(x):  # (...) -> (...)
    return 0.5 * (1.0 + erf(x * math.sqrt(0.5)))


def gelu_shapes(x) -> OpShapes:
    """x (...) -> (...)."""
    out = ArraySpec(x.shape, x.dtype)
    return OpShapes(out, out.nbytes, flop=9 * x.size, backward_flop=13 * x.size)


def gelu_exact_shapes(x) -> OpShapes:
    """x (...) -> (...)."""
    return OpShapes(ArraySpec(x.shape, x.dtype), 0, flop=5 * x.size, backward_flop=10 * x.size)


GELU = Operation("gelu", gelu_forward, gelu_backward, ("x",), gelu_shapes)
GELU_EXACT = Operation("gelu_exact", gelu_exact_forward, gelu_exact_backward, ("x",), gelu_exact_shapes)
