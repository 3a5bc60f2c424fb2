"""The feed-forward network of a transformer block: linear, activation, linear.

Vaswani et al.: "Attention Is All You Need", 2017, arXiv 1706.03762, section 3.3. One operation, so that a fused
kernel can take its place; this reference is written by calling the finer pairs.
"""

from typing import Any, NamedTuple

from .gelu import gelu_backward, gelu_exact_backward, gelu_exact_forward, gelu_exact_shapes, gelu_forward, gelu_shapes
from .linear import linear_backward, linear_forward, linear_shapes
from .registry import Operation
from .relu import relu_backward, relu_forward, relu_shapes
from .shape_rules import OpShapes, ShapeError
from .silu import silu_backward, silu_forward, silu_shapes

ACTIVATIONS = {
    "relu": (relu_forward, relu_backward, relu_shapes),
    "gelu": (gelu_forward, gelu_backward, gelu_shapes),
    "gelu-exact": (gelu_exact_forward, gelu_exact_backward, gelu_exact_shapes),
    "silu": (silu_forward, silu_backward, silu_shapes),
}


class FfnCache(NamedTuple):
    """The three caches: x and the weights by reference, the hidden layer (..., F) before and after the activation."""

    up: Any
    activation: Any
    down: Any
    name: str


def ffn_forward(
    x, w1, b1, w2, b2, activation="gelu"
):  # x (..., C); w1 (C, F); b1 (F,) or None; w2 (F, D); b2 (D,) or None
    """`activation` is "relu", "gelu" (tanh form), "gelu-exact" or "silu"; D is usually C.

    Returns y (..., D) and the cache.
    """
    activate, _, _ = ACTIVATIONS[activation]
    hidden, up = linear_forward(x, w1, b1)  # (..., F)
    activated, middle = activate(hidden)  # (..., F)
    y, down = linear_forward(activated, w2, b2)  # (..., D)
    return y, FfnCache(up, middle, down, activation)


def ffn_backward(dy, cache):  # dy (..., D)
    """Returns dx (..., C), dw1 (C, F), db1 (F,), dw2 (F, D), db2 (D,), without those of biases that were None."""
    _, activate_backward, _ = ACTIVATIONS[cache.name]
    # forward: y = activated w2 + b2
    dactivated, *dw2_db2 = linear_backward(dy, cache.down)  # (..., F)
    # forward: activated = activation(hidden)
    dhidden = activate_backward(dactivated, cache.activation)  # (..., F)
    # forward: hidden = x w1 + b1
    dx, *dw1_db1 = linear_backward(dhidden, cache.up)  # (..., C)
    return dx, *dw1_db1, *dw2_db2


def ffn_shapes(x, w1, b1, w2, b2, activation="gelu") -> OpShapes:
    """x (..., C), w1 (C, F), b1 (F,) or None, w2 (F, D), b2 (D,) or None -> (..., D)."""
    if activation not in ACTIVATIONS:
        raise ShapeError(f"ffn: no activation {activation!r}; there are {', '.join(ACTIVATIONS)}")
    up = linear_shapes(x, w1, b1)
    middle = ACTIVATIONS[activation][2](up.out)
    down = linear_shapes(middle.out, w2, b2)
    return OpShapes(
        down.out,
        cache_bytes=up.out.nbytes + middle.cache_bytes + middle.out.nbytes,
        flop=up.flop + middle.flop + down.flop,
        backward_flop=up.backward_flop + middle.backward_flop + down.backward_flop,
    )


FFN = Operation("ffn", ffn_forward, ffn_backward, ("x", "w1", "b1", "w2", "b2"), ffn_shapes, optional=("b1", "b2"))
