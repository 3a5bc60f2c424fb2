"""SGD and Lion against their formulas written out, parameter by parameter; every CPU path gives the same bits."""

import numpy as np
import pytest

from tinygrad_arith.backend import DtypePolicy
from tinygrad_arith.cpu import lion as fast_lion
from tinygrad_arith.cpu import passes_numpy
from tinygrad_arith.cpu import sgd as fast_sgd
from tinygrad_arith.nn import Linear
from tinygrad_arith.ops import chosen_table
from tinygrad_arith.ops.registry import reference_only
from tinygrad_arith.optim import SGD, Lion
from tinygrad_arith.verify import assert_close, tolerance

SAME = tolerance("reference", "float64")
SGDS = {
    "plain": {"momentum": 0.0},
    "plain, decay": {"momentum": 0.0, "weight_decay": 0.1},
    "plain, coupled decay": {"momentum": 0.0, "weight_decay": 0.1, "coupled_decay": True},
    "momentum": {"momentum": 0.8},
    "momentum, decay": {"momentum": 0.8, "weight_decay": 0.1},
    "momentum, coupled decay": {"momentum": 0.8, "weight_decay": 0.1, "coupled_decay": True},
    "dampening": {"momentum": 0.8, "dampening": 0.3, "weight_decay": 0.1, "decay_all": True},
    "nesterov": {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1},
    "nesterov, coupled decay": {
        "momentum": 0.8,
        "nesterov": True,
        "weight_decay": 0.1,
        "coupled_decay": True,
        "decay_all": True,
    },
}
LIONS = {
    "decay": {"weight_decay": 0.3},
    "all decay": {"weight_decay": 0.3, "decay_all": True},
    "other betas": {"betas": (0.95, 0.98)},
    "no averages": {"betas": (0.0, 0.0)},
}
MADE = [pytest.param(SGD, options, id=f"sgd: {name}") for name, options in SGDS.items()]
MADE += [pytest.param(Lion, options, id=f"lion: {name}") for name, options in LIONS.items()]


def sgd_step(p, g, v, t, rate, momentum, dampening=0.0, nesterov=False, weight_decay=0.0, coupled_decay=False):
    """One step of one parameter, line by line as the documentation of `torch.optim.SGD` states it."""
    if coupled_decay:
        g = g + weight_decay * p
    if momentum > 0.0:
        v = g if t == 1 else momentum * v + (1 - dampening) * g
        u = g + momentum * v if nesterov else v
    else:
        u = g
    decay = 0.0 if coupled_decay else weight_decay
    return p - rate * u - rate * decay * p, v


def lion_step(p, g, m, rate, betas=(0.9, 0.95), weight_decay=0.0):
    """Chen et al. 2023, arXiv 2302.06675, algorithm 2."""
    c = betas[0] * m + (1 - betas[0]) * g
    return p - rate * (np.sign(c) + weight_decay * p), betas[1] * m + (1 - betas[1]) * g


def written_out(kind, options, name, p, g, state, t, rate):
    own = {key: value for key, value in options.items() if key != "decay_all"}
    if name != "weight" and not options.get("decay_all"):
        own["weight_decay"] = 0.0
    return sgd_step(p, g, state, t, rate, **own) if kind is SGD else lion_step(p, g, state, rate, **own)


@pytest.mark.parametrize(("kind", "options"), MADE)
def test_the_published_formula_parameter_by_parameter(kind, options):
    rng = np.random.default_rng(0)
    layer = Linear(3, 5).initialize(seed=2, policy=DtypePolicy.uniform("float64"))
    layer.bias.array[...] = rng.normal(size=layer.bias.shape)
    optimizer = kind(layer.flat, **options)
    expected = {name: parameter.array.copy() for name, parameter in layer.named_parameters().items()}
    states = {name: np.zeros_like(p) for name, p in expected.items()}
    for t in range(1, 6):
        rate, scale = 0.1 / t, 1.0 / t
        for name, parameter in layer.named_parameters().items():
            g = parameter.grad[...] = rng.normal(size=parameter.shape)
            expected[name], states[name] = written_out(
                kind, options, name, expected[name], scale * g, states[name], t, rate
            )
        optimizer.step(rate, scale)
    for name, parameter in layer.named_parameters().items():
        assert_close(parameter.array, expected[name], SAME, name)
        for array in optimizer.state().values():
            found = array[layer.flat.slices[name]].reshape(parameter.shape)
            assert_close(found, states[name], SAME, f"state of {name}")


def passes_of(name):
    return passes_numpy if name == "numpy" else pytest.importorskip("tinygrad_arith.cpu.passes_numba")


def after_steps(kind, options, dtype="float32", steps=6, shape=(130, 141)):
    """Values and state after some steps, with gradients that are often zero."""
    layer = Linear(*shape).initialize(seed=2, policy=DtypePolicy.uniform(dtype))
    optimizer, rng = kind(layer.flat, **options), np.random.default_rng(1)
    for step in range(steps):
        size = layer.flat.gradients.shape
        layer.flat.gradients[:] = (rng.normal(size=size) * (rng.random(size) > 0.2)).astype(np.float32)
        optimizer.step(0.01 / (step + 1), 0.37)
    return [layer.flat.values, *optimizer.state().values()]


@pytest.mark.parametrize("passes", ["numpy", "numba"])
@pytest.mark.parametrize(("kind", "options"), MADE)
def test_the_fast_passes_give_the_bits_of_the_reference(kind, options, passes, monkeypatch):
    for module in (fast_sgd, fast_lion):
        monkeypatch.setattr(module, "passes", passes_of(passes))
    if passes == "numpy":
        monkeypatch.setattr(passes_numpy, "UPDATE_BLOCK", 1000)  # so that there are several, and one is cut
    with reference_only():
        expected = after_steps(kind, options)
    with reference_only(False):
        found = after_steps(kind, options)
    assert (kind.__name__.lower(), "cpu", "float32") in {row[:3] for row in chosen_table()}
    for mine, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize(("kind", "options"), MADE)
def test_the_cores_that_share_an_update_give_the_same_bits(kind, options, monkeypatch):
    from tinygrad_arith.cpu import parts

    with reference_only(False):
        whole = after_steps(kind, options)
        monkeypatch.setattr(parts, "LEAST_ELEMENTS", 1)
        monkeypatch.setattr(parts, "CORES", 2)
        shared = after_steps(kind, options)
    for mine, other in zip(shared, whole, strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("options", SGDS.values(), ids=SGDS)
def test_sgd_in_float32_stays_by_float64(options):
    """Lion's sign has no such bound: an average that rounds to the other side of 0 is a whole step off."""
    for mine, exact in zip(after_steps(SGD, options), after_steps(SGD, options, "float64"), strict=True):
        assert_close(mine, exact, tolerance("float32", "float32"), "float32", dtype=False)


PATHS = ["reference", "numpy", "numba"]


@pytest.fixture(params=PATHS)
def path(request, monkeypatch):
    """Runs the test by the reference and by each set of passes."""
    if request.param != "reference":
        for module in (fast_sgd, fast_lion):
            monkeypatch.setattr(module, "passes", passes_of(request.param))
    with reference_only(request.param == "reference"):
        yield request.param


@pytest.mark.parametrize("beta2", [0.99, 0.99999, 0.999999])
def test_what_betas_leave_for_the_gradient_keeps_its_digits(path, beta2):
    layer = Linear(8, 8).initialize()
    optimizer = Lion(layer.flat, betas=(0.9, beta2))
    for _ in range(3):
        layer.flat.gradients[:] = 1.0
        optimizer.step(1e-3)
    used = np.concatenate([optimizer.first_moment[place] for place in layer.flat.slices.values()])
    np.testing.assert_allclose(used, 1.0 - beta2**3, rtol=1e-6)


def test_lion_moves_by_the_whole_rate_or_not_at_all(path):
    layer = Linear(2, 3, bias=False).initialize()
    layer.weight.array = np.zeros((2, 3), np.float32)
    layer.weight.grad = np.array([[1e-30, -1e-30, 0.0], [5.0, -1e30, -0.0]], np.float32)
    Lion(layer.flat).step(0.25)
    np.testing.assert_array_equal(layer.weight.array, [[-0.25, 0.25, 0.0], [-0.25, 0.25, 0.0]])


def test_nan_and_infinity_are_not_lost(path):
    for kind in (SGD, Lion):
        layer = Linear(1, 3, bias=False).initialize()
        layer.weight.array = np.ones((1, 3), np.float32)
        layer.weight.grad = np.array([[np.nan, np.inf, 1.0]], np.float32)
        kind(layer.flat).step(0.5)
        expected = [np.nan, -np.inf, 0.5] if kind is SGD else [np.nan, 0.5, 0.5]
        np.testing.assert_array_equal(layer.weight.array[0], np.array(expected, np.float32))


def test_without_decay_an_infinite_weight_does_not_reach_its_gradient(path):
    """0 times infinity would be NaN."""
    for coupled in (False, True):
        layer = Linear(1, 2, bias=False).initialize()
        layer.weight.array = np.array([[np.inf, 1.0]], np.float32)
        layer.weight.grad = np.ones((1, 2), np.float32)
        SGD(layer.flat, coupled_decay=coupled).step(0.5)
        np.testing.assert_array_equal(layer.weight.array, [[np.inf, 0.5]])


def test_without_momentum_both_decays_are_the_same():
    plain = {"momentum": 0.0, "weight_decay": 0.2}
    decoupled, coupled = (after_steps(SGD, plain | {"coupled_decay": c}, "float64")[0] for c in (False, True))
    assert_close(coupled, decoupled, SAME)


@pytest.mark.parametrize("name", ["momentum", "dampening"])
@pytest.mark.parametrize("wrong", [1.0, -0.1, np.nan, None, "0.9"])
def test_numbers_that_mean_nothing_are_refused(name, wrong):
    flat = Linear(3, 2).initialize(seed=0).flat
    with pytest.raises(ValueError, match=f"^SGD: {name} must be a number from 0 to below 1, not {wrong}$"):
        SGD(flat, **{name: wrong})


@pytest.mark.parametrize("options", [{"momentum": 0.0}, {"dampening": 0.1}])
def test_nesterov_needs_momentum_without_dampening(options):
    with pytest.raises(ValueError, match=r"^SGD: nesterov needs a momentum above 0 and no dampening, not 0\.\d and"):
        SGD(Linear(3, 2).initialize(seed=0).flat, nesterov=True, **options)


def test_what_others_call_their_arguments_is_answered():
    flat = Linear(3, 2).initialize(seed=0).flat
    for kind in (SGD, Lion):
        name = kind.__name__
        with pytest.raises(TypeError, match=rf"^{name} takes no lr: the rate goes to every step, step\(rate\)$"):
            kind(flat, lr=0.1)
        with pytest.raises(TypeError, match=f"^{name} has no maximize: it takes "):
            kind(flat, maximize=True)
        with pytest.raises(
            TypeError, match=rf"^{name} takes the flat arrays of a model: {name}\(model.flat\), not the"
        ):
            kind([1, 2])
        with pytest.raises(ValueError, match=f"^{name}: weight_decay must be 0 or above, not -1"):
            kind(flat, weight_decay=-1.0)
    with pytest.raises(ValueError, match=r"^Lion: betas must be two numbers from 0 to below 1, not 0\.9$"):
        Lion(flat, betas=0.9)
