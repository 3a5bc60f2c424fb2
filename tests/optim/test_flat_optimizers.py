"""What holds for every optimizer: its state goes out and comes back, no other's is taken, and steps that fail do not
count."""

import numpy as np
import pytest

from tinygrad_arith.backend import DtypePolicy
from tinygrad_arith.models import GPT, GPTConfig
from tinygrad_arith.nn import Linear, Module, ParameterError
from tinygrad_arith.optim import SGD, AdamW, FlatOptimizer, Lion
from tinygrad_arith.optim.registry import OPTIMIZERS
from tinygrad_arith.options.kinds import changed_options, field_names

KINDS = {
    "adamw": AdamW,
    "sgd": SGD,
    "sgd, no momentum": lambda flat, **options: SGD(flat, momentum=0.0, **options),
    "sgd, dampening": lambda flat, **options: SGD(flat, dampening=0.5, **options),
    "lion": Lion,
}
each_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


@pytest.fixture
def layer():
    return Linear(3, 5).initialize(seed=2, policy=DtypePolicy.uniform("float64"))


def go(layer, optimizer, steps, first=0):
    for step in range(first, first + steps):
        layer.flat.gradients[:] = np.random.default_rng(step).normal(size=layer.flat.gradients.shape)
        optimizer.step(0.01)


@each_kind
@pytest.mark.parametrize("before", [0, 1, 3])
def test_the_state_goes_out_and_comes_back_to_the_same_bits(layer, make, before):
    optimizer = make(layer.flat, weight_decay=0.1)
    go(layer, optimizer, before)
    values, state = layer.flat.values.copy(), optimizer.state_dict()
    go(layer, optimizer, 3, first=before)
    expected = [layer.flat.values.copy(), *optimizer.state().values()]
    layer.flat.values = values
    fresh = make(layer.flat, weight_decay=0.1)
    fresh.load_state_dict(state)
    go(layer, fresh, 3, first=before)
    assert fresh.steps == optimizer.steps == before + 3
    for mine, other in zip([layer.flat.values, *fresh.state().values()], expected, strict=True):
        np.testing.assert_array_equal(mine, other)


@each_kind
@pytest.mark.parametrize("other", KINDS)
def test_the_state_of_another_optimizer_is_refused_in_one_sentence(layer, make, other):
    mine, theirs = make(layer.flat), KINDS[other](layer.flat)
    go(layer, mine, 2)
    before = mine.state_dict()
    if mine.state_dict().keys() == theirs.state_dict().keys():
        mine.load_state_dict(theirs.state_dict())
        assert mine.steps == 0
        return
    with pytest.raises(ValueError, match=r"^the optimizer's state is that of \w.*, and this \w+ has .*steps: a run"):
        mine.load_state_dict(theirs.state_dict())
    for name, array in mine.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_the_sentence_names_both(layer):
    theirs, mine = r"AdamW \(first_moment, second_moment, steps\)", "SGD has velocity, steps"
    end = "a run goes on with the optimizer that it began with"
    with pytest.raises(ValueError, match=f"^the optimizer's state is that of {theirs}, and this {mine}: {end}$"):
        SGD(layer.flat).load_state_dict(AdamW(layer.flat).state_dict())
    with pytest.raises(ValueError, match=r"is that of another optimizer \(nothing\), and this Lion has first_moment, "):
        Lion(layer.flat).load_state_dict({})


@each_kind
def test_arrays_of_another_length_are_refused_before_anything_is_taken(layer, make):
    optimizer = make(layer.flat)
    go(layer, optimizer, 1)
    before = optimizer.state_dict()
    *_, last = [name for name in before if name != "steps"] or [None]
    if last is not None:
        changed = {name: array + 1 for name, array in before.items()} | {last: np.zeros(3)}
        with pytest.raises(ValueError, match=rf"^{last}: stored for \(3,\) parameters, here"):
            optimizer.load_state_dict(changed)
    for name, array in optimizer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


class Twins(Module):
    """Two layers of one size: frozen, one or the other leaves flat arrays of the same length."""

    def __init__(self):
        self.left, self.right = Linear(4, 4), Linear(4, 4)


def half_frozen(make, side):
    model = Twins().initialize(seed=1)
    getattr(model, side).freeze()
    return model, make(model.flat)


@each_kind
def test_a_state_is_taken_by_the_parameters_that_it_was_made_for_only(make):
    model, optimizer = half_frozen(make, "left")
    go(model, optimizer, 2)
    state = optimizer.state_dict()
    _, same = half_frozen(make, "left")
    same.load_state_dict(state)
    for name, array in same.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
    _, other = half_frozen(make, "right")
    if other.state():
        with pytest.raises(ValueError, match=r"^the optimizer's state belongs to other parameters, of the same number"):
            other.load_state_dict(state)
        assert other.steps == 0
        assert not any(array.any() for array in other.state().values())
    whole = Twins().initialize(seed=1)
    assert "layout" not in make(whole.flat).state_dict()  # none is frozen: the length alone tells


@each_kind
def test_a_state_from_before_it_named_its_parameters_is_read(make):
    model, optimizer = half_frozen(make, "left")
    go(model, optimizer, 2)
    state = {name: array for name, array in optimizer.state_dict().items() if name != "layout"}
    _, again = half_frozen(make, "left")
    again.load_state_dict(state)
    assert again.steps == 2


@each_kind
def test_names_of_other_libraries_lead_to_ours(layer, make):
    optimizer = make(layer.flat)
    with pytest.raises(AttributeError, match=r"has no zero_grad; model\.zero_gradients\(\) does it$"):
        optimizer.zero_grad()
    with pytest.raises(AttributeError, match=r"has no param_groups; step\(learning_rate\), which takes the rate"):
        optimizer.param_groups  # noqa: B018
    with pytest.raises(AttributeError, match=r"^\w+ has no what$"):
        optimizer.what  # noqa: B018


def test_an_array_of_the_state_that_was_not_made_is_told(layer):
    class Forgetful(SGD):
        state_names = ("velocity", "squares")

    with pytest.raises(AttributeError, match=r"^Forgetful has no squares yet.*: self\.squares = self\.zeros\(\)$"):
        Forgetful(layer.flat).state_dict()


@each_kind
def test_a_copy_of_the_state_does_not_change_with_the_next_step(layer, make):
    optimizer = make(layer.flat)
    go(layer, optimizer, 1)
    state = optimizer.state_dict()
    kept = {name: array.copy() for name, array in state.items()}
    go(layer, optimizer, 1, first=1)
    assert all(np.array_equal(state[name], kept[name]) for name in state)


@each_kind
def test_padding_between_parameters_stays_zero(layer, make):
    optimizer = make(layer.flat, weight_decay=0.1)
    layer.flat.gradients[layer.flat.slices["weight"]] = 1.0
    optimizer.step(0.1)
    used = np.zeros(len(layer.flat.values), dtype=bool)
    for place in layer.flat.slices.values():
        used[place] = True
    assert not layer.flat.values[~used].any()
    assert layer.flat.values[used].any()


@each_kind
def test_float32_is_not_widened(make):
    layer = Linear(3, 5).initialize()
    layer.flat.gradients[:] = 1.0
    optimizer = make(layer.flat)
    optimizer.step(np.float64(0.1), np.float64(0.5))
    assert {array.dtype for array in [layer.flat.values, *optimizer.state().values()]} == {np.dtype(np.float32)}


@each_kind
def test_gradients_are_not_written_to(layer, make):
    optimizer = make(layer.flat, weight_decay=0.1)
    for dtype in ("float64", "float32"):
        layer.initialize(seed=1, policy=DtypePolicy.uniform(dtype))
        optimizer = make(layer.flat, weight_decay=0.1)
        layer.flat.gradients[:] = before = np.random.default_rng(3).normal(size=layer.flat.gradients.shape)
        optimizer.step(0.1, 0.3)
        np.testing.assert_array_equal(layer.flat.gradients, before.astype(dtype))


@each_kind
def test_a_step_that_fails_does_not_count(layer, make, monkeypatch):
    optimizer = make(layer.flat)

    def fail(rates):
        raise MemoryError

    monkeypatch.setattr(optimizer, "update", fail)
    with pytest.raises(MemoryError):
        optimizer.step(1e-2)
    assert optimizer.steps == 0


@each_kind
def test_a_model_that_would_not_learn_is_told(layer, make):
    optimizer = make(layer.flat)
    layer.initialize(seed=3)
    with pytest.raises(ParameterError, match="make a new optimizer"):
        optimizer.step(0.1)


@each_kind
def test_a_model_in_bfloat16_learns_and_has_the_rounded_values(make):
    pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed: pip install -e '.[kernels]'")
    model = GPT(GPTConfig(7, 9, d_model=16, heads=2, layers=1))
    model.initialize(seed=1, policy=DtypePolicy.named("bfloat16"))
    plain = GPT(model.config).initialize(seed=1)
    plain.flat.values[...] = model.flat.values
    optimizers = [make(one.flat) for one in (model, plain)]
    for step in range(3):
        gradients = np.random.default_rng(step).normal(size=model.flat.values.shape).astype(np.float32)
        for one, optimizer in zip((model, plain), optimizers, strict=True):
            one.flat.gradients[...] = gradients
            optimizer.step(1e-2)
    np.testing.assert_array_equal(model.flat.values, plain.flat.values)
    np.testing.assert_array_equal(model.flat.working, model.flat.values.astype(model.flat.working.dtype))


# Kinds


@pytest.mark.parametrize("kind", OPTIMIZERS.places)
def test_an_optimizer_is_made_of_every_option_that_is_its_own(layer, kind):
    options, optimizer = OPTIMIZERS.options_of(kind), OPTIMIZERS.load(kind)
    changed = {"weight_decay": 0.7, "beta1": 0.3, "beta2": 0.4, "eps": 0.5, "momentum": 0.6, "dampening": 0.2}
    own = {name: value for name, value in changed.items() if name in field_names(options)}
    own |= {"coupled_decay": True} if kind == "sgd" else {}
    made = optimizer.from_options(options(kind=kind, decay_biases=True, **own), layer.flat)
    assert isinstance(made, FlatOptimizer)
    assert made.decay_all
    betas = {f"beta{i}": beta for i, beta in enumerate(getattr(made, "betas", ()), start=1)}
    assert {name: betas.get(name, getattr(made, name, None)) for name in own} == own
    assert set(optimizer.arrays_of(options(kind=kind))) == set(optimizer.from_options(options(), layer.flat).state())


def test_sgd_of_options_may_be_nesterovs_or_without_a_velocity(layer):
    options = OPTIMIZERS.options_of("sgd")
    assert SGD.from_options(options(nesterov=True), layer.flat).nesterov
    assert SGD.from_options(options(momentum=0.0), layer.flat).velocity is None
    assert SGD.arrays_of(options(momentum=0.0)) == ()
    for wrong in ({"momentum": 0.0}, {"dampening": 0.1}):
        with pytest.raises(ValueError, match=r"^--nesterov: needs --momentum above 0 and --dampening 0, not 0\.\d and"):
            options(nesterov=True, **wrong)


def test_another_kind_begins_with_its_own_rate_and_keeps_the_schedule():
    adamw = OPTIMIZERS.options_of("adamw")(learning_rate=5e-3, weight_decay=0.2, beta2=0.5, warmup=7, clip=0.3)
    for kind in ("sgd", "lion"):
        other = changed_options(adamw, OPTIMIZERS, {"kind": kind})
        fresh = OPTIMIZERS.options_of(kind)()
        own = ("learning_rate", "weight_decay", "beta1", "beta2", "momentum")
        assert all(getattr(other, name) == getattr(fresh, name) for name in own if hasattr(fresh, name))
        assert (other.kind, other.warmup, other.clip) == (kind, 7, 0.3)
    assert changed_options(adamw, OPTIMIZERS, {"warmup": 3}).learning_rate == 5e-3
