"""A wrong gradient is told by what it resembles."""

import numpy as np
import pytest

from tinygrad_arith.ops import OPERATIONS
from tinygrad_arith.verify import GradientCheck, GradientMismatch, check_gradients
from tinygrad_arith.verify.factors import name_factor
from tinygrad_arith.verify.mutants import MUTANTS
from tinygrad_arith.verify.mutants.attention import slipped

RNG = np.random.default_rng(11)
SIZES = {"B": 2, "T": 5, "NH": 4, "HS": 3}
ATTENTION = OPERATIONS["attention"]
QKV = tuple(RNG.normal(size=(2, 5, 4, 3)) for _ in range(3))
X, W = RNG.normal(size=(4, 6)), RNG.normal(size=(6, 3))


def product_forward(x, w, b):
    return x @ w + b, (x, w)


def product_backward(dy, cache):
    x, w = cache
    return dy @ w.T, x.T @ dy, dy.sum(axis=0)


def diagnosed(forward, backward, inputs, name, **settings):
    """The first finding about one input's gradient."""
    with pytest.raises(GradientMismatch) as caught:
        check_gradients(forward, backward, inputs, **settings)
    return caught.value.report[name].findings[0]


def with_change(position, change):
    def backward(dy, cache):
        gradients = list(product_backward(dy, cache))
        gradients[position] = change(gradients[position].copy(), dy, cache)
        return tuple(gradients)

    return backward


def columns_only(g):
    g[:, 2] = 0
    return g


def half_negated(g):
    g[1] *= -1
    return g


KINDS = [
    ("zero", 0, lambda g, dy, c: g * 0, "zero everywhere"),
    ("sign", 1, lambda g, dy, c: -g, "minus the true gradient"),
    ("factor", 1, lambda g, dy, c: 2 * g, "times 2 = 2"),
    ("factor", 0, lambda g, dy, c: g / np.sqrt(6), "1/sqrt(6), 6 is the size of axis 1 of x"),
    ("factor", 2, lambda g, dy, c: g / 4, "1/4"),
    ("factor", 1, lambda g, dy, c: -1.37 * g, "times -1.37"),
    ("transposed", 0, lambda g, dy, c: g.T.reshape(g.shape), "order (1, 0)"),
    ("transposed", 0, lambda g, dy, c: g.T, "np.transpose(gradient, (1, 0))"),
    ("broadcast", 2, lambda g, dy, c: dy.copy(), "sum over axes (0,)"),
    ("broadcast", 2, lambda g, dy, c: dy[:, None, :].copy(), "sum over axes (0,"),
    ("cotangent", 1, lambda g, dy, c: c[0].T @ np.ones_like(dy), "does not use the cotangent"),
    ("part", 2, lambda g, dy, c: dy[-1].copy(), "only index 3 of axis 0 of the output"),
    ("part", 1, lambda g, dy, c: c[0][1:].T @ dy[1:], "everything but index 0 of axis 0"),
    ("left out", 0, lambda g, dy, c: columns_only(g), "never written"),
    ("factor on part", 1, lambda g, dy, c: half_negated(g), "wrong sign at the wrong elements"),
    ("term", 0, lambda g, dy, c: g + 0.3 * c[0], "a multiple of x itself"),
    ("term", 1, lambda g, dy, c: g - g.mean(axis=0), "constant along axis 0"),
    ("reordered", 2, lambda g, dy, c: g[::-1].copy(), "order|reversed along axis 0"),
    ("reordered", 0, lambda g, dy, c: np.roll(g, 1, axis=1), "shifted by 1 along axis 1"),
    ("unknown", 0, lambda g, dy, c: g + np.sin(np.arange(24.0)).reshape(4, 6), "cosine"),
]


@pytest.mark.parametrize(("kind", "position", "change", "said"), KINDS)
def test_each_kind(kind, position, change, said):
    name = ("x", "w", "b")[position]
    finding = diagnosed(product_forward, with_change(position, change), (X, W, RNG.normal(size=3)), name)
    assert finding.kind == kind
    assert any(part in finding.text for part in said.split("|"))


def test_swapped_gradients():
    finding = diagnosed(
        lambda a, b: (a * np.sin(b), (a, b)),
        lambda dy, c: (dy * c[0] * np.cos(c[1]), dy * np.sin(c[1])),
        {"a": X, "b": RNG.normal(size=(4, 6))},
        "a",
    )
    assert finding.kind == "swapped"
    assert "gradient of b" in finding.text


def test_lost_duplicates():
    def backward(dy, cache):
        gradient = np.zeros_like(cache[1])
        gradient[cache[0]] += dy
        return gradient

    ids, table = np.array([0, 4, 4, 2, 4, 0]), RNG.normal(size=(6, 3))
    finding = diagnosed(lambda ids, table: (table[ids], (ids, table)), backward, (ids, table), "table")
    assert finding.kind == "duplicates"
    assert "last contribution" in finding.text


def test_mask_not_applied():
    mask = RNG.random((4, 6)) > 0.4
    finding = diagnosed(lambda x: (np.where(mask, np.exp(x), 0.0), np.exp(x)), lambda dy, y: dy * y, (X,), "x")
    assert finding.kind == "mask"


def test_named_sizes_in_factors():
    assert name_factor(1 / 3**0.5, SIZES) == "0.5773503 = 1/sqrt(HS), HS = 3"
    assert "B*T" in name_factor(10.0, SIZES)
    assert name_factor(-5.0, SIZES) == "-5 = -T, T = 5"
    assert name_factor(1.2345, SIZES) == "1.2345"


def attention_with(**slips):
    def backward(dy, cache):
        return slipped(dy, cache.q, cache.k, cache.v, cache.probabilities, cache.scale, **slips)

    return backward


def gradients_with(change):
    return lambda dy, cache: change(*ATTENTION.backward(dy, cache))


TEN = [  # ten wrong attention backwards, the input whose gradient is asked about, and words that must appear
    ("row-sum term missing", attention_with(row_sum=False), "q", "without the row-sum term"),
    ("scale missing in dq", attention_with(scale_q=False), "q", "sqrt(HS)"),
    ("scale twice in dk", gradients_with(lambda q, k, v: (q, k / np.sqrt(3), v)), "k", "1/sqrt(HS)"),
    ("dq negated", gradients_with(lambda q, k, v: (-q, k, v)), "q", "wrong sign"),
    ("dq and dk swapped", gradients_with(lambda q, k, v: (k, q, v)), "q", "swapped"),
    ("mask forgotten", attention_with(masked=False), "k", "masks are not applied"),
    ("p not transposed", attention_with(turn=lambda p: p), "v", "not transposed"),
    ("dy not used", lambda dy, c: ATTENTION.backward(np.ones_like(dy), c), "v", "does not use the cotangent"),
    ("softmax derivative without p", attention_with(factor_p=False), "q", "without the factor p"),
    ("axes of heads and positions swapped", gradients_with(
        lambda q, k, v: (q, k, v.swapaxes(1, 2).reshape(v.shape))), "v", "axes in the order (0, 2, 1, 3)"),
]  # fmt: skip


@pytest.mark.parametrize(("backward", "name", "said"), [c[1:] for c in TEN], ids=[c[0] for c in TEN])
def test_ten_wrong_attentions(backward, name, said):
    """The mutants are built on the trusted pair, as a student's own backward would be diagnosed."""
    report = GradientCheck(ATTENTION.forward, QKV, sizes=SIZES).run(
        backward, mutants=MUTANTS["attention"], reference=(ATTENTION.forward, ATTENTION.backward)
    )
    assert not report[name].passed
    assert said in " ".join(finding.text for finding in report[name].findings)


def softmax_forward(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    y = e / e.sum(axis=-1, keepdims=True)
    return y, y


@pytest.mark.parametrize(
    ("backward", "said"),
    [
        (lambda dy, y: y * dy, "off by one number a row, times the output"),
        (lambda dy, y: y * (dy - (y * dy).mean(axis=-1, keepdims=True)), "off by one number a row, times the output"),
        (lambda dy, y: y * (dy - (y * dy).sum(axis=-1, keepdims=True)) + dy.mean(axis=-1, keepdims=True), "a row: is"),
    ],
)
def test_a_missing_row_term_is_seen_without_any_mutant(backward, said):
    x = np.random.default_rng(4).normal(size=(3, 5))
    report = GradientCheck(softmax_forward, (x,)).run(backward)
    assert said in " ".join(finding.text for finding in report["x"].findings)
