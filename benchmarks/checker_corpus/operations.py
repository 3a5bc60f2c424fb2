"""Operations of tinygrad_arith.ops at drawn inputs, written once more for mpmath."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import numpy as np

from tinygrad_arith import ops

from . import exact as e
from .elementwise import CUBIC, TANH_SCALE, signed
from .problem import Problem, by_all, by_column, by_element, by_index, by_row, by_weight

EPS = 1e-5


def _scale(rng, low=-12.0, high=12.0) -> float:
    return float(f"{10 ** rng.uniform(low, high):.3g}")


def _far(rng, x) -> tuple[np.ndarray, str, float]:
    """One time in four, x far from 0."""
    if rng.random() > 0.25:
        return x, "none", 0.0
    offset = float(rng.uniform(1, 8))
    return x + 10**offset * np.abs(x).max(), "of the input", offset


def _row(values):
    return values.sum(axis=-1, keepdims=True)


def layernorm(rng) -> Problem:
    """Rows of 4 or 5 channels."""
    columns, s = int(rng.integers(4, 6)), _scale(rng)
    x, placed, offset = _far(rng, signed(rng, (3, columns)) * s)
    weight, bias = signed(rng, columns) * _scale(rng, -3, 3), signed(rng, columns) * _scale(rng, -3, 3)

    def exact(x, weight, bias):
        centered = x - _row(x) / columns
        variance = _row(centered * centered) / columns
        return (weight * centered / e.sqrt(variance + mpmath.mpf(EPS)) + bias,)

    def constant_variance(dy, cache):
        _, dweight, dbias = ops.layernorm_backward(dy, cache)
        scaled = dy * cache.weight
        return cache.rstd * (scaled - scaled.mean(axis=-1, keepdims=True)), dweight, dbias

    def first_row_only(dy, cache):
        dx, dweight, _ = ops.layernorm_backward(dy, cache)
        return dx, dweight, dy[0].copy()

    bend = np.sqrt(x.var(axis=-1, keepdims=True) + EPS)
    return Problem(
        "layernorm", "operation", ops.layernorm_forward, ops.layernorm_backward, exact, (x, weight, bias),
        (np.broadcast_to(bend, x.shape), np.abs(weight), np.abs(bias)), (by_row, by_column, by_column),
        faults={"as if the variance were constant": constant_variance, "dbias of the first row": first_row_only},
        placed=placed, offset=offset,
    )  # fmt: skip


def rmsnorm(rng) -> Problem:
    """Rows of 4 or 5 channels."""
    columns, s = int(rng.integers(4, 6)), _scale(rng)
    x, weight = signed(rng, (3, columns)) * s, signed(rng, columns) * _scale(rng, -3, 3)

    def exact(x, weight):
        return (weight * x / e.sqrt(_row(x * x) / columns + mpmath.mpf(EPS)),)

    def constant_root(dy, cache):
        return cache.rrms * dy * cache.weight, ops.rmsnorm_backward(dy, cache)[1]

    bend = np.sqrt((x * x).mean(axis=-1, keepdims=True) + EPS)
    return Problem(
        "rmsnorm", "operation", ops.rmsnorm_forward, ops.rmsnorm_backward, exact, (x, weight),
        (np.broadcast_to(bend, x.shape), np.abs(weight)), (by_row, by_column),
        faults={"as if the root were constant": constant_root},
    )  # fmt: skip


def cross_entropy(rng) -> Problem:
    """The sum over 5 to 150 rows of logits, of ordinary size, large or far from 0."""
    rows, classes = int(rng.choice((5, 40, 100, 150))), int(rng.integers(3, 5))
    size = float(10 ** rng.uniform(-6, 1.3))
    logits, placed, offset = _far(rng, rng.normal(size=(rows, classes)) * size)
    targets = rng.integers(0, classes, rows)
    targets[rng.random(rows) < 0.1] = -1
    targets[0] = 0
    counted = targets >= 0

    def exact(logits):
        kept = logits[counted]
        largest = kept.max(axis=-1, keepdims=True)
        total = largest + e.log(_row(e.exp(kept - largest)))
        return (total[:, 0] - np.take_along_axis(kept, targets[counted][:, None], axis=-1)[:, 0],)

    def owners(shape, terms):
        rows_counted = np.flatnonzero(counted)
        colours = []
        for column in range(classes):
            mask = np.zeros(shape, dtype=bool)
            mask[:, column] = True
            colours.append((mask, rows_counted * classes + column))
        return colours

    def without_targets(dy, cache):
        return dy * cache.weights[..., None] * np.exp(cache.logits - cache.logsumexp)

    return Problem(
        "cross_entropy_sum", "sum of many terms" if rows > 5 else "operation",
        lambda logits: ops.cross_entropy_sum_forward(logits, targets), ops.cross_entropy_sum_backward, exact,
        (logits,), (np.ones(logits.shape),), (owners,), summed=True,
        faults={"without the targets": without_targets}, placed=placed, offset=offset,
    )  # fmt: skip


def _product(name, kind, x, weight, forward, backward, exact, faults, bias=None) -> Problem:
    lengths = tuple(np.full(a.shape, np.abs(a).max()) for a in (x, weight))
    arrays, couplings = (x, weight), (by_row, by_weight)
    if bias is not None:
        arrays, lengths, couplings = (*arrays, bias), (*lengths, np.abs(bias)), (*couplings, by_column)
    return Problem(name, kind, forward, backward, exact, arrays, lengths, couplings, faults=faults)


def linear(rng) -> Problem:
    """x (2, 3, 4) or (5, 3), each array at a scale of its own."""
    shape, outs = ((2, 3, 4), 5) if rng.random() < 0.5 else ((5, 3), 2)
    x, weight = signed(rng, shape) * _scale(rng), signed(rng, (shape[-1], outs)) * _scale(rng, -6, 6)
    bias = signed(rng, outs) * np.abs(x).max() * np.abs(weight).max() * 10 ** rng.uniform(-2, 2)

    def one_row(dy, cache):
        dx, dweight, _ = ops.linear_backward(dy, cache)
        return dx, dweight, dy.reshape(-1, outs)[0].copy()

    def mean_of_rows(dy, cache):
        dx, dweight, dbias = ops.linear_backward(dy, cache)
        return dx, dweight, dbias / dy.reshape(-1, outs).shape[0]

    return _product(
        "linear", "operation", x, weight, ops.linear_forward, ops.linear_backward,
        lambda x, w, b: ((x.reshape(-1, shape[-1]) @ w).reshape(*shape[:-1], outs) + b,),
        {"dbias of one row": one_row, "dbias the mean": mean_of_rows}, bias,
    )  # fmt: skip


def matmul(rng) -> Problem:
    """(3, 4) times (4, 2); sometimes columns of very different sizes."""
    x, weight = signed(rng, (3, 4)) * _scale(rng), signed(rng, (4, 2)) * _scale(rng, -6, 6)
    if rng.random() < 0.4:
        weight = weight * 10 ** rng.uniform(-4, 4, (1, 2))

    def swapped(dy, cache):
        x, weight = cache
        return dy @ weight.T, (dy.T @ x).reshape(weight.shape)

    return _product(
        "matmul", "operation", x, weight, lambda x, w: (x @ w, (x, w)),
        lambda dy, cache: (dy @ cache[1].T, cache[0].T @ dy), lambda x, w: (x @ w,),
        {"dweight transposed": swapped},
    )  # fmt: skip


def embedding(rng) -> Problem:
    """A table (5, 3) read at seven places: some rows several times, one never."""
    ids, table = rng.integers(0, 4, 7), signed(rng, (5, 3)) * _scale(rng)
    ids[:2] = ids[0]

    def last_only(dy, cache):
        dtable = np.zeros(cache.table_shape)
        dtable[cache.ids] = dy
        return dtable

    owner = ids[:, None] * 3 + np.arange(3)
    return Problem(
        "embedding", "operation", lambda table: ops.embedding_forward(ids, table), ops.embedding_backward,
        lambda table: (table[ids],), (table,), (np.abs(table),), (by_index(owner),),
        faults={"the last of equal ids": last_only},
    )  # fmt: skip


def attention(rng) -> Problem:
    """One row of three positions, two query heads that share a key, four channels, causal."""
    size, of_keys, of_values = _scale(rng, -6, 6), _scale(rng, -0.5, 0.5), _scale(rng)
    q, k, v = (signed(rng, (1, 3, heads, 4)) for heads in (2, 1, 1))
    q, k, v = q * size, k * of_keys / size, v * of_values
    visible = np.tril(np.ones((3, 3), dtype=bool))

    def exact(q, k, v):
        heads = []
        for head in range(2):
            scores = (q[0, :, head] @ k[0, :, 0].T) / 2
            weights = np.where(visible, e.exp(scores), mpmath.mpf(0))
            heads.append((weights / _row(weights)) @ v[0, :, 0])
        return (np.stack(heads, axis=1)[None],)

    def without_scale(dy, cache):
        dq, dk, dv = ops.attention_backward(dy, cache)
        return dq * 2, dk, dv

    lengths = (1 / np.abs(k).max(), 1 / np.abs(q).max(), np.abs(v).max())
    return Problem(
        "attention", "operation", ops.attention_forward, ops.attention_backward, exact, (q, k, v),
        tuple(np.full(x.shape, length) for x, length in zip((q, k, v), lengths, strict=True)),
        (by_all, by_all, by_all), faults={"dq without 1 / sqrt(HS)": without_scale},
    )  # fmt: skip


def ffn(rng) -> Problem:
    """Two rows of three channels, four hidden units, with either GELU or with ReLU."""
    activation = str(rng.choice(("gelu", "gelu-exact", "relu")))
    s, down = _scale(rng, -6, 6), _scale(rng, -6, 6)
    x, w1, b1 = signed(rng, (2, 3)) * s, signed(rng, (3, 4)) / s, rng.normal(size=4) * 10 ** rng.uniform(-1, 0.7)
    w2, b2 = signed(rng, (4, 2)) * down, signed(rng, 2) * down
    exactly = {"gelu": _exact_gelu, "gelu-exact": _exact_gelu_by_erf, "relu": lambda u: np.maximum(u, mpmath.mpf(0))}

    def no_bias_sum(dy, cache):
        dx, dw1, db1, dw2, _ = ops.ffn_backward(dy, cache)
        return dx, dw1, db1, dw2, dy[0].copy()

    bend = float(np.abs(x @ w1 + b1).min()) if activation == "relu" else 1.0  # how far a hidden unit may move
    lengths = (bend / np.abs(w1).max(), bend / np.abs(x).max(), bend, down, down)
    arrays = (x, w1, b1, w2, b2)
    return Problem(
        f"ffn, {activation}", "operation", lambda *given: ops.ffn_forward(*given, activation=activation),
        ops.ffn_backward, lambda x, w1, b1, w2, b2: (exactly[activation](x @ w1 + b1) @ w2 + b2,), arrays,
        tuple(np.full(array.shape, length) for array, length in zip(arrays, lengths, strict=True)),
        (by_row, by_all, by_all, by_weight, by_column), faults={"db2 of one row": no_bias_sum},
    )  # fmt: skip


def _exact_gelu(u):
    return u / 2 * (1 + e.tanh(mpmath.mpf(TANH_SCALE) * (u + mpmath.mpf(CUBIC) * u**3)))


def _exact_gelu_by_erf(u):
    return u / 2 * (1 + e.erf(u / mpmath.sqrt(2)))


def rotary(rng) -> Problem:
    """Positions near 0 or far along."""
    x, positions = signed(rng, (2, 3, 1, 4)) * _scale(rng), np.arange(3) + int(rng.choice((0, 5, 1000)))
    frequency = 10000.0 ** (-np.arange(0, 4, 2) / 4)
    angle = positions[:, None, None] * frequency  # (3, 1, 2)

    def exact(x):
        c, s = (f(np.frompyfunc(mpmath.mpf, 1, 1)(angle)) for f in (e.cos, e.sin))
        first, second = x[..., ::2], x[..., 1::2]
        return (np.stack([first * c - second * s, first * s + second * c], axis=-1).reshape(x.shape),)

    def forwards(dy, cache):
        return ops.rotary_forward(dy, positions)[0]

    return Problem(
        "rotary", "operation", lambda x: ops.rotary_forward(x, positions), ops.rotary_backward, exact, (x,),
        (np.full(x.shape, np.abs(x).max()),), (by_row,), faults={"turned forwards": forwards},
    )  # fmt: skip


def scaled_by_columns(rng) -> Problem:
    """x (3, 4) times a row w (4,), or divided by it."""
    divide = bool(rng.random() < 0.5)
    x, w = signed(rng, (3, 4)) * _scale(rng), signed(rng, 4) * _scale(rng)
    forward, backward = (ops.divide_forward, ops.divide_backward) if divide else (
        ops.multiply_forward, ops.multiply_backward)  # fmt: skip

    def first_row(dy, cache):
        dx, _ = backward(dy, cache)
        return dx, (-dy * x / w**2 if divide else dy * x)[0].copy()

    return Problem(
        "x / w" if divide else "x * w", "operation", forward, backward, lambda x, w: (x / w if divide else x * w,),
        (x, w), (np.abs(x), np.abs(w)), (by_element, by_column), faults={"dw of the first row": first_row},
    )  # fmt: skip


OPERATIONS: dict[str, Callable[[np.random.Generator], Problem]] = {
    "layernorm": layernorm,
    "rmsnorm": rmsnorm,
    "cross_entropy_sum": cross_entropy,
    "linear": linear,
    "matmul": matmul,
    "embedding": embedding,
    "attention": attention,
    "ffn": ffn,
    "rotary": rotary,
    "x times or over w": scaled_by_columns,
}
