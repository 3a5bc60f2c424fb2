# Made from the declarations in ops/ by `python -m tinygrad_arith.autograd.stub`: not to be edited.
from collections.abc import Callable, Iterable
from typing import Any

from .tensor import Tensor

FUNCTIONS: dict[str, Callable[..., Tensor]]

def embedding(ids, table) -> Tensor:
    """Returns y (..., C), where y[n] = table[ids[n]], and the cache. Raises IndexError for an id that is no row."""

def linear(x, weight, bias=None) -> Tensor:
    """Returns y (..., Cout) and the cache."""

def layernorm(x, weight, bias, eps=1e-05) -> Tensor:
    """Normalises the last axis. Returns y (..., C) and the cache."""

def rmsnorm(x, weight, eps=1e-05) -> Tensor:
    """Normalises the last axis. Returns y (..., C) and the cache."""

def attention(q, k, v, *, causal=True, key_mask=None, lengths=None, scale=None) -> Tensor:
    """Attention of each query over the keys it may see.

    q (B, Tq, NH, HS); k, v (B, Tk, NHkv, HS), NHkv a divisor of NH.
    causal:   a query sees no later key; the last query is aligned with the last key (so Tq <= Tk when decoding)
    key_mask: (B, Tk) bool, False hides a key from everyone; of integers 0 does
    lengths:  (B,) int, shorthand for key_mask: the first lengths[b] keys are real
    scale:    default 1 / sqrt(HS)

    A query that sees no key gets zeros. Returns y (B, Tq, NH, HS) and the cache.
    """

def attention_blockwise(q, k, v, *, causal=True, key_mask=None, lengths=None, scale=None, block=64) -> Tensor:
    """Attention as `attention_forward` has it, `block` keys at a time. Returns y (B, Tq, NH, HS) and the cache."""

def packed_attention(qkv, heads, *, kv_heads=None, causal=True, key_mask=None, lengths=None, scale=None) -> Tensor:
    """`heads` is NH, `kv_heads` NHkv (default NH); the rest as in `attention_forward`.

    Returns y (B, T, NH HS) and the cache.
    """

def rotary(x, positions, base=10000.0, *, pairing="neighbours", width=None, scaling=None) -> Tensor:
    """Turns each pair of channels by its position. Returns y (B, T, NH, HS) and the cache.

    pairing: "neighbours" or "halves"
    width:   W, how many channels of a head are turned, an even number; default HS
    scaling: of the frequencies, from `rotary_scaling`; default none
    """

def packed_rotary(
    qkv, positions, heads, *, kv_heads=None, base=10000.0, pairing="neighbours", width=None, scaling=None
) -> Tensor:
    """`heads` is NH, `kv_heads` NHkv (default NH); the rest as in `rotary_forward`.

    Returns the packed projection, queries and keys turned, and the cache.
    """

def gelu(x) -> Tensor:
    """The tanh form. Returns y (...) and the cache."""

def gelu_exact(x) -> Tensor:
    """The exact form. Returns y (...) and the cache."""

def silu(x) -> Tensor:
    """Returns y (...) and the cache."""

def relu(x) -> Tensor:
    """Returns y (...) and the cache."""

def dropout(x, rate, key) -> Tensor:
    """Returns y (...) and the cache. The same key gives the same mask, on any device."""

def ffn(x, w1, b1, w2, b2, activation="gelu") -> Tensor:
    """`activation` is "relu", "gelu" (tanh form), "gelu-exact" or "silu"; D is usually C.

    Returns y (..., D) and the cache.
    """

def gated_ffn(x, w1, b1, w2, b2, activation="silu") -> Tensor:
    """w1 is [gate | up], side by side. `activation` of the gate is "silu" (SwiGLU), "gelu" (tanh form), "gelu-exact"
    (GEGLU) or "relu" (ReGLU). D is usually C. Returns y (..., D) and the cache.
    """

def cross_entropy_sum(logits, targets, weights=None, ignore_index=-1) -> Tensor:
    """Sum of weight * (-log p[target]) over the targets that are not `ignore_index`. Returns loss () and the cache.

    Rows without weight add nothing, whatever their logits are: NaN, too. Raises IndexError for a target that is no
    class; on a GPU the loss becomes NaN.
    """

def cross_entropy(logits, targets, ignore_index=-1) -> Tensor:
    """Mean of -log p[target] over the counted targets; 0 if there is none. Returns loss () and the cache."""

def add(a, b) -> Tensor:
    """Returns a + b and the cache."""

def subtract(a, b) -> Tensor:
    """Returns a - b and the cache."""

def multiply(a, b) -> Tensor:
    """Returns a * b and the cache."""

def divide(a, b) -> Tensor:
    """Returns a / b and the cache."""

def power(x: Any, exponent: Any) -> Tensor:
    """x ** exponent, element by element. A tensor as the exponent gets its gradient; a number has none."""

def elementwise_power(a, b) -> Tensor:
    """Returns a ** b and the cache."""

def matmul(a, b) -> Tensor:
    """Matrix product; leading axes broadcast, a 1-D array is a row on the left and a column on the right."""

def negative(x) -> Tensor:
    """Returns -x and the cache."""

def exp(x) -> Tensor:
    """Returns exp(x) and the cache: the output, which is its own derivative."""

def log(x) -> Tensor:
    """Returns the natural logarithm of x and the cache."""

def sqrt(x) -> Tensor:
    """Returns the square root of x and the cache: the output, y; the derivative is 1 / (2 y)."""

def tanh(x) -> Tensor:
    """Returns tanh(x) and the cache: the output, y; the derivative is 1 - y²."""

def sum(x, axis=None, keepdims=False) -> Tensor:
    """Sum over `axis`: None (all), an int or several. Returns y and the cache."""

def mean(x, axis=None, keepdims=False) -> Tensor:
    """Mean over `axis`: None (all), an int or several. Returns y and the cache."""

def max(x, axis=None, keepdims=False) -> Tensor:
    """Largest value over `axis`: None (all), an int or several. Returns y and the cache."""

def softmax(x, axis=-1) -> Tensor:
    """Softmax over `axis`: an int, several, or None (all). Returns y (...) and the cache."""

def log_softmax(x, axis=-1) -> Tensor:
    """The logarithm of the softmax over `axis`: an int, several, or None (all). Returns y (...) and the cache."""

def where(condition, a, b) -> Tensor:
    """Returns y (the broadcast shape) and the cache."""

def concatenate(tensors: Iterable[Any], axis: int | None = 0) -> Tensor:
    """The tensors side by side along an axis that they have; None: all their elements in a row."""

def stack(tensors: Iterable[Any], axis: int = 0) -> Tensor:
    """The tensors, all of one shape, along a new axis."""

def reshape(x, shape) -> Tensor:
    """Returns x in another shape of the same size (one size may be -1) and the cache."""

def transpose(x, axes=None) -> Tensor:
    """Returns x with its axes in another order (default: reversed) and the cache."""

def index(x, index) -> Tensor:
    """Returns x[index], NumPy's basic or advanced indexing, and the cache."""
