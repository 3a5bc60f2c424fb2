"""A wrong gradient is told by what it resembles."""

import numpy as np
import pytest

from tinygrad_arith.gradcheck_suite.operations import mutants
from tinygrad_arith.gradcheck_suite.operations.attention import slipped
from tinygrad_arith.ops import OPERATIONS
from tinygrad_arith.verify import GradientCheck, GradientMismatch, check_gradients
from tinygrad_arith.verify.factors import name_factor

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
    ("factor", 1, lambda g, dy, c: 2 * g, "the true gradient times 2"),
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
    ("term", 0, lambda g, dy, c: g + 0.3 * c[0], "0.3 times x itself"),
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
    axes = {"the size of axis 0 of x": 2, "the size of axis 1 of x": 4}
    assert name_factor(0.5, axes) == "0.5 = 1/2, 2 is the size of axis 0 of x"
    assert name_factor(4.0, axes) == "4, the size of axis 1 of x"
    assert name_factor(3.0, axes) == "3"
    assert name_factor(2.0, {"HS": 4}) == "2 = sqrt(HS), HS = 4"


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


@pytest.fixture(scope="module")
def attention_check():
    return GradientCheck(ATTENTION.forward, QKV, sizes=SIZES)


@pytest.mark.parametrize(("backward", "name", "said"), [c[1:] for c in TEN], ids=[c[0] for c in TEN])
def test_ten_wrong_attentions(attention_check, backward, name, said):
    """The mutants are built on the trusted pair, as a student's own backward would be diagnosed."""
    report = attention_check.run(
        backward, mutants=mutants("attention"), reference=(ATTENTION.forward, ATTENTION.backward)
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


# What would fit whatever is wrong says nothing


def times_forward(a, b):
    return a * np.sin(b), (a, b)


def times_backward(dy, cache):
    a, b = cache
    return dy * np.sin(b), dy * a * np.cos(b)


A, B = RNG.normal(size=(4, 6)), RNG.normal(size=(4, 6))
ON_B = {
    "b scaled": lambda backward, dy, cache: (backward(dy, cache)[0], 1.001 * backward(dy, cache)[1]),
    "b negated": lambda backward, dy, cache: (backward(dy, cache)[0], -backward(dy, cache)[1]),
}
ON_A = {"a tripled": lambda backward, dy, cache: (3 * backward(dy, cache)[0], backward(dy, cache)[1])}


def report_on(change, **settings):
    """The report on the pair `times` with the gradient of `a` changed."""

    def backward(dy, cache):
        da, db = times_backward(dy, cache)
        return change(da.copy()), db

    if "reference" in settings:
        settings["reference"] = (times_forward, backward)
    return GradientCheck(times_forward, {"a": A, "b": B}).run(backward, **settings)


@pytest.mark.parametrize("own", [{}, {"reference": "the pair itself"}])
def test_a_slip_in_another_inputs_gradient_explains_nothing(own):
    """A mutant of b leaves the wrong gradient of a as it is: no wonder that it has the same."""
    (finding,) = report_on(lambda g: np.where(g > 0.3, 0, g), mutants=ON_B | ON_A, **own)["a"].findings
    assert finding.kind == "left out"
    (finding,) = report_on(lambda g: 3 * g, mutants=ON_B, **own)["a"].findings
    assert (finding.kind, finding.text) == ("factor", "is the true gradient times 3")


@pytest.mark.parametrize("own", [{}, {"reference": "the pair itself"}])
def test_a_slip_is_built_on_the_true_gradients_where_there_is_no_trusted_pair(own):
    texts = [finding.text for finding in report_on(lambda g: 3 * g, mutants=ON_B | ON_A, **own)["a"].findings]
    assert texts[-1] == "equals what a known slip gives: a tripled"


def test_a_slip_that_is_no_slip_here_explains_nothing():
    """An error below the closeness of two gradients: the true gradient is as close as any candidate."""

    def one_small(g):
        g.flat[np.argmin(np.abs(g))] *= 1.0005
        return g

    trusted = {"reference": (times_forward, times_backward)}
    report = GradientCheck(times_forward, {"a": A, "b": B}).run(
        lambda dy, c: (one_small(times_backward(dy, c)[0]), times_backward(dy, c)[1]), mutants=ON_B, **trusted
    )
    (finding,) = report["a"].findings
    assert finding.kind == "factor on part"
    assert finding.text == "has the factor 1.0005 at the one wrong element and is right at all others"


def test_a_gradient_that_is_zero_up_to_rounding_is_zero():
    """Softmax under a cotangent of ones: not exactly zero, and the reason why."""
    x = np.random.default_rng(4).normal(size=(3, 5))

    def softmax_backward(dy, y):
        return y * (1 - y.sum(axis=-1, keepdims=True))

    (finding,) = GradientCheck(softmax_forward, (x,)).run(softmax_backward)["x"].findings
    assert finding.kind == "zero"
    assert "as it is for a dy of ones: is dy used?" in finding.text
    (finding,) = report_on(lambda g: 0 * g)["a"].findings
    assert finding.text == "is zero everywhere"


@pytest.mark.parametrize("shape", [(4, 6), (1,)])
def test_a_gradient_that_should_be_zero_resembles_nothing_else(shape):
    inputs = {"a": RNG.normal(size=shape), "b": RNG.normal(size=shape)}
    settings = {"zero": ("b",), "allow": ("single_element",)}
    check = GradientCheck(lambda a, b: (np.sin(a) + (b - b), (a, b)), inputs, **settings)
    mutants = {"a negated": lambda backward, dy, cache: (-backward(dy, cache)[0], backward(dy, cache)[1])}
    report = check.run(lambda dy, c: (dy * np.cos(c[0]), 1e-3 * dy), mutants=mutants)
    (finding,) = report["b"].findings
    assert finding.kind == "not zero"
    assert finding.text.startswith("must be zero: no output is seen to depend on b here; its largest entry is 0.00")


def test_an_error_that_no_sampled_element_shows_is_told_as_one_of_a_direction():
    """5,892 elements off by a hair each, beside one that is large: the sum along a direction shows it."""
    x, large = np.random.default_rng(7).normal(size=(71, 83)), np.zeros((71, 83))
    large[5, 7] = 100.0

    def backward(dy, x):
        return dy * (np.cos(x) * (1 + 8e-6) + large)

    report = GradientCheck(lambda x: (np.sin(x) + large * x, x), (x,)).run(backward)
    entry, text = report["x"], str(report)
    assert (entry.wrong, entry.wrong_directions, entry.findings) == (1, 1, ())
    assert "x: along a random direction the backward says " in text
    assert "no single wrong element was found among the " in text
    assert "    at x[" not in text


# Several contributions, and factors of rows


def conv_forward(x, k):
    """Valid cross-correlation: x (T, C), k (K, C, D) -> (T - K + 1, D)."""
    taps = len(k)
    return sum(x[j : len(x) - taps + 1 + j] @ k[j] for j in range(taps)), (x, k)


@pytest.mark.parametrize("by_tap", [False, True])
def test_a_convolution_that_overwrites(by_tap):
    def backward(dy, cache):
        x, k = cache
        dx, dk = np.zeros_like(x), np.stack([x[j : j + len(dy)].T @ dy for j in range(len(k))])
        if by_tap:
            for j in range(len(k)):
                dx[j : j + len(dy)] = dy @ k[j].T
        else:
            for t in range(len(dy)):
                dx[t : t + len(k)] = k @ dy[t]
        return dx, dk

    finding = diagnosed(conv_forward, backward, {"x": X, "k": RNG.normal(size=(2, 6, 3))}, "x")
    assert finding.kind == "duplicates"
    which = "first" if by_tap else "last"
    assert f"keeps only the {which} contribution along axis 0 of the output to elements that are used" in finding.text


def logsumexp_forward(x):
    return np.log(np.exp(x).sum(axis=-1)), x


ROW_FACTORS = [
    (logsumexp_forward, lambda dy, x: dy[..., None] * np.exp(x), {"x": X},
     "the same within each row along axis 1 (from 6.", "it equals exp(the output)"),
    (lambda x, w: (x * w, (x, w)), lambda dy, c: (dy, (dy * c[0]).sum(axis=0)), {"x": X, "w": RNG.normal(size=6)},
     "the same within each row along axis 0 (from -", "it equals 1/w"),
    (lambda x, w: (x * w, (x, w)), lambda dy, c: (dy * c[1] ** 2, (dy * c[0]).sum(axis=(0, 1))),
     {"x": RNG.normal(size=(2, 5, 3)), "w": RNG.normal(size=3)}, "along axes 0 and 1 (from ", "it equals w"),
    (lambda x: (np.sin(x), x), lambda dy, x: dy * np.cos(x) * np.array([[1.5], [2.5], [3.0], [1.0]]), {"x": X},
     "within each row along axis 1 (from 1 to 3)", "missing or wrong"),
]  # fmt: skip


@pytest.mark.parametrize(("forward", "backward", "inputs", "said", "named"), ROW_FACTORS)
def test_a_factor_of_each_row(forward, backward, inputs, said, named):
    finding = diagnosed(forward, backward, inputs, next(iter(inputs)))
    assert finding.kind == "row factor"
    assert said in finding.text
    assert finding.text.endswith(named)


def test_no_row_factor_where_a_row_has_one_number():
    """The maximum of a row: one entry a row, which any wrong number fits."""

    def backward(dy, x):
        return dy[:, None] * (x == x.max(axis=1, keepdims=True)) * np.array([[1.5], [2.5], [3.0], [1.2]])

    assert diagnosed(lambda x: (x.max(axis=1), x), backward, (X,), "x").kind == "unknown"


def test_a_term_is_told_with_its_multiple():
    finding = diagnosed(
        product_forward, with_change(0, lambda g, dy, c: g + 0.3 * c[0]), (X, W, RNG.normal(size=3)), "x"
    )
    assert finding.text == "is off by 0.3 times x itself: a term is missing, or one too many"


def test_what_cancels_is_no_mask_and_no_slip_that_changes_nothing_there():
    def softplus(x):
        return np.logaddexp(0.0, x), x

    def cancelling(dy, x):
        return dy * ((2.0**20 + 0.5 + 0.5 * np.tanh(0.5 * x)) - 2.0**20)  # 0 at -24

    slips = {"the cache twice as large": lambda backward, dy, x: backward(dy, x + 0.0)}
    check = GradientCheck(softplus, np.array([-24.0, 1.0, 2.0, -3.0]))
    for reference in (None, (softplus, cancelling)):
        findings = check.run(cancelling, mutants=slips, reference=reference).inputs[0].findings
        assert findings[0].kind == "cancellation"
        assert "mutant" not in [finding.kind for finding in findings]


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1.0, 1e200, 1e300])
def test_what_is_said_at_extreme_scales_is_true(scale):
    x = scale * np.random.default_rng(3).normal(size=(3, 4))
    check = GradientCheck(lambda x: (scale / x, x), x)
    report = check.run(lambda dy, x: dy * -2 * (scale / x) / x)
    assert [finding.text for finding in report["x"].findings] == ["is the true gradient times 2"]
    report = check.run(lambda dy, x: dy * -(np.arange(1, 13).reshape(3, 4) ** 2) * (scale / x) / x)
    assert report.verdict == "wrong"
    assert "nan" not in str(report)
    assert "length is inf" not in str(report)


def test_swapped_gradients_of_other_shapes():
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(3, 4)), rng.normal(size=(4, 5))
    report = GradientCheck(lambda x, w: (x @ w, (x, w)), (x, w)).run(lambda dy, c: (c[0].T @ dy, dy @ c[1].T))
    for name, other in (("x", "w"), ("w", "x")):
        (finding,) = report[name].findings
        assert finding.text == f"is the gradient of {other}: are two gradients returned in the wrong order?"
