"""A linear map of the last axis: y = x weight + bias, with weight (in, out)."""

from typing import Any, NamedTuple

from .registry import Operation
from .shape_rules import ArraySpec, OpShapes, require
from .sums import sum_over


class LinearCache(NamedTuple):
    """Saved by reference, no new memory: the input and the weight."""

    x: Any  # (..., Cin)
    weight: Any  # (Cin, Cout)
    has_bias: bool


def linear_forward(x, weight, bias=None):  # x (..., Cin); weight (Cin, Cout); bias (Cout,) or None
    """Returns y (..., Cout) and the cache."""
    rows = x.reshape(-1, x.shape[-1])  # (N, Cin): every position is a row
    y = rows @ weight  # (N, Cout)
    if bias is not None:
        y = y + bias  # (N, Cout)
    return y.reshape(*x.shape[:-1], weight.shape[1]), LinearCache(x, weight, bias is not None)


def linear_backward(dy, cache):  # dy (..., Cout)
    """Returns dx (..., Cin), dweight (Cin, Cout) and, where the forward had a bias, dbias (Cout,)."""
    x, weight, has_bias = cache
    rows = x.reshape(-1, x.shape[-1])  # (N, Cin)
    drows = dy.reshape(-1, dy.shape[-1])  # (N, Cout)

    # forward: y[n, o] = sum_i x[n, i] weight[i, o] + bias[o]. Each gradient sums over the index its input lacks:
    dx = (drows @ weight.T).reshape(x.shape)  # (..., Cin), over o
    dweight = rows.T @ drows  # (Cin, Cout), over n
    if not has_bias:
        return dx, dweight
    dbias = sum_over(drows, (0,))  # (Cout,), over n: the bias was added to every row
    return dx, dweight, dbias


def linear_shapes(x, weight, bias=None) -> OpShapes:
    """x (..., Cin), weight (Cin, Cout), bias (Cout,) -> (..., Cout)."""
    fits = weight.ndim == 2 and x.ndim >= 1 and x.shape[-1] == weight.shape[0]
    fits = fits and (bias is None or bias.shape == weight.shape[1:])
    require(fits, "linear", "weight must be (Cin, Cout) for x (..., Cin), bias (Cout,)", x=x, weight=weight, bias=bias)
    require(x.shape[-1] >= 1, "linear", "there must be a channel at least", x=x, weight=weight)
    out = ArraySpec((*x.shape[:-1], weight.shape[1]), x.dtype)
    flop = 2 * x.size * weight.shape[1]
    return OpShapes(out, 0, flop=flop, backward_flop=2 * flop)


LINEAR = Operation("linear", linear_forward, linear_backward, ("x", "weight", "bias"), linear_shapes)
