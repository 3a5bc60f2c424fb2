"""Adapters, with a tensor and a module of a few lines, so that nothing of the package takes part."""

import numpy as np
import pytest

from tinygrad_arith.verify import (
    GradientMismatch,
    VacuousCheck,
    check_gradients,
    check_module,
    from_tensor_function,
    from_vjp,
    randomize_parameters,
)

RNG = np.random.default_rng(2)
X, W = RNG.normal(size=(4, 5)), RNG.normal(size=(5, 3))


class Tensor:
    """The least a tensor can be: an array, a gradient, and a closure that goes back."""

    def __init__(self, array, requires_grad=False):
        self.data, self.grad, self._back = array, None, None

    def backward(self, dy):
        self._back(np.asarray(dy))


def tanh_product(x, w, gain=1.0, fault=1.0):
    out = Tensor(gain * np.tanh(x.data @ w.data))

    def back(dy):
        dz = dy * gain * (1 - (out.data / gain) ** 2)
        x.grad = dz @ w.data.T
        w.grad = fault * (x.data.T @ dz)

    out._back = back
    return out


class Layer:
    """tanh(x w + b), summed with weights: two parameters, and a fault on demand."""

    def __init__(self):
        self.w, self.b = Tensor(RNG.normal(size=(5, 3))), Tensor(RNG.normal(size=3))
        self.fault = 1.0

    def named_parameters(self):
        return {"layer.w": self.w, "layer.b": self.b}


def loss(layer):
    weights = np.arange(1.0, 13.0).reshape(4, 3)
    y = np.tanh(X @ layer.w.data + layer.b.data)
    out = Tensor(np.array((weights * y).sum()))

    def back(dy):
        dz = dy * weights * (1 - y * y)
        layer.w.grad = layer.fault * (X.T @ dz)
        layer.b.grad = dz.sum(axis=0)

    out._back = back
    return out


def test_function_and_vjp():
    forward, backward = from_vjp(lambda x, w: np.tanh(x @ w), lambda dy, x, w: (
        (dy * (1 - np.tanh(x @ w) ** 2)) @ w.T, x.T @ (dy * (1 - np.tanh(x @ w) ** 2))))  # fmt: skip
    assert [entry.name for entry in check_gradients(forward, backward, (X, W)).inputs] == ["x", "w"]
    with pytest.raises(GradientMismatch):
        check_gradients(forward, lambda dy, c: tuple(-g for g in backward(dy, c)), (X, W))


def test_tensor_function():
    forward, backward = from_tensor_function(tanh_product, Tensor)
    report = check_gradients(forward, backward, (X, W), options={"gain": 1.4})
    assert [entry.name for entry in report.inputs] == ["x", "w"]
    with pytest.raises(GradientMismatch) as caught:
        check_gradients(forward, backward, (X, W), options={"fault": 1.0005})
    assert not caught.value.report["w"].passed


def test_module_every_parameter_and_it_is_left_as_it_was():
    layer = Layer()
    before = {name: p.data.copy() for name, p in layer.named_parameters().items()}
    report = check_module(loss, layer)
    assert [(e.name, e.checked) for e in report.inputs] == [("layer.w", 15), ("layer.b", 3)]
    assert all(np.array_equal(before[name], p.data) for name, p in layer.named_parameters().items())
    assert check_module(loss, layer, parameters=("layer.b",)).checked == 3
    assert check_module(loss, layer, samples=4)["layer.w"].checked <= 4


@pytest.mark.parametrize("samples", [None, 4])
def test_module_with_a_wrong_gradient(samples):
    layer = Layer()
    layer.fault = 1.0005
    with pytest.raises(GradientMismatch) as caught:
        check_module(loss, layer, samples=samples)
    assert not caught.value.report["layer.w"].passed
    assert caught.value.report["layer.b"].passed
    layer.fault = 0.0
    with pytest.raises(GradientMismatch, match="zero everywhere"):
        check_module(loss, layer, samples=samples)


def test_module_at_initial_ones_and_zeros_is_refused():
    layer = Layer()
    layer.b.data[:] = 0.0
    with pytest.raises(VacuousCheck, match=r"every entry of layer\.b is 0"):
        check_module(loss, layer)
    randomize_parameters(layer, seed=1)
    assert check_module(loss, layer).passed


def test_module_in_float32_an_unknown_parameter_and_an_unused_one():
    layer = Layer()
    with pytest.raises(ValueError, match=r"no parameter layer\.c; the module has layer\.w, layer\.b"):
        check_module(loss, layer, parameters=("layer.c",))
    unused = Layer()
    unused.named_parameters = lambda: {"w": unused.w, "b": unused.b, "unused": Tensor(RNG.normal(size=(2, 3)))}
    with pytest.raises(GradientMismatch, match="unused: the gradient is missing"):
        check_module(loss, unused)
    layer.w.data = layer.w.data.astype(np.float32)
    with pytest.raises(ValueError, match=r"layer\.w is float32: .*initialize\(policy=.float64.\) makes$"):
        check_module(loss, layer)


def test_a_loss_that_ignores_its_cotangent_is_rejected():
    def careless(layer):
        out = loss(layer)
        back = out._back
        out._back = lambda dy: back(np.ones_like(dy))
        return out

    with pytest.raises(GradientMismatch, match=r"does not use the cotangent|times"):
        check_module(careless, Layer())


def test_module_allow_and_zero_may_be_one_name():
    layer = Layer()
    layer.w.data[:] = 0.5
    assert check_module(loss, layer, allow="constant_input").passed
    layer.named_parameters = lambda: {"w": layer.w, "b": layer.b, "unused": layer.unused}
    layer.unused = Tensor(RNG.normal(size=(2, 3)))
    layer.unused.grad = np.zeros((2, 3))

    def keeps_unused(module):
        return loss(module)

    layer.zero_gradients = lambda: None
    assert check_module(keeps_unused, layer, allow="constant_input", zero="unused").passed
    with pytest.raises(VacuousCheck, match=r"the true gradient of unused .* is zero"):
        check_module(keeps_unused, layer, allow="constant_input", zero="unused too")


def test_module_whose_loss_or_gradient_is_no_number():
    def with_loss(value):
        def other(layer):
            out = loss(layer)
            out.data = out.data * 0 + next(value)
            return out

        return other

    with pytest.raises(VacuousCheck, match="the loss over Layer is nan"):
        check_module(with_loss(iter([np.nan] * 9)), Layer())
    with pytest.raises(VacuousCheck, match=r"differs between two calls \(3\.0, then 3\.5\)"):
        check_module(with_loss(iter([2.5, 3.0, 3.5])), Layer())
    layer = Layer()
    layer.fault = np.nan
    with pytest.raises(
        GradientMismatch, match=r"layer\.w: the gradient holds 15 entries that are NaN or infinite, the"
    ):
        check_module(loss, layer)
