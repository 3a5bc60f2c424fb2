"""Modules: dotted names, tied parameters, flat buffers, state, the dry pass's errors, the table."""

import contextlib

import numpy as np
import pytest

from tinygrad_arith.autograd import Tensor
from tinygrad_arith.backend import DtypePolicy
from tinygrad_arith.nn import Block, Linear, Module, first_nonfinite
from tinygrad_arith.nn.parameter import ALIGNMENT
from tinygrad_arith.ops import ArraySpec, ShapeError


class TwoLayers(Module):
    def __init__(self, tied: bool = False):
        self.first = Linear(3, 5)
        self.rest = [Linear(5, 5), Linear(5, 2, bias=False)]
        if tied:
            self.rest[0].weight = self.first.weight

    def forward(self, x):
        x = self.first(x).tanh()
        for layer in self.rest:
            x = layer(x)
        return x


def test_dotted_names_follow_attributes_and_lists():
    assert list(TwoLayers().named_parameters()) == [
        "first.weight",
        "first.bias",
        "rest.0.weight",
        "rest.0.bias",
        "rest.1.weight",
    ]


def test_a_tied_parameter_is_one_parameter_under_its_first_name():
    model = TwoLayers(tied=True)
    assert "rest.0.weight" not in model.named_parameters()
    assert model.parameter_count() == 3 * 5 + 5 + 5 + 5 * 2
    assert "(tied)" in str(model)


def test_parameters_are_views_of_one_flat_array_decayed_first():
    model = TwoLayers().initialize(seed=4)
    flat = model.flat
    assert flat.decayed % ALIGNMENT == len(flat.values) % ALIGNMENT == 0
    for name, parameter in model.named_parameters().items():
        assert np.shares_memory(parameter.array, flat.values)
        assert np.shares_memory(parameter.grad, flat.gradients)
        assert flat.slices[name].start % ALIGNMENT == 0
        assert (flat.slices[name].start < flat.decayed) == name.endswith("weight")


def test_gradients_arrive_in_the_flat_buffer():
    model = TwoLayers().initialize(seed=4)
    rng = np.random.default_rng(0)
    out = model(Tensor(rng.normal(size=(4, 3)).astype(np.float32)))
    out.backward(rng.normal(size=out.shape))
    assert np.abs(model.flat.gradients[model.flat.slices["first.weight"]]).min() > 0
    model.flat.zero_gradients()
    assert not model.flat.gradients.any()


def test_zeroed_gradients_stay_views_of_the_flat_buffer():
    model = TwoLayers().initialize(seed=4)
    model.flat.gradients[:] = 1.0
    model.first.weight.zero_grad()
    assert not model.flat.gradients[model.flat.slices["first.weight"]].any()
    model.zero_gradients()
    assert not model.flat.gradients.any()
    assert all(np.shares_memory(p.grad, model.flat.gradients) for p in model.named_parameters().values())


def test_a_parameters_start_depends_on_seed_and_name_only():
    small, large = TwoLayers().initialize(seed=1), TwoLayers()
    large.extra = Linear(7, 7)
    large.initialize(seed=1)
    np.testing.assert_array_equal(small.first.weight.data, large.first.weight.data)
    assert (TwoLayers().initialize(seed=2).first.weight.data != small.first.weight.data).all()


def test_state_goes_out_and_comes_back():
    one, other = TwoLayers().initialize(seed=1), TwoLayers().initialize(seed=2)
    other.load_state_dict(one.state_dict())
    np.testing.assert_array_equal(one.flat.values, other.flat.values)


def test_state_that_does_not_fit_names_what_is_wrong():
    model = TwoLayers().initialize()
    state = model.state_dict()
    with pytest.raises(ValueError, match=r"missing first\.bias; unexpected second\.bias"):
        model.load_state_dict({("second.bias" if k == "first.bias" else k): v for k, v in state.items()})
    with pytest.raises(ValueError, match=r"of another shape: first.weight is \(5, 3\) and should be \(3, 5\)"):
        model.load_state_dict(state | {"first.weight": state["first.weight"].T})


def test_a_wrong_dimension_is_told_with_the_dotted_name():
    model = TwoLayers()
    with pytest.raises(ShapeError, match=r"^first: linear: .*x \(2, 4\), weight \(3, 5\)"):
        model(Tensor(ArraySpec((2, 4), np.dtype(np.float32))))
    model.rest[1] = Linear(6, 2)
    model.rest = model.rest  # named anew
    with pytest.raises(ShapeError, match=r"^rest\.1: linear: .*x \(2, 5\), weight \(6, 2\)"):
        model(Tensor(ArraySpec((2, 3), np.dtype(np.float32))))


def test_dtypes_follow_the_policy():
    model = TwoLayers().initialize(policy=DtypePolicy.uniform("float64"))
    assert model.flat.values.dtype == model.flat.gradients.dtype == np.float64


def test_the_table_lists_modules_shapes_and_counts():
    table = str(TwoLayers())
    assert "rest.0" in table
    assert "weight (3, 5), bias (5)" in table
    assert table.splitlines()[-1].split()[-1] == str(3 * 5 + 5 + 5 * 5 + 5 + 5 * 2)


def test_first_nonfinite_names_parameter_output_or_gradient():
    model = TwoLayers().initialize()
    x = Tensor(np.ones((1, 3), dtype=np.float32))
    assert first_nonfinite(model, lambda: model(x)) is None
    model.rest[1].weight.grad[0, 0] = np.nan
    assert first_nonfinite(model) == "the gradient of rest.1.weight"
    model.rest[0].bias.array[0] = np.inf
    assert first_nonfinite(model) == "parameter rest.0.bias"
    model.rest[0].bias.array[0] = 3e38
    model.rest[0].weight.array[:, 0] = 3e38
    with np.errstate(all="ignore"):
        assert first_nonfinite(model, lambda: model(x)) == "the output of rest.0"


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="Module defines no forward"):
        Module()()


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_block_keeps_its_input_shape(norm):
    block = Block(12, heads=3, hidden=20, norm=norm).initialize(seed=3)
    x = Tensor(np.random.default_rng(1).normal(size=(2, 5, 12)).astype(np.float32))
    assert block(x).shape == (2, 5, 12)


def gradients_of(model, x, dy, fresh):
    """The flat gradients of one backward, on top of what was there or instead of it."""
    out = model(Tensor(x))
    with model.flat.fresh_gradients() if fresh else contextlib.nullcontext():
        out.backward(dy)
    return model.flat.gradients.copy()


class OneLayerTwice(Module):
    def __init__(self):
        self.layer = Linear(3, 3)

    def forward(self, x):
        return self.layer(self.layer(x).tanh())


@pytest.mark.parametrize("build", [TwoLayers, OneLayerTwice])
@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fresh_gradients_replace_the_old_ones(build, recompute, dtype):
    model = build().initialize(seed=4, policy=DtypePolicy.uniform(dtype))
    for module in list(model.named_modules().values())[1:]:
        module.recompute_activations = recompute
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 3)).astype(dtype)
    dy = rng.normal(size=model(Tensor(x)).shape).astype(dtype)
    model.zero_gradients()
    expected = gradients_of(model, x, dy, fresh=False)
    np.testing.assert_array_equal(gradients_of(model, x, dy, fresh=True), expected)
    twice = gradients_of(model, x, dy, fresh=False)
    np.testing.assert_allclose(twice, 2 * expected, rtol=1e-6)


def test_fresh_gradients_are_zero_where_the_backward_brought_none():
    model = TwoLayers().initialize(seed=4)
    model.flat.gradients[:] = 7.0
    x = np.ones((4, 5), dtype=np.float32)
    with model.flat.fresh_gradients():
        model.rest[0](Tensor(x)).backward(np.ones((4, 5)))
    assert not model.first.weight.grad.any()
    np.testing.assert_array_equal(model.rest[0].weight.grad, 4.0)


def test_flat_arrays_can_move():
    model = TwoLayers().initialize(seed=4)
    before = model.state_dict()
    values, gradients = np.full((2, len(model.flat.values)), np.nan, dtype=np.float32)
    model.flat.move_to(values, gradients)
    assert all(np.shares_memory(p.array, values) for p in model.named_parameters().values())
    assert all(np.shares_memory(p.grad, gradients) for p in model.named_parameters().values())
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
