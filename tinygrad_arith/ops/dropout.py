"""Dropout: zeroes each element with probability `rate` and scales the rest by 1 / (1 - rate).

Srivastava et al.: "Dropout", JMLR 2014, https://jmlr.org/papers/v15/srivastava14a.html, section 10 (the "inverted"
scaling, at training time).
"""

from typing import NamedTuple

from ..backend import RandomKey, array_module, uniform
from .registry import Operation
from .shape_rules import ArraySpec, OpShapes, ShapeError


class DropoutCache(NamedTuple):
    """Saved: the name of the random numbers. The mask is drawn again in the backward, so it costs no memory."""

    rate: float
    key: RandomKey


def dropout_forward(x, rate, key):  # x (...); rate in [0, 1); key: RandomKey
    """Returns y (...) and the cache. The same key gives the same mask, on any device."""
    rate = float(rate)  # a NumPy number would widen
    return x * _mask(x, rate, key), DropoutCache(rate, key)


def dropout_backward(dy, cache):  # dy (...)
    """Returns dx (...)."""
    # forward: y = x * mask, a product with a constant
    return dy * _mask(dy, cache.rate, cache.key)  # (...)


def _mask(like, rate, key):
    """0 with probability `rate`, else 1 / (1 - rate): shape and dtype of `like`."""
    xp = array_module(like)
    kept = uniform(key, like.shape, xp=xp) >= rate  # (...) bool
    return kept.astype(like.dtype) / (1.0 - rate)  # (...)


def dropout_shapes(x, rate, key) -> OpShapes:
    """x (...) -> (...). Raises TypeError where there is no key."""
    if not isinstance(key, RandomKey):
        raise TypeError(f"dropout: the key must be a RandomKey, which names the random numbers, not {key!r}")
    if not 0.0 <= rate < 1.0:
        raise ShapeError(f"dropout: the rate must be at least 0 and below 1; got {rate}")
    return OpShapes(ArraySpec(x.shape, x.dtype), 0, flop=x.size, backward_flop=x.size)


DROPOUT = Operation("dropout", dropout_forward, dropout_backward, ("x",), dropout_shapes, wide=False)
