"""The tester tested: what `check_gradients` accepts, and every kind of mismatch it must reject."""

import json

import numpy as np
import pytest

from tinygrad_arith.verify import GradientMismatch, assert_gradients, check_gradients, rejects_mutants

RNG = np.random.default_rng(3)
X, W, B = RNG.normal(size=(2, 5, 3)), RNG.normal(size=(3, 4)), RNG.normal(size=4)


def affine_forward(x, w, b, *, gain=1.0):
    """tanh(x w + b) * gain."""
    y = np.tanh(x @ w + b)
    return gain * y, (x, w, y, gain)


def affine_backward(dy, cache):
    x, w, y, gain = cache
    dz = dy * gain * (1 - y * y)
    rows, drows = x.reshape(-1, x.shape[-1]), dz.reshape(-1, dz.shape[-1])
    return dz @ w.T, rows.T @ drows, drows.sum(axis=0)


def spoiled(position, change):
    """The true backward with one gradient changed."""

    def backward(dy, cache):
        gradients = list(affine_backward(dy, cache))
        gradients[position] = change(gradients[position].copy())
        return tuple(gradients)

    return backward


def failure(backward, **settings):
    with pytest.raises(GradientMismatch) as caught:
        check_gradients(affine_forward, backward, (X, W, B), **settings)
    return caught.value


def test_true_backward_passes_and_the_report_says_what_was_compared():
    report = check_gradients(affine_forward, affine_backward, (X, W, B))
    assert report.passed
    assert [(e.name, e.checked, e.elements) for e in report.inputs] == [("x", 30, 30), ("w", 12, 12), ("b", 4, 4)]
    assert report.largest_relative_error < 1e-8
    assert report["w"].step < 1e-3
    assert "passed" in str(report)
    assert json.loads(json.dumps(report.to_dict()))["passed"] is True
    with pytest.raises(KeyError, match="x, w, b"):
        report["q"]


def test_inputs_by_name_options_one_array_and_float32():
    by_name = {"x": X, "w": W, "b": B}
    assert assert_gradients(affine_forward, affine_backward, by_name, options={"gain": 1.7}).passed
    square = check_gradients(lambda x: (x * x, x), lambda dy, x: 2 * x * dy, X)
    assert square.inputs[0].name == "x"
    single = tuple(a.astype(np.float32) for a in (X, W, B))
    assert check_gradients(affine_forward, affine_backward, single)["x"].dtype == "float32"
    with pytest.raises(GradientMismatch):
        check_gradients(affine_forward, spoiled(1, lambda g: g * np.float32(1.0005)), single)


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("factor", [1.0005, 0.9995, 1.00005])
def test_a_small_factor_is_rejected(position, factor):
    error = failure(spoiled(position, lambda g: g * factor))
    assert [entry.passed for entry in error.report.inputs] == [i != position for i in range(3)]
    assert error.findings[0].kind == "factor"


def test_one_wrong_element_or_row_is_rejected_even_if_small():
    def one_small(gradient):
        gradient.flat[np.argmin(np.abs(gradient))] *= 1.0005
        return gradient

    def one_row(gradient):
        gradient[0, 2] *= 1.0005
        return gradient

    assert failure(spoiled(0, one_small)).report["x"].wrong == 1
    error = failure(spoiled(0, one_row))
    assert error.report["x"].wrong == 3
    assert "index 0 of axis 0 and index 2 of axis 1" in str(error)


def test_tiny_entries_beside_large_ones_are_judged_for_themselves():
    x = np.array([[1e3, 1e-2, 5.0], [2.0, 1e-3, 7e2]])
    assert check_gradients(lambda x: (x**3, x), lambda dy, x: 3 * x**2 * dy, (x,)).passed

    def wrong(dy, x):
        gradient = 3 * x**2 * dy
        gradient[0, 1] = 0.0
        return gradient

    with pytest.raises(GradientMismatch):
        check_gradients(lambda x: (x**3, x), wrong, (np.where(x > 100, 1.5, x),))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda g: None, "missing"),
        (lambda g: g.T, "shape (4, 3), the input (3, 4)"),
        (lambda g: g.astype(np.float32), "dtype float32, the input float64"),
        (lambda g: np.where(np.arange(4) == 2, np.nan, g), "NaN"),
        (lambda g: g / np.float64(1e-320), "infinite"),
        (lambda g: 1.5, "float, not an array"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_wrong_form_is_a_mismatch(change, said):
    error = failure(spoiled(1, change))
    assert said in error.report["w"].problem
    assert error.report["x"].passed


def test_wrong_number_of_gradients():
    assert "2 gradients for 3 differentiable inputs (x, w, b)" in str(failure(lambda dy, c: affine_backward(dy, c)[:2]))
    assert "1 gradient for 3" in str(failure(lambda dy, c: affine_backward(dy, c)[:1]))
    assert "returns an array of float64, not a tuple of 3 gradients (x, w, b)" in str(failure(lambda dy, c: dy))
    assert "returns None, not a tuple of 3 gradients (x, w, b): is its return missing?" in str(
        failure(lambda dy, c: None)
    )


def test_none_may_stand_for_an_argument_that_is_none():
    def forward(x, bias=None):
        return x * x if bias is None else x * x + bias, x

    assert check_gradients(forward, lambda dy, x: (2 * x * dy, None), (X, None)).passed
    assert check_gradients(forward, lambda dy, x: (2 * x * dy,), (X, None)).passed


def test_writing_to_an_input_or_the_cotangent_is_a_mismatch():
    def writes_dy(dy, cache):
        gradients = affine_backward(dy, cache)
        dy *= 2
        return gradients

    def writes_x(dy, cache):
        gradients = affine_backward(dy, cache)
        cache[0][0, 0, 0] += 1e-9
        return gradients

    assert "backward writes to what it was given: the cotangent dy (40 of 40 elements" in str(failure(writes_dy))
    with pytest.raises(GradientMismatch, match=r"given: x \(1 of 30 elements, the first at \(0, 0, 0\): 2\.0"):
        check_gradients(affine_forward, writes_x, (X.copy(), W, B))


def test_a_forward_that_writes_to_its_input_is_a_mismatch():
    def forward(x):
        y = x * x
        x += 1e-12
        return y, y

    with pytest.raises(
        GradientMismatch, match=r"forward writes to what it was given: x \(30 of 30 elements, the first at"
    ):
        check_gradients(forward, lambda dy, y: dy, (X.copy(),))


def test_two_answers_are_a_mismatch():
    kept = np.zeros_like(B)

    def accumulates(dy, cache):
        dx, dw, db = affine_backward(dy, cache)
        nonlocal kept
        kept = kept + db
        return dx, dw, kept

    said = str(failure(accumulates))
    assert "another answer" in said
    assert "gradient of b (4 of 4 elements, the first at (0,): " in said
    noise = np.random.default_rng(0)
    with pytest.raises(GradientMismatch, match="two answers"):
        check_gradients(lambda x: (x * noise.normal(), x), lambda dy, x: dy, (X,))


def test_forward_that_is_not_finite_or_not_a_pair():
    with pytest.raises(GradientMismatch, match=r"\d+ entries that are NaN or infinite, the first at \(0, 0, \d\)"):
        check_gradients(lambda x: (np.where(x > 0, x, np.nan), x), lambda dy, x: dy, (X,))
    with pytest.raises(TypeError, match=r"must return \(out, cache\)"):
        check_gradients(lambda x: x, lambda dy, x: dy, (X,))
    with pytest.raises(TypeError, match="floating-point"):
        check_gradients(lambda x: (np.sign(x).astype(int), x), lambda dy, x: dy, (X,))


def test_several_outputs_share_one_backward():
    def forward(x):
        return (np.sin(x), x.sum(axis=0), np.argsort(x)), x

    def backward(dy, x):
        return dy[0] * np.cos(x) + dy[1]

    assert check_gradients(forward, backward, (X,)).passed
    with pytest.raises(GradientMismatch):
        check_gradients(forward, lambda dy, x: dy[0] * np.cos(x), (X,))


def test_wrt_names_and_integers():
    def forward(ids, table):
        return table[ids], (ids, table)

    ids, table = np.array([[1, 4], [1, 0]]), RNG.normal(size=(6, 3))

    def backward(dy, cache):
        gradient = np.zeros_like(cache[1])
        np.add.at(gradient, cache[0], dy)
        return gradient

    calls = iter(range(9))
    with pytest.raises(TypeError, match="returns 2 outputs at its first call and 1 at its second"):
        check_gradients(lambda x: (((x, x) if next(calls) == 0 else x), x), lambda dy, x: dy, (X,))
    report = check_gradients(forward, backward, (ids, table))
    assert [entry.name for entry in report.inputs] == ["table"]
    assert check_gradients(affine_forward, spoiled(0, np.negative), (X, W, B), wrt=("w", "b")).passed
    assert check_gradients(affine_forward, spoiled(0, np.negative), (X, W, B), wrt=(1,))["w"].checked == 12
    assert check_gradients(affine_forward, affine_backward, (X, W, B), names=("i", "j", "k"))["j"].passed
    with pytest.raises(ValueError, match="wrt names wieght; the differentiable inputs are x, w, b"):
        check_gradients(affine_forward, affine_backward, (X, W, B), wrt=("wieght",))
    with pytest.raises(ValueError, match="names has 2 entries for 3"):
        check_gradients(affine_forward, affine_backward, (X, W, B), names=("i", "j"))


def test_no_ratio_to_a_derivative_of_zero():
    mask = np.arange(30).reshape(2, 5, 3) % 2
    with pytest.raises(GradientMismatch) as caught:
        check_gradients(lambda x: (x * x * mask, x), lambda dy, x: 2 * x * dy, (X,))
    assert "the differences say 0\n" in str(caught.value)
    assert "ratio" not in str(caught.value)


def test_one_element_is_one():
    def one(gradient):
        gradient[1, 2] *= 1.7
        return gradient

    assert "w: 1 of 12 elements is wrong\n" in str(failure(spoiled(1, one)))


def test_the_message_is_something_to_act_on():
    text = str(failure(spoiled(1, lambda g: -g)))
    worst = failure(spoiled(1, lambda g: -g)).report["w"]
    for part in ("affine_forward: FAILED", "w: 12 of 12 elements are wrong", "ratio -1", "wrong sign", "seed 0"):
        assert part in text
    assert f"{worst.analytic:.10g}" in text
    assert f"{worst.numeric:.10g}" in text


class TestLargeInputs:
    """More than a few thousand elements: random projections and samples."""

    x = np.random.default_rng(7).normal(size=(71, 83))

    @staticmethod
    def forward(x):
        return np.sin(x).sum(axis=1) + x[:, 0] ** 3, x

    @staticmethod
    def backward(dy, x):
        gradient = dy[:, None] * np.cos(x)
        gradient[:, 0] += 3 * dy * x[:, 0] ** 2
        return gradient

    def test_true_backward_passes(self):
        entry = check_gradients(self.forward, self.backward, (self.x,)).inputs[0]
        assert entry.method == "projection"
        assert entry.checked < 100

    @pytest.mark.parametrize("where", [(slice(None), slice(None)), (17, slice(None)), (70, 82), (35, 41)])
    def test_one_element_one_row_or_all_wrong_are_rejected_and_found(self, where):
        def wrong(dy, x):
            gradient = self.backward(dy, x)
            gradient[where] *= 1.01
            return gradient

        with pytest.raises(GradientMismatch) as caught:
            check_gradients(self.forward, wrong, (self.x,))
        index = np.zeros(self.x.shape)
        index[where] = 1
        assert index[caught.value.report.inputs[0].where] == 1

    def test_kinks_among_many_elements(self):
        x = self.x[:37, :23].copy()
        x[5, 6] = x[30, 3] = 0.0
        relu = lambda x: (np.maximum(x, 0), x), lambda dy, x: dy * (x > 0), (x,)
        entry = check_gradients(*relu, full_limit=500).inputs[0]
        assert entry.method == "projection"
        assert {(5, 6), (30, 3)} == {kink.index for kink in entry.kinks}


class TestMutants:
    """`rejects_mutants` accepts a suite of mutants only if each is caught."""

    @staticmethod
    def run(**mutants):
        return rejects_mutants(affine_forward, affine_backward, mutants, (X, W, B))

    def test_outcome(self):
        outcome = self.run(
            sign=lambda backward, dy, cache: tuple(-g for g in backward(dy, cache)),
            same=lambda backward, dy, cache: backward(dy, cache),
        )
        assert outcome == {"sign": True, "same": False}

    def test_a_survivor_and_a_crash_are_errors(self):
        def faint(backward, dy, cache):
            return tuple(g * (1 + 1e-9) for g in backward(dy, cache))

        with pytest.raises(AssertionError, match="'faint' gives wrong gradients and passes"):
            self.run(faint=faint)
        with pytest.raises(AssertionError, match="'broken' raises KeyError"):
            self.run(broken=lambda backward, dy, cache: {}["x"])

    def test_a_wrong_true_backward_is_an_error(self):
        with pytest.raises(GradientMismatch):
            rejects_mutants(affine_forward, spoiled(0, np.negative), {}, (X, W, B))
