"""What people are used to doing with a model elsewhere: it works here, or an error says that it does not.

Never may a training go on whose loss cannot move.
"""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

from tinygrad_arith.autograd import BackwardError, Tensor
from tinygrad_arith.autograd import functions as F
from tinygrad_arith.backend import DtypePolicy, RandomKey
from tinygrad_arith.generation import generate
from tinygrad_arith.models import GPT, GPTConfig, attention_maps
from tinygrad_arith.nn import Linear, Module, NotInitialized, Parameter, ParameterError, first_nonfinite
from tinygrad_arith.nn.initializers import Normal
from tinygrad_arith.ops import ArraySpec
from tinygrad_arith.optim import AdamW, clip_gradient_norm, gradient_norm
from tinygrad_arith.reproductions import WindowConfig, WindowGPT

IDS = np.random.default_rng(0).integers(0, 7, (4, 6))
NEXT = np.roll(IDS, 1, axis=1)


def new_model(tied=False, dtype="float32", initialized=True):
    model = GPT(GPTConfig(vocabulary=7, context=6, d_model=16, heads=2, layers=1, tied_head=tied))
    return model.initialize(0, DtypePolicy.uniform(dtype)) if initialized else model


def loss_of(model):
    return F.cross_entropy(model(IDS), NEXT)


def train(model, steps=5, clear=lambda model: model.zero_gradients(), optimizer=None):
    """The losses of some steps, each before its update."""
    optimizer, losses = optimizer or AdamW(model.flat), []
    for _ in range(steps):
        clear(model)
        loss = loss_of(model)
        loss.backward()
        clip_gradient_norm(model.flat, 1.0)
        optimizer.step(0.01)
        losses.append(loss.item())
    return losses


COPIES = {
    "deepcopy": copy.deepcopy,
    "deepcopy of a deepcopy": lambda model: copy.deepcopy(copy.deepcopy(model)),
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "pickle, protocol 2": lambda model: pickle.loads(pickle.dumps(model, 2)),
    "in a tuple": lambda model: copy.deepcopy((model, 1))[0],
}


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("how", COPIES)
def test_a_copy_is_a_whole_model_that_trains_alone(how, tied):
    model, expected = new_model(tied), train(new_model(tied))
    loss_of(model).backward()
    other = COPIES[how](model)
    for name, parameter in other.named_parameters().items():
        assert np.shares_memory(parameter.array, other.flat.values), name
        assert np.shares_memory(parameter.grad, other.flat.gradients), name
    np.testing.assert_array_equal(other.flat.gradients, model.flat.gradients)
    values, gradients = model.flat.values.copy(), model.flat.gradients.copy()
    np.testing.assert_array_equal(train(other), expected)
    np.testing.assert_array_equal(model.flat.values, values)
    np.testing.assert_array_equal(model.flat.gradients, gradients)
    assert len(other.named_parameters()) == len(model.named_parameters())


def test_a_copy_takes_what_was_assigned_and_keeps_dropout_and_dtypes():
    model = GPT(GPTConfig(vocabulary=7, context=6, d_model=16, heads=2, dropout=0.5))
    model.initialize(0, DtypePolicy.uniform("float64"))
    model.head.weight.array = model.head.weight.array * 2
    model.head.bias.grad = None
    key = RandomKey(3, "dropout")
    for how in COPIES.values():
        other = how(model)
        assert other.flat.values.dtype == np.float64
        np.testing.assert_array_equal(other(IDS, dropout_key=key).data, model(IDS, dropout_key=key).data)


def test_a_copy_of_a_model_without_arrays_may_be_initialized():
    other = copy.deepcopy(new_model(initialized=False)).initialize(0)
    np.testing.assert_array_equal(train(other), train(new_model()))


def test_a_model_and_its_optimizer_are_copied_together():
    model = new_model()
    optimizer = AdamW(model.flat)
    train(model, 3, optimizer=optimizer)
    other, its = copy.deepcopy((model, optimizer))
    assert its.flat is other.flat
    np.testing.assert_array_equal(train(other, optimizer=its), train(model, optimizer=optimizer))


def test_an_optimizer_copied_without_its_model_says_so():
    model = new_model()
    optimizer = copy.deepcopy(AdamW(model.flat))
    with pytest.raises(ParameterError, match="a copy made without their model"):
        train(model, optimizer=optimizer)


def test_a_copied_part_computes_the_same_and_says_that_it_cannot_be_trained_alone():
    block = copy.deepcopy(new_model().blocks[0])
    x = Tensor(np.ones((2, 3, 16), np.float32))
    np.testing.assert_array_equal(block(x).data, new_model().blocks[0](x).data)
    with pytest.raises(AttributeError, match="this Block has no flat arrays: it is a part of a model"):
        AdamW(block.flat)


def test_models_are_freed_without_waiting_for_the_garbage_collector():
    gc.disable()
    try:
        model = new_model()
        train(model, 1)
        gone = weakref.ref(model.flat)
        del model
        assert gone() is None
    finally:
        gc.enable()


CLEARINGS = {
    "zero_grad": lambda p: p.zero_grad(),
    "None": lambda p: setattr(p, "grad", None),
    "None, then zero_grad": lambda p: (setattr(p, "grad", None), p.zero_grad()),
    "zeros_like": lambda p: setattr(p, "grad", np.zeros_like(p.array)),
    "a tensor": lambda p: setattr(p, "grad", Tensor(np.zeros_like(p.array))),
    "zeros of another dtype": lambda p: setattr(p, "grad", np.zeros(p.shape)),
    "zeros in another order": lambda p: setattr(p, "grad", np.zeros_like(p.array, order="F")),
    "0": lambda p: setattr(p, "grad", 0),
    "0.0": lambda p: setattr(p, "grad", 0.0),
    "in place": lambda p: p.grad.fill(0),
}


@pytest.mark.parametrize("how", CLEARINGS)
def test_gradients_may_be_cleared_one_by_one(how):
    def clear(model):
        for parameter in model.named_parameters().values():
            CLEARINGS[how](parameter)

    np.testing.assert_allclose(train(new_model(), clear=clear), train(new_model()), rtol=1e-5)


@pytest.mark.parametrize("recompute", [False, True])
def test_none_stands_for_zeros(recompute):
    model = new_model()
    for block in model.blocks:
        block.recompute_activations = recompute
    train(model, 1)
    for parameter in model.named_parameters().values():
        parameter.grad = None
    assert gradient_norm(model.flat) == 0
    assert not model.flat.gradients.any()
    loss_of(model).backward()
    once = model.flat.gradients.copy()
    loss_of(model).backward()
    np.testing.assert_allclose(model.flat.gradients, 2 * once, rtol=1e-6, atol=1e-8)
    model.head.weight.grad = None  # of one parameter only
    assert not model.flat.gradients[model.flat.slices["head.weight"]].any()
    np.testing.assert_array_equal(model.head.weight.grad, 0)


def test_the_flat_gradients_may_be_assigned():
    model, other = new_model(), new_model()
    for one in (model, other):
        loss_of(one).backward()
    model.flat.gradients = model.flat.gradients * 0.5
    other.flat.gradients *= 0.5
    np.testing.assert_array_equal(model.head.weight.grad, other.head.weight.grad)
    for one in (model, other):
        AdamW(one.flat).step(0.01)
    np.testing.assert_array_equal(model.flat.values, other.flat.values)
    model.flat.gradients = None
    assert not model.flat.gradients.any()
    for wrong in (lambda: setattr(model.flat, "values", None), lambda: setattr(model.flat, "gradients", 1j)):
        with pytest.raises(TypeError, match=r"the flat \w+ must be real numbers, not (None|an array of)"):
            wrong()
    with pytest.raises(ValueError, match="broadcast"):
        model.flat.gradients = np.zeros(3)


def test_the_flat_values_may_be_assigned():
    model = new_model()
    loss = loss_of(model)
    model.flat.values = model.flat.values * 0.5
    np.testing.assert_array_equal(model.head.weight.array, new_model().head.weight.array * 0.5)
    with pytest.raises(RuntimeError, match="written to since"):
        loss.backward()


def test_an_array_assigned_to_a_parameter_is_what_is_trained_and_saved():
    model = new_model()
    weight = model.head.weight
    optimizer = AdamW(model.flat)
    weight.array = np.zeros(weight.shape)  # float64: its numbers count
    assert not model.state_dict()["head.weight"].any()
    loss_of(model).backward()
    optimizer.step(0.01)
    assert np.abs(weight.array).max() == pytest.approx(0.01, rel=0.01)
    assert np.shares_memory(weight.array, model.flat.values)
    assert weight.array.dtype == np.float32
    weight.array = np.ones(weight.shape, np.float32)
    model.load_state_dict(new_model().state_dict())
    np.testing.assert_array_equal(model.flat.values, new_model().flat.values)


def test_gradient_descent_by_hand_and_the_optimizer_take_turns():
    model, other = new_model(), new_model()
    for step in range(4):
        for one in (model, other):
            one.zero_gradients()
            loss_of(one).backward()
        for parameter in model.named_parameters().values():
            parameter.array = parameter.array - np.float32(0.1) * parameter.grad
        for parameter in other.named_parameters().values():
            parameter.array[...] -= np.float32(0.1) * parameter.grad
        if step == 2:
            for one in (model, other):
                AdamW(one.flat).step(0.01)
    np.testing.assert_array_equal(model.flat.values, other.flat.values)


@pytest.mark.parametrize(
    ("attribute", "message"), [("array", "head.bias was"), ("grad", "the gradient of head.bias was")]
)
def test_an_array_of_another_shape_is_named(attribute, message):
    model = new_model()

    def assign_and_step():
        setattr(model.head.bias, attribute, np.zeros(3, np.float32))
        AdamW(model.flat).step(0.01)

    with pytest.raises(ParameterError, match=rf"{message} assigned an array of shape \(3,\); the parameter has \(7,\)"):
        assign_and_step()


def test_an_array_of_another_shape_is_refused_where_it_is_assigned():
    for model in (new_model(), new_model(initialized=False)):
        with pytest.raises(ParameterError, match=r"assigned an array of shape \(2, 7\); the parameter has \(16, 7\)$"):
            model.head.weight.array = np.zeros((2, 7))
        assert model.head.weight.shape == (16, 7)


@pytest.mark.parametrize("values", [np.zeros((7, 16)), [[0.0]], 0.0, Tensor(np.zeros((7, 16)))], ids=type)
def test_numbers_do_not_take_the_place_of_a_parameter(values):
    """They would compute, and be in no file and in no optimizer."""
    model = new_model()
    sentence = (
        "token_embedding.weight is a parameter, not an array: "
        "write token_embedding.weight.array[...] = values (or .array = values)"
    )
    with pytest.raises(ParameterError) as told:
        model.token_embedding.weight = values
    assert str(told.value) == sentence
    with pytest.raises(ParameterError, match=r"^head is a module, not an array: put numbers into the arrays of its"):
        model.head = values
    assert {"token_embedding.weight", "head.weight"} <= set(model.named_parameters())


def test_a_part_may_be_put_in_the_place_of_another_or_taken_out():
    model = new_model()
    model.head.weight = Parameter((16, 7), Normal(1.0), decay=True)
    model.head.bias = None
    model.head = Linear(16, 7)
    assert model.head.bias is not None


ELSEWHERE = {
    "zero_grad": r"a module has no zero_grad; model\.zero_gradients\(\) does it$",
    "parameters": r"a module has no parameters; model\.named_parameters\(\)\.values\(\) does it$",
    "eval": r"a module has no eval; a dropout_key turns dropout on",
    "to": r"a module has no to; ta\.load\(run, device=\.\.\., dtype=\.\.\.\), and of a new model",
    "cuda": r"ta\.load\(run, device=\"cuda\"\), and of a new model, whose weights are drawn, model\.initialize",
    "save": r"a module has no save; ta\.save\(model, directory\) does it$",
    "predict": r"a module has no predict; model\(ids\)",
    "requires_grad_": r"a module has no requires_grad_; model\.freeze\(\)",
    "what": r"'GPT' object has no attribute 'what'$",
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_methods_of_other_libraries_lead_to_ours(name):
    model = new_model()
    assert not hasattr(model, name)
    with pytest.raises(AttributeError, match=ELSEWHERE[name]):
        getattr(model, name)


def test_a_module_tells_its_size_and_shows_its_table_in_a_notebook():
    model = new_model()
    assert repr(model) == f"GPT({model.parameter_count():,} parameters)"
    assert model._repr_html_().startswith("<pre>module ")
    assert repr(Linear(2, 3)) == "Linear(9 parameters; no arrays yet)"


def test_layers_of_other_libraries_lead_to_ours():
    from tinygrad_arith import nn

    with pytest.raises(AttributeError, match=r"^there is no Sequential in nn; a list of modules in an attribute"):
        nn.Sequential  # noqa: B018
    with pytest.raises(AttributeError, match=r"^there is no Conv2d in nn$"):
        nn.Conv2d  # noqa: B018
    for said in nn.names_elsewhere.LAYERS.values():
        name = said.removeprefix("autograd.functions.")
        assert " " in said or hasattr(nn, said) or hasattr(F, name), said


def test_a_tensors_data_is_written_through_its_array():
    weight = new_model().head.weight
    with pytest.raises(AttributeError, match=r"^data is read-only: assign to array, or write into it: tensor\.array"):
        weight.data = weight.numpy()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_policy_may_be_named(dtype):
    model = new_model(initialized=False).initialize(0, dtype)
    np.testing.assert_array_equal(model.flat.values, new_model(dtype=dtype).flat.values)
    assert model.flat.values.dtype == dtype
    assert new_model(initialized=False).allocate(dtype).flat.values.dtype == dtype


@pytest.mark.parametrize("policy", ["float", 3, "int32", "what", ["float32"]])
def test_what_is_no_policy(policy):
    if policy == "float":  # NumPy's name for float64
        assert new_model(initialized=False).initialize(0, policy).flat.values.dtype == np.float64
        return
    with pytest.raises(TypeError, match=r"^a policy is a DtypePolicy, or the name of a floating dtype such as"):
        new_model(initialized=False).initialize(0, policy)


class Pair(Module):
    def __init__(self):
        self.first, self.rest = Linear(3, 4), [Linear(4, 4)]

    def forward(self, x):
        x = self.first(x)
        for layer in self.rest:
            x = layer(x)
        return x


def step_of(model, optimizer):
    out = model(Tensor(np.ones((2, 3), np.float32)))
    out.backward(np.ones(out.shape))
    optimizer.step(0.1)


def test_initializing_again_leaves_an_older_optimizer_with_nothing():
    model = Pair().initialize(0)
    optimizer = AdamW(model.flat)
    before = model.flat
    model.initialize(1)
    values = before.values.copy()
    with pytest.raises(ParameterError, match=r"first.weight and 3 others: not in these .*called again"):
        step_of(model, optimizer)
    assert optimizer.steps == 0
    np.testing.assert_array_equal(before.values, values)
    with pytest.raises(ParameterError, match="called again"):
        clip_gradient_norm(before, 1.0)
    step_of(model, AdamW(model.flat))


def test_initializing_a_part_or_the_whole_takes_the_parameters_from_the_other():
    model = Pair()
    part = AdamW(model.first.initialize(0).flat)
    whole = AdamW(model.initialize(0).flat)
    step_of(model, whole)
    with pytest.raises(ParameterError, match=r"weight and 1 other: not in these"):
        step_of(model, part)
    with pytest.raises(AttributeError, match=r"^first: this Linear has no flat arrays: it is a part of a model"):
        _ = model.first.flat
    model.first.initialize(0)
    with pytest.raises(ParameterError, match=r"first.weight and 1 other: not in these"):
        step_of(model, whole)


def put(model, how):
    new = Linear(4, 4).initialize(5)
    if how == "attribute":
        model.last = new
    elif how == "in the place of another":
        model.first = Linear(3, 4).initialize(5)
    elif how == "a new list":
        model.rest = [*model.rest, new]
    elif how == "append":
        model.rest.append(new)
    elif how == "item":
        model.rest[0] = new
    elif how == "parameter":
        model.first.weight = new.weight


@pytest.mark.parametrize("how", ["attribute", "in the place of another", "a new list", "append", "item"])
@pytest.mark.parametrize("stepped", [False, True])
def test_a_module_put_in_afterwards_is_not_left_untrained_in_silence(how, stepped):
    model = Pair().initialize(0)
    optimizer = AdamW(model.flat)
    if stepped:
        step_of(model, optimizer)
    put(model, how)
    with pytest.raises(ParameterError, match="would not be trained: put into the model after its initialize"):
        step_of(model, optimizer)
    model.initialize(0)
    step_of(model, AdamW(model.flat))


def test_a_module_put_in_without_arrays_is_named_in_the_forward():
    model = Pair().initialize(0)
    x = Tensor(np.ones((2, 3), np.float32))
    model(x)
    model.rest.append(Linear(4, 4))
    with pytest.raises(NotInitialized, match=r"this Pair has no arrays yet for rest.1.weight and 1 other: call"):
        model(x)
    block = new_model()
    block(IDS)
    block.blocks[0].ffn.up.weight = Parameter((16, 64), Normal(0.1), decay=True)
    with pytest.raises(NotInitialized, match=r"this GPT has no arrays yet for blocks.0.ffn.up.weight: call"):
        block(IDS)


def test_tying_two_weights_afterwards_trains_on():
    model = Pair().initialize(0)
    model.rest.append(model.rest[0])
    step_of(model, AdamW(model.flat))


def test_other_attributes_may_change_at_any_time():
    model = Pair().initialize(0)
    optimizer = AdamW(model.flat)
    for step in range(3):
        model.last_step, model.losses = step, [0.1] * step
        step_of(model, optimizer)


USES = {
    "forward": lambda model: model(IDS),
    "forward by name": lambda model: model.forward(IDS),
    "a part": lambda model: model.blocks[0](Tensor(np.ones((1, 2, 16)))),
    "optimizer": lambda model: AdamW(model.flat),
    "clipping": lambda model: clip_gradient_norm(model.flat, 1.0),
    "state_dict": lambda model: model.state_dict(),
    "load_state_dict": lambda model: model.load_state_dict(new_model().state_dict()),
    "zero_gradients": lambda model: model.zero_gradients(),
    "replica": lambda model: model.replica(),
    "generate": lambda model: generate(model, IDS[:, :2], 2),
    "sampling": lambda model: generate(model, IDS[:, :2], 2, temperature=1.0, key=RandomKey(0, "sample")),
    "new_caches": lambda model: model.new_caches(2),
    "attention_maps": lambda model: attention_maps(model, IDS),
    "first_nonfinite": lambda model: first_nonfinite(model),
    "numpy": lambda model: model.token_embedding.weight.numpy(),
}


@pytest.mark.parametrize("use", USES)
def test_every_use_before_initialize_is_answered_by_the_same_sentence(use):
    with pytest.raises(NotInitialized, match=r"this \w+ has no arrays yet: call initialize\(\) first$"):
        USES[use](new_model(initialized=False))


USES_OF_A_PARAMETER = {
    "==": lambda p: p == 1.0,
    ">": lambda p: p > 1.0,
    "in": lambda p: 1.0 in p,
    "&": lambda p: p & True,
    "~": lambda p: ~p,
    "asarray": np.asarray,
    "asarray of a result": lambda p: np.asarray(p + 1.0),
    "detach": lambda p: p.detach().numpy(),
    "item": lambda p: p.sum().item(),
    "float": lambda p: float(p.sum()),
    "int": lambda p: int(p.sum()),
    "bool": lambda p: bool(p.sum()),
    "a write": lambda p: p.__setitem__(0, 1.0),
    "len": len,
    "any": lambda p: p.any(),
    "all": lambda p: p.all(),
    "tolist": lambda p: p.tolist(),
    "a format": lambda p: f"{p.sum():.2f}",
    "backward": lambda p: p.sum().backward(),
    "backward of itself": lambda p: p.backward(np.ones(p.shape)),
}


@pytest.mark.parametrize("use", USES_OF_A_PARAMETER)
def test_every_use_of_a_parameters_values_before_initialize_is_answered_alike(use):
    parameter = Linear(3, 4).weight
    with pytest.raises(NotInitialized, match=r"^this (Parameter|Tensor) has no arrays yet: call initialize\(\) first$"):
        USES_OF_A_PARAMETER[use](parameter)


def test_what_asks_for_no_values_is_answered_before_initialize():
    parameter = Linear(3, 4).weight
    assert (parameter + 1.0).shape == (3, 4)
    assert parameter != None  # noqa: E711
    assert None not in parameter
    assert f"{parameter}" == "Tensor(shape=(3, 4), dtype=float32)"


@pytest.mark.parametrize("call", [lambda m: m(IDS), lambda m: generate(m, IDS[:, :2], 2)])
def test_window_models_say_so_too(call):
    with pytest.raises(NotInitialized, match="this WindowGPT has no arrays yet"):
        call(WindowGPT(WindowConfig(vocabulary=7, context=6, d_model=16, heads=2)))


def test_a_dry_pass_needs_no_arrays():
    out = Pair()(Tensor(ArraySpec((2, 3), np.dtype(np.float32))))
    assert out.shape == (2, 4)
    assert not hasattr(Pair(), "flat")


def test_a_model_in_the_place_of_its_flat_arrays_is_answered():
    with pytest.raises(TypeError, match=r"AdamW\(model.flat\), not the Pair"):
        AdamW(Pair().initialize(0))


def test_no_complex_numbers_are_taken_for_real_ones():
    model = new_model()
    state, bias = model.state_dict(), model.head.bias
    for wrong in (state["head.bias"] * 1j, None, "abc"):
        with pytest.raises(TypeError, match=r"head\.bias must be real numbers, not"):
            model.load_state_dict({**state, "head.bias": wrong})
    bias.grad = np.zeros(bias.shape) * 1j
    with pytest.raises(TypeError, match=r"the gradient of head\.bias must be real numbers, not an array of complex128"):
        model.zero_gradients()
    bias.grad = None
    bias.array = bias.array * 1j
    with pytest.raises(TypeError, match=r"head\.bias must be real numbers"):
        model.state_dict()


@pytest.mark.parametrize("of_a_model", [False, True])
def test_what_was_assigned_to_a_gradient_is_looked_at_before_it_is_added_to(of_a_model):
    leaf = Linear(3, 2).initialize(0).weight if of_a_model else Tensor(np.ones((3, 2), "f"), requires_grad=True)
    for given, expected in (
        (np.ones((3, 2), int), 2.0),
        ([[1] * 2] * 3, 2.0),
        (1, 2.0),
        (Tensor(np.ones((3, 2))), 2.0),
    ):
        leaf.grad = given
        (leaf * 1.0).sum().backward()
        np.testing.assert_array_equal(leaf.grad, np.full((3, 2), expected))
    for wrong in (np.zeros(7, np.float32), np.zeros((2, 3), np.float32), np.zeros((3, 1), np.float32)):
        leaf.grad = wrong
        with pytest.raises(BackwardError, match=r"\.grad was assigned an array of shape \(.*; the tensor has \(3, 2\)"):
            (leaf * 1.0).sum().backward()
    leaf.grad = np.zeros((3, 2)) * 1j
    with pytest.raises(BackwardError, match=r"\.grad was assigned complex128"):
        (leaf * 1.0).sum().backward()


class Held(Module):
    """Parameters and modules in everything that may hold them."""

    def __init__(self):
        self.branches = {"left": Linear(3, 2), "right": [Linear(3, 2)]}
        self.scales = [Parameter((2,), Normal(1.0), decay=False)]
        self.later: dict = {}

    def forward(self, x):
        both = self.branches["left"](x) + self.branches["right"][0](x)
        return both * self.scales[0]


def test_what_lists_and_dicts_hold_is_trained():
    model = Held()
    names = [
        "branches.left.weight",
        "branches.left.bias",
        "branches.right.0.weight",
        "branches.right.0.bias",
        "scales.0",
    ]
    assert sorted(model.named_parameters()) == sorted(names)
    assert [model.branches["left"].attribute_name, model.branches["right"][0].attribute_name] == [
        "branches.left",
        "branches.right.0",
    ]
    model.initialize(0)
    before = model.state_dict()
    optimizer = AdamW(model.flat)
    model(Tensor(np.ones((4, 3), np.float32))).sum().backward()
    optimizer.step(0.1)
    assert all((model.state_dict()[name] != before[name]).any() for name in names)
    twin = model.replica()
    assert twin.branches["left"] is not model.branches["left"]
    assert np.shares_memory(twin.scales[0].array, model.scales[0].array)
    assert not np.shares_memory(twin.scales[0].grad, model.scales[0].grad)
    assert twin.later is model.later
    assert copy.deepcopy(model).named_parameters().keys() == model.named_parameters().keys()


PUT_IN = {
    "a module into a dict": lambda model: model.later.__setitem__("new", Linear(2, 2)),
    "a module in place of another": lambda model: model.branches.__setitem__("left", Linear(3, 2)),
    "a module into a list in a dict": lambda model: model.branches["right"].append(Linear(3, 2)),
    "a parameter into a list": lambda model: model.scales.append(Parameter((2,), Normal(1.0), decay=False)),
}


@pytest.mark.parametrize("how", PUT_IN)
def test_what_is_put_into_lists_and_dicts_afterwards_is_noticed(how):
    model = Held().initialize(0)
    optimizer = AdamW(model.flat)
    optimizer.step(0.1)
    PUT_IN[how](model)
    with pytest.raises(ParameterError, match="put into the model after its initialize"):
        optimizer.step(0.1)


@pytest.mark.parametrize("hold", [lambda t: t, lambda t: [t], lambda t: {"a": (t,)}])
def test_a_tensor_with_a_gradient_is_no_parameter(hold):
    model = Pair()
    leaf = Tensor(np.ones(3), requires_grad=True)
    with pytest.raises(TypeError, match=r"^own\S*: a tensor with requires_grad is no parameter, .* assign Parameter\("):
        model.own = hold(leaf)
    model.own = hold(leaf.detach())
    model.last = hold(leaf * 2.0)  # computed: its leaves are elsewhere
