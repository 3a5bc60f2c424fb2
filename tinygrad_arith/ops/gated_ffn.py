"""The gated feed-forward network: linear, a gate times what it lets through, linear. With SiLU it is called SwiGLU.

    [g | u] = x w1 + b1;     y = (activation(g) ⊙ u) w2 + b2

Shazeer: "GLU Variants Improve Transformer", 2020, arXiv 2002.05202, equation 6. Gate and up-projection are one packed
matrix, so that one GEMM makes both. One operation, so that a fused kernel can take its place; this reference calls the
finer pairs.
"""

from typing import Any, NamedTuple

from ..backend import array_module
from .ffn import ACTIVATIONS
from .linear import linear_backward, linear_forward, linear_shapes
from .registry import Operation
from .shape_rules import ArraySpec, OpShapes, ShapeError, require


class GatedFfnCache(NamedTuple):
    """The three caches: x and the weights by reference, gate and up (..., F) each, and their product (..., F)."""

    up: Any
    activation: Any
    activated: Any  # (..., F), activation(gate)
    passed: Any  # (..., F), up: what the gate lets through
    down: Any
    name: str


def gated_ffn_forward(
    x, w1, b1, w2, b2, activation="silu"
):  # x (..., C); w1 (C, 2F); b1 (2F,) or None; w2 (F, D); b2 (D,) or None
    """w1 is [gate | up], side by side. `activation` of the gate is "silu" (SwiGLU), "gelu" (tanh form), "gelu-exact"
    (GEGLU) or "relu" (ReGLU). D is usually C. Returns y (..., D) and the cache.
    """
    activate, _, _ = ACTIVATIONS[activation]
    hidden, up = linear_forward(x, w1, b1)  # (..., 2F)
    size = w1.shape[1] // 2
    gate, passed = hidden[..., :size], hidden[..., size:]  # (..., F) each
    activated, middle = activate(gate)  # (..., F)
    y, down = linear_forward(activated * passed, w2, b2)  # (..., D)
    return y, GatedFfnCache(up, middle, activated, passed, down, activation)


def gated_ffn_backward(dy, cache):  # dy (..., D)
    """Returns dx (..., C), dw1 (C, 2F), db1 (2F,), dw2 (F, D), db2 (D,), without those of biases that were None."""
    _, activate_backward, _ = ACTIVATIONS[cache.name]
    # forward: y = (activated ⊙ passed) w2 + b2
    dproduct, *dw2_db2 = linear_backward(dy, cache.down)  # (..., F)
    # forward: activated ⊙ passed. Each factor's gradient is the other one times the product's:
    dpassed = dproduct * cache.activated  # (..., F)
    dactivated = dproduct * cache.passed  # (..., F)
    # forward: activated = activation(gate)
    dgate = activate_backward(dactivated, cache.activation)  # (..., F)
    # forward: [gate | passed] = x w1 + b1
    dhidden = array_module(dy).concatenate([dgate, dpassed], axis=-1)  # (..., 2F)
    dx, *dw1_db1 = linear_backward(dhidden, cache.up)  # (..., C)
    return dx, *dw1_db1, *dw2_db2


def gated_ffn_shapes(x, w1, b1, w2, b2, activation="silu") -> OpShapes:
    """x (..., C), w1 (C, 2F), b1 (2F,) or None, w2 (F, D), b2 (D,) or None -> (..., D)."""
    if activation not in ACTIVATIONS:
        raise ShapeError(f"gated_ffn: no activation {activation!r}; there are {', '.join(ACTIVATIONS)}")
    up = linear_shapes(x, w1, b1)
    require(w1.shape[1] % 2 == 0, "gated_ffn", "w1 must be (C, 2F): gate and up side by side", x=x, w1=w1)
    gate = ArraySpec((*x.shape[:-1], w1.shape[1] // 2), up.out.dtype)
    middle = ACTIVATIONS[activation][2](gate)
    down = linear_shapes(gate, w2, b2)
    return OpShapes(
        down.out,
        cache_bytes=up.out.nbytes + middle.cache_bytes + 2 * gate.nbytes,
        flop=up.flop + middle.flop + gate.size + down.flop,
        backward_flop=up.backward_flop + middle.backward_flop + 2 * gate.size + down.backward_flop,
    )


GATED_FFN = Operation(
    "gated_ffn",
    gated_ffn_forward,
    gated_ffn_backward,
    ("x", "w1", "b1", "w2", "b2"),
    gated_ffn_shapes,
    optional=("b1", "b2"),
)
