"""AdamW against its formula written out, decay where it belongs, clipping, schedules."""

import re
from itertools import pairwise

import numpy as np
import pytest

from tinygrad_arith.backend import DtypePolicy
from tinygrad_arith.cpu import adamw as fast_adamw
from tinygrad_arith.cpu import passes_numpy
from tinygrad_arith.models import GPT, GPTConfig
from tinygrad_arith.nn import Linear
from tinygrad_arith.ops.registry import reference_only
from tinygrad_arith.optim import SGD, AdamW, Lion, clip_gradient_norm, clip_scale, gradient_norm, learning_rate
from tinygrad_arith.verify import assert_close, tolerance


@pytest.fixture
def layer():
    return Linear(3, 5).initialize(seed=2, policy=DtypePolicy.uniform("float64"))


@pytest.mark.parametrize("decay_all", [False, True])
def test_adamw_is_the_published_formula_parameter_by_parameter(layer, decay_all):
    rng = np.random.default_rng(0)
    layer.bias.array[...] = rng.normal(size=layer.bias.shape)
    optimizer = AdamW(layer.flat, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.1, decay_all=decay_all)
    expected = {name: parameter.array.copy() for name, parameter in layer.named_parameters().items()}
    m = {name: np.zeros_like(p) for name, p in expected.items()}
    v = {name: np.zeros_like(p) for name, p in expected.items()}
    for t in range(1, 5):
        rate = 0.1 / t
        for name, parameter in layer.named_parameters().items():
            g = parameter.grad[...] = rng.normal(size=parameter.shape)
            m[name] = 0.8 * m[name] + 0.2 * g
            v[name] = 0.9 * v[name] + 0.1 * g**2
            decay = 0.1 if name == "weight" or decay_all else 0.0
            step = (m[name] / (1 - 0.8**t)) / (np.sqrt(v[name] / (1 - 0.9**t)) + 1e-3)
            expected[name] = expected[name] - rate * (step + decay * expected[name])
        optimizer.step(rate)
    for name, parameter in layer.named_parameters().items():
        assert_close(parameter.array, expected[name], tolerance("reference", "float64"), name)


def test_padding_between_parameters_stays_zero(layer):
    optimizer = AdamW(layer.flat, weight_decay=0.1)
    layer.flat.gradients[layer.flat.slices["weight"]] = 1.0
    optimizer.step(0.1)
    used = np.zeros(len(layer.flat.values), dtype=bool)
    for place in layer.flat.slices.values():
        used[place] = True
    assert not layer.flat.values[~used].any()


def test_the_state_goes_out_and_comes_back_to_the_same_bits(layer):
    rng = np.random.default_rng(1)
    optimizer = AdamW(layer.flat)
    layer.flat.gradients[:] = rng.normal(size=layer.flat.gradients.shape)
    optimizer.step(0.01)
    values, state = layer.flat.values.copy(), optimizer.state_dict()
    optimizer.step(0.01)
    expected = layer.flat.values.copy()

    layer.flat.values[:] = values
    fresh = AdamW(layer.flat)
    fresh.load_state_dict(state)
    fresh.step(0.01)
    np.testing.assert_array_equal(layer.flat.values, expected)


def test_a_state_of_another_length_is_refused(layer):
    state = AdamW(layer.flat).state_dict()
    with pytest.raises(ValueError, match="first_moment: stored for"):
        AdamW(layer.flat).load_state_dict(state | {"first_moment": np.zeros(3)})


def test_float32_is_not_widened():
    layer = Linear(3, 5).initialize()
    layer.flat.gradients[:] = 1.0
    optimizer = AdamW(layer.flat)
    optimizer.step(np.float64(0.1))
    norm = clip_gradient_norm(layer.flat, 1.0)
    assert norm.dtype == optimizer.first_moment.dtype == layer.flat.values.dtype == np.float32


@pytest.mark.parametrize(("max_norm", "expected"), [(1.0, 1.0), (100.0, None), (0.0, None)])
def test_clipping_scales_only_what_is_too_long(layer, max_norm, expected):
    layer.flat.gradients[:] = np.random.default_rng(3).normal(size=layer.flat.gradients.shape)
    before = np.linalg.norm(layer.flat.gradients)
    norm = clip_gradient_norm(layer.flat, max_norm)
    assert norm == pytest.approx(before)
    assert np.linalg.norm(layer.flat.gradients) == pytest.approx(expected or before)


def test_clipping_a_zero_gradient_gives_zero(layer):
    layer.flat.zero_gradients()
    assert clip_gradient_norm(layer.flat, 1.0) == 0.0
    assert not layer.flat.gradients.any()


def test_the_cosine_rises_falls_and_ends_where_it_should():
    rates = [learning_rate(s, peak=2.0, warmup=4, steps=20, final_fraction=0.25) for s in range(20)]
    assert rates[:4] == [0.5, 1.0, 1.5, 2.0]
    assert max(rates) == 2.0
    assert all(a >= b for a, b in pairwise(rates[4:]))
    assert rates[-1] == pytest.approx(0.5)


def test_the_constant_schedule_warms_up_and_stays():
    rates = [learning_rate(s, peak=1.0, schedule="constant", warmup=2, steps=5) for s in range(5)]
    assert rates == [0.5, 1.0, 1.0, 1.0, 1.0]


def test_an_unknown_schedule_is_named():
    with pytest.raises(ValueError, match="no schedule 'linear'"):
        learning_rate(3, peak=1.0, schedule="linear", steps=5)


PATHS = ["reference", "numpy", "numba"]


@pytest.fixture(params=PATHS)
def path(request, monkeypatch):
    """Runs the test by the reference and by each set of passes."""
    if request.param == "numpy":
        monkeypatch.setattr(fast_adamw, "passes", passes_numpy)
    if request.param == "numba":
        monkeypatch.setattr(fast_adamw, "passes", pytest.importorskip("tinygrad_arith.cpu.passes_numba"))
    with reference_only(request.param == "reference"):
        yield request.param


def moved(dtype, betas, draws, scale=1.0, steps=50):
    """What so many updates of zeros amount to."""
    layer = Linear(8, 8).initialize(policy=DtypePolicy.uniform(dtype))
    layer.flat.values = np.zeros_like(layer.flat.values)
    optimizer = AdamW(layer.flat, betas=betas, weight_decay=0.0)
    for step in range(steps):
        layer.flat.gradients = draws[step]
        optimizer.step(1e-3, scale)
    return layer.flat.values


@pytest.mark.parametrize("beta2", [0.95, 0.999, 0.9999, 0.99999, 0.999999])
@pytest.mark.parametrize("beta1", [0.0, 0.9, 0.99999])
def test_what_betas_leave_for_the_gradient_keeps_its_digits(path, beta1, beta2):
    draws = np.random.default_rng(0).normal(size=(50, 96)).astype(np.float32)
    exact = moved("float64", (beta1, beta2), draws)
    assert np.abs(moved("float32", (beta1, beta2), draws) - exact).max() < 2e-5 * np.abs(exact).max()


def test_gradients_are_scaled_before_they_are_squared(path):
    """Clipping is for large gradients: their squares need not be numbers."""
    draws = np.full((3, 96), 1e20, np.float32)
    update = moved("float32", (0.9, 0.95), draws, scale=1e-20, steps=3)
    np.testing.assert_allclose(update, moved("float64", (0.9, 0.95), draws / 1e20, steps=3), rtol=1e-5)


MADE_OF = {
    "a list of parameters": lambda model: AdamW([model.weight]),
    "a generator": lambda model: AdamW(p for p in [model.weight]),
    "a dict": lambda model: AdamW(model.named_parameters()),
    "a model": lambda model: AdamW(model),
    "a model to clip": lambda model: clip_gradient_norm(model, 1.0),
    "a model to measure": lambda model: gradient_norm(model),
}


@pytest.mark.parametrize("what", MADE_OF)
def test_only_flat_arrays_are_taken(what):
    with pytest.raises(TypeError, match=r"^\w+ takes the flat arrays of a model: \w+\(model\.flat.*\), not the \w+$"):
        MADE_OF[what](Linear(3, 2).initialize(seed=0))


@pytest.mark.parametrize("betas", [(0.9, 1.0), (0.9, 1.5), (-0.1, 0.9), (0.9,), 0.9, (0.9, None), (np.nan, 0.9)])
def test_betas_that_make_no_average_are_refused(betas):
    with pytest.raises(ValueError, match="betas must be two numbers from 0 to below 1"):
        AdamW(Linear(3, 2).initialize(seed=0).flat, betas=betas)


def test_other_settings_that_mean_nothing_are_refused():
    flat = Linear(3, 2).initialize(seed=0).flat
    for wrong in ({"eps": -1e-8}, {"weight_decay": -0.1}, {"eps": np.nan}):
        with pytest.raises(ValueError, match=f"AdamW: {next(iter(wrong))} must be 0 or above, not"):
            AdamW(flat, **wrong)
    with pytest.raises(TypeError, match=r"AdamW takes no lr: the rate goes to every step, step\(rate\)"):
        AdamW(flat, lr=1e-3)
    with pytest.raises(TypeError, match="AdamW has no amsgrad: it takes betas, eps"):
        AdamW(flat, amsgrad=True)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -1, True, "x", None, [0.1], 10**400], ids=str)
@pytest.mark.parametrize("kind", [AdamW, SGD, Lion])
def test_a_step_with_a_number_that_means_nothing_is_refused_and_does_not_count(kind, wrong):
    layer = Linear(3, 2).initialize(seed=0)
    optimizer, before = kind(layer.flat), layer.flat.values.copy()
    layer.flat.gradients[:] = 1.0
    rule = re.escape(f"{kind.__name__}: the learning rate of a step must be 0 or above, not {wrong}")
    with pytest.raises(ValueError, match=f"^{rule}"):
        optimizer.step(wrong)
    if wrong != -1:
        rule = re.escape(f"{kind.__name__}: the gradient_scale of a step must be a finite number, not {wrong}")
        with pytest.raises(ValueError, match=f"^{rule}$"):
            optimizer.step(0.1, wrong)
    assert optimizer.steps == 0
    np.testing.assert_array_equal(layer.flat.values, before)


@pytest.mark.parametrize("wrong", [np.inf, np.nan, True, "x", None, np.ones(2)], ids=str)
@pytest.mark.parametrize("kind", [AdamW, SGD, Lion])
def test_a_decay_that_means_nothing_is_refused(kind, wrong):
    flat = Linear(3, 2).initialize(seed=0).flat
    with pytest.raises(ValueError, match=f"^{kind.__name__}: weight_decay must be 0 or above, not .*a finite number"):
        kind(flat, weight_decay=wrong)
    for name in ("decay_all", "nesterov", "coupled_decay"):
        if name == "decay_all" or kind is SGD:
            with pytest.raises(ValueError, match=f"^{kind.__name__}: {name} must be True or False, not 'no'$"):
                kind(flat, **{name: "no"})


def test_numbers_of_numpy_are_taken_and_give_the_bits_of_pythons():
    """A float64 of NumPy would widen the float32 of the reference."""
    found = []
    for number in (float, np.float64, np.array):
        for kind, options in (
            (AdamW, {"betas": (number(0.9), number(0.95)), "eps": number(1e-8)}),
            (Lion, {"betas": np.array([0.9, 0.95]) if number is np.array else [number(0.9), number(0.95)]}),
            (SGD, {"momentum": number(0.9), "dampening": number(0.1)}),
        ):
            layer = Linear(30, 20).initialize(seed=0)
            optimizer = kind(layer.flat, weight_decay=number(0.1), decay_all=np.bool_(True), **options)
            with reference_only():
                for step in range(3):
                    layer.flat.gradients[:] = np.random.default_rng(step).normal(size=layer.flat.gradients.shape)
                    optimizer.step(number(0.01), number(0.3))
            found.append(layer.flat.values)
    for one, other in zip(found[:3] * 2, found[3:], strict=True):
        np.testing.assert_array_equal(one, other)
    assert SGD(layer.flat, momentum=np.float32(0.9)).momentum == float(np.float32(0.9))


@pytest.mark.parametrize("size", [1e19, 1e30, 3e37])
def test_a_gradient_whose_square_is_no_number_is_clipped_and_does_not_vanish(size):
    layer = Linear(3, 2, bias=False).initialize(seed=0)
    layer.weight.grad = np.array([[1, -2], [0, 2], [4, 0]], np.float32) * np.float32(size)
    norm = clip_gradient_norm(layer.flat, 1.0)
    np.testing.assert_allclose(norm, 5 * size, rtol=1e-6)
    np.testing.assert_allclose(layer.weight.grad, np.array([[1, -2], [0, 2], [4, 0]]) / 5, rtol=1e-6)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_gradients_that_are_not_finite_do_not_become_zeros(wrong):
    layer = Linear(3, 2, bias=False).initialize(seed=0)
    layer.weight.grad = np.array([[1, wrong], [2, 3], [4, 5]], np.float32)
    assert not np.isfinite(clip_gradient_norm(layer.flat, 1.0))
    assert np.isnan(layer.weight.grad).all()


@pytest.mark.parametrize("wrong", [np.nan, -1, -np.inf, "x", None, True, 10**400], ids=str)
def test_a_largest_norm_that_means_nothing_is_refused(wrong):
    layer = Linear(3, 2).initialize(seed=0)
    layer.flat.gradients[:] = 5.0
    for call in (lambda: clip_gradient_norm(layer.flat, wrong), lambda: clip_scale(2.0, wrong)):
        with pytest.raises(ValueError, match=rf"^clipping: max_norm must be 0 \(never\) or above, not {wrong}$"):
            call()
    clip_gradient_norm(layer.flat, np.inf)
    assert (layer.flat.gradients == 5.0).all()


@pytest.mark.parametrize("step", [0, 5])
def test_a_schedule_that_is_none_is_refused_at_the_first_step(step):
    with pytest.raises(ValueError, match=r"^no schedule 'linear'; there are constant and cosine$"):
        learning_rate(step, peak=1.0, schedule="linear", warmup=3, steps=9)


def test_a_model_in_bfloat16_learns_and_has_the_rounded_values():
    pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed: pip install -e '.[kernels]'")
    model = GPT(GPTConfig(7, 9, d_model=16, heads=2, layers=1))
    model.initialize(seed=1, policy=DtypePolicy.named("bfloat16"))
    plain = GPT(model.config).initialize(seed=1)
    plain.flat.values[...] = model.flat.values
    optimizers = [AdamW(one.flat) for one in (model, plain)]
    for step in range(3):
        gradients = np.random.default_rng(step).normal(size=model.flat.values.shape).astype(np.float32)
        for one, optimizer in zip((model, plain), optimizers, strict=True):
            one.flat.gradients[...] = gradients
            for parameter in one.named_parameters().values():
                parameter.stale = False
            optimizer.step(1e-2)
    np.testing.assert_array_equal(model.flat.values, plain.flat.values)
    np.testing.assert_array_equal(model.flat.working, model.flat.values.astype(model.flat.working.dtype))
    assert model.flat.working.dtype.name == "bfloat16"


def test_a_step_that_fails_does_not_count(layer, monkeypatch):
    optimizer = AdamW(layer.flat)

    def fail(rates):
        raise MemoryError

    monkeypatch.setattr(optimizer, "update", fail)
    with pytest.raises(MemoryError):
        optimizer.step(1e-2)
    assert optimizer.steps == 0
