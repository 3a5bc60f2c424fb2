"""The sigmoid linear unit: x σ(x), with the logistic function σ(x) = 1 / (1 + exp(-x)).

Elfwing, Uchibe, Doya: "Sigmoid-Weighted Linear Units for Neural Network Function Approximation", 2017,
arXiv 1702.03118, section 2. Also called Swish.
"""

from typing import Any, NamedTuple

from ..backend import array_module
from .registry import Operation
from .shape_rules import ArraySpec, OpShapes

FAR = 100.0  # beyond it the slope is 1 or 0


class SiluCache(NamedTuple):
    """Saved by reference: the input. σ is computed again."""

    x: Any  # (...)


def silu_forward(x):  # x (...)
    """Returns y (...) and the cache."""
    return x * logistic(x), SiluCache(x)


def silu_backward(dy, cache):  # dy (...)
    """Returns dx (...)."""
    x = array_module(dy).clip(cache.x, -FAR, FAR)  # (...): farther out x may be infinite, and 1 - σ is 0
    s = logistic(x)  # (...)
    # forward: y = x σ(x). Product rule, with σ' = σ (1 - σ) and 1 - σ(x) = σ(-x), in which nothing is subtracted:
    return dy * (s * (1.0 + x * logistic(-x)))  # (...)


def logistic(x):  # (...) -> (...)
    """σ(x). Of a number far below 0 the exponential is infinite, and the quotient 0; so it is cut off before that."""
    xp = array_module(x)
    e = xp.exp(-xp.abs(x))  # (...), never above 1
    return xp.where(x >= 0, 1.0, e) / (1.0 + e)  # (...)


def silu_shapes(x) -> OpShapes:
    """x (...) -> (...)."""
    return OpShapes(ArraySpec(x.shape, x.dtype), 0, flop=5 * x.size, backward_flop=10 * x.size)


SILU = Operation("silu", silu_forward, silu_backward, ("x",), silu_shapes)
