"""Arrays without draws, models without gradients, parameters that are frozen."""

import copy
import pickle

import numpy as np
import pytest

from tinygrad_arith.autograd import BackwardError, Tensor, no_grad
from tinygrad_arith.backend import DtypePolicy
from tinygrad_arith.models import GPT, GPTConfig
from tinygrad_arith.nn import Linear, Module, NotInitialized, ParameterError
from tinygrad_arith.optim import AdamW, clip_gradient_norm, gradient_norm

IDS = np.random.default_rng(5).integers(0, 11, size=(2, 6))


def gpt(**options):
    return GPT(GPTConfig(vocabulary=11, context=9, d_model=12, heads=3, layers=2, **options))


def train(model, optimizer, steps=3):
    for step in range(steps):
        model.zero_gradients()
        out = model(IDS)
        out.backward(np.random.default_rng(step).normal(size=out.shape))
        clip_gradient_norm(model.flat, 1.0)
        optimizer.step(0.1)


def bits(model):
    return {name: array.tobytes() for name, array in model.state_dict().items()}


@pytest.mark.parametrize("policy", [None, DtypePolicy.uniform("float64")], ids=["float32", "float64"])
def test_initialize_is_allocate_and_a_draw(policy):
    drawn, made = gpt().initialize(3, policy), gpt().allocate(policy)
    assert not made.flat.values.any()
    made.flat.initialize(3)
    assert bits(made) == bits(drawn)


def test_state_goes_into_what_was_allocated():
    model, source = gpt().allocate(), gpt().initialize(4)
    values = model.flat.values
    model.load_state_dict(source.state_dict())
    assert model.flat.values is values
    np.testing.assert_array_equal(model(IDS).numpy(), source(IDS).numpy())


def test_dropout_has_its_sites_without_a_draw():
    one, other = gpt(dropout=0.2).initialize(3), gpt(dropout=0.2).allocate()
    assert one.blocks[1].ffn_dropout.site == other.blocks[1].ffn_dropout.site != 0


def test_without_gradients_there_is_no_buffer_and_nothing_is_recorded():
    model = gpt().allocate(gradients=False)
    model.load_state_dict(gpt().initialize(3).state_dict())
    assert not model.flat.has_gradients
    assert all(p.grad is None and not p.requires_grad for p in model.named_parameters().values())
    assert model(IDS).node is None


@pytest.mark.parametrize(
    "use",
    [
        lambda model: AdamW(model.flat),
        lambda model: gradient_norm(model.flat),
        lambda model: clip_gradient_norm(model.flat, 1.0),
        lambda model: model.zero_gradients(),
        lambda model: model.flat.gradients,
        lambda model: setattr(model.flat, "gradients", np.zeros(3)),
        lambda model: model.flat.settle(),
        lambda model: model.flat.fresh_gradients().__enter__(),
    ],
)
def test_a_use_of_gradients_that_are_not_there_is_one_sentence(use):
    with pytest.raises(ParameterError, match=r"^these parameters have no gradients: .*gradients=False.*to train it$"):
        use(gpt().allocate(gradients=False))


def test_a_backward_without_gradients_is_one_sentence():
    out = gpt().allocate(gradients=False)(IDS)
    with pytest.raises(BackwardError, match=r"^backward: nothing was recorded; .*made with gradients=False"):
        out.backward(np.ones(out.shape))


def test_a_gradient_by_the_input_needs_none_by_the_parameters():
    layer = Linear(3, 5).allocate(gradients=False)
    layer.flat.initialize(1)
    x = Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    layer(x).sum().backward()
    np.testing.assert_allclose(x.grad, np.broadcast_to(layer.weight.numpy().sum(axis=1), (2, 3)), rtol=1e-5)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model)), Module.replica])
@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
def test_copies_are_what_was_copied(copied, gradients, frozen):
    model = gpt()
    if frozen:
        model.blocks[0].freeze()
    model.allocate(gradients=gradients).flat.initialize(3)
    twin = copied(model)
    assert bits(twin) == bits(model)
    assert twin.flat.has_gradients == gradients
    assert list(twin.flat.outside) == list(model.flat.outside)
    assert len(twin.flat.values) == len(model.flat.values)
    np.testing.assert_array_equal(twin(IDS).numpy(), model(IDS).numpy())
    if gradients:
        twin(IDS).sum().backward()
        assert twin.flat.gradients.any()
        assert not model.flat.gradients.any()


def test_an_optimizer_goes_on_beside_a_replica():
    model = gpt().initialize(3)
    optimizer, twin = AdamW(model.flat), model.replica()
    train(model, optimizer)
    np.testing.assert_array_equal(twin(IDS).numpy(), model(IDS).numpy())


@pytest.mark.parametrize("when", ["before the arrays are made", "after"])
@pytest.mark.parametrize("decay_all", [False, True])
def test_frozen_parameters_stay_to_the_bit_and_the_others_learn(when, decay_all):
    model = gpt()
    if when == "after":
        model.initialize(3)
    model.blocks[0].freeze()
    model.token_embedding.weight.frozen = True
    if when != "after":
        model.initialize(3)
    before = bits(model)
    assert before == bits(gpt().initialize(3))
    train(model, AdamW(model.flat, weight_decay=0.5, decay_all=decay_all))
    for name, array in bits(model).items():
        stays = name.startswith("blocks.0.") or name == "token_embedding.weight"
        assert (array == before[name]) == stays, name
        assert (model.named_parameters()[name].grad is None) == stays


def test_frozen_parameters_take_no_memory_of_gradients_and_moments():
    whole, model = gpt().initialize(3), gpt().initialize(3)
    model.blocks[0].freeze()
    frozen = sum(p.size for p in model.blocks[0].named_parameters().values())
    assert len(whole.flat.values) - len(model.flat.values) >= frozen
    assert len(AdamW(model.flat).state_dict()["first_moment"]) == len(model.flat.gradients) == len(model.flat.values)


def test_the_gradients_of_the_others_are_those_of_a_whole_model():
    whole, model = gpt().initialize(3), gpt().initialize(3)
    model.blocks[1].freeze()
    for each in (whole, model):
        out = each(IDS)
        out.backward(np.random.default_rng(2).normal(size=out.shape))
    for name, parameter in model.named_parameters().items():
        if not parameter.frozen:
            np.testing.assert_array_equal(parameter.grad, whole.named_parameters()[name].grad)


def test_an_optimizer_from_before_says_that_parameters_were_frozen():
    model = gpt().initialize(3)
    optimizer, flat = AdamW(model.flat), model.flat
    model.blocks[0].freeze()
    with pytest.raises(ParameterError, match=r"^blocks.0.attention.qkv.weight and \d+ others: frozen, or not any more"):
        optimizer.step(0.1)
    assert model.flat is not flat
    with pytest.raises(ParameterError, match="or parameters were frozen; make a new optimizer"):
        optimizer.step(0.1)


def test_what_was_frozen_can_learn_again_from_the_same_layout():
    model, other = gpt().initialize(3), gpt().initialize(3)
    model.blocks[0].freeze()
    train(model, AdamW(model.flat))
    model.blocks[0].unfreeze()
    assert list(model.flat.slices.items()) == list(other.flat.slices.items())
    before = bits(model)
    train(model, AdamW(model.flat))
    assert all(array != before[name] for name, array in bits(model).items())


def test_freezing_keeps_what_was_assigned_and_the_gradients_of_the_others():
    model = gpt().initialize(3)
    model.flat.gradients[:] = 2.0
    model.head.weight.array = np.full(model.head.weight.shape, 0.5)
    model.final_norm.freeze()
    assert model.head.weight.frozen is False
    assert (model.flat.gradients[model.flat.slices["head.weight"]] == 2.0).all()
    assert (model.head.weight.numpy() == 0.5).all()
    assert np.shares_memory(model.head.weight.array, model.flat.values)


def test_an_array_assigned_to_a_frozen_parameter_stays():
    model = gpt().initialize(3)
    model.head.weight.frozen = True
    given = np.random.default_rng(0).normal(size=model.head.weight.shape).astype(np.float32)
    given.flags.writeable = False  # as if mapped from a file
    model.head.weight.array = given
    model(IDS)
    model.flat.settle()
    assert model.head.weight.array is given
    np.testing.assert_array_equal(model.state_dict()["head.weight"], given)
    with pytest.raises(ParameterError, match=r"^head.weight was assigned an array of shape \(11, 12\); .* \(12, 11\)$"):
        model.head.weight.array = given.T
    assert model.head.weight.array is given


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (np.ones((12, 11), np.int32), r"an array of int32; the parameter has float32"),
        (np.ones((12, 11), np.complex64), r"an array of complex64; the parameter has float32"),
        (np.ones((12, 11), bool), r"an array of bool; the parameter has float32"),
        (np.float32(1.0), r"a numpy\.float32; a frozen parameter takes a numpy\.ndarray"),
        ([[1.0] * 11] * 12, r"a builtins\.list; a frozen parameter takes a numpy\.ndarray"),
        (None, r"a builtins\.NoneType; a frozen parameter takes a numpy\.ndarray"),
    ],
)
@pytest.mark.parametrize("when", ["before a forward", "after one", "before the freezing"])
def test_what_a_frozen_parameter_cannot_hold_is_told_before_it_is_computed_with(given, what, when):
    model = gpt().initialize(3)
    if when != "before the freezing":
        model.head.weight.frozen = True
    if when == "after one":
        model(IDS)
    model.head.weight.array = given
    model.head.weight.frozen = True
    for use in (lambda: model(IDS), lambda: AdamW(model.flat), model.state_dict):
        with pytest.raises(ParameterError, match=rf"^head\.weight was assigned {what}$"):
            use()
    model.head.weight.array = np.ones((12, 11), np.float32)
    model(IDS)


def test_habits_of_freezing_are_told_how_it_is_done_here():
    model = gpt().initialize(3)
    with pytest.raises(AttributeError, match=r"^requires_grad of a parameter is not set: `parameter\.frozen = True`"):
        model.head.weight.requires_grad = False
    assert model.head.weight.requires_grad
    with pytest.raises(AttributeError, match=r"^a parameter has no requires_grad_; `frozen = True` does it$"):
        model.head.weight.requires_grad_(False)
    with pytest.raises(AttributeError, match=r"^a module has no requires_grad_; model\.freeze\(\), or"):
        model.requires_grad_(False)


def test_a_backward_of_a_forward_before_the_freezing_brings_no_gradient():
    layer = Linear(3, 5).initialize(1)
    out = layer(Tensor(np.ones((2, 3), np.float32)))
    layer.weight.frozen = True
    out.sum().backward()
    assert layer.weight.grad is None
    assert layer.bias.grad.any()


def test_nothing_to_train_is_told():
    model = gpt().initialize(3).freeze()
    with pytest.raises(ParameterError, match=r"^every parameter is frozen: there is nothing to train$"):
        AdamW(model.flat).step(0.1)
    out = model(IDS)
    with pytest.raises(BackwardError, match="parameters that are frozen"):
        out.backward(np.ones(out.shape))


def test_recomputation_leaves_frozen_parameters_out():
    whole, model = gpt().initialize(3), gpt().initialize(3)
    model.blocks[0].attention.freeze()
    for each in (whole, model):
        each.blocks[0].recompute_activations = True
        each(IDS).sum().backward()
    name = "blocks.0.ffn.up.weight"
    np.testing.assert_array_equal(model.named_parameters()[name].grad, whole.named_parameters()[name].grad)
    assert model.blocks[0].attention.qkv.weight.grad is None


def test_tied_parameters_are_frozen_together():
    model = gpt(tied_head=True).initialize(3)
    model.token_embedding.freeze()
    before = bits(model)["token_embedding.weight"]
    train(model, AdamW(model.flat, weight_decay=0.3))
    assert bits(model)["token_embedding.weight"] == before


def test_frozen_ones_keep_all_their_digits_beside_a_copy_in_fewer_bits():
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    float32 = np.dtype(np.float32)
    model = gpt().initialize(3, DtypePolicy(float32, np.dtype(ml_dtypes.bfloat16), float32))
    before = bits(model)
    model.freeze()
    assert model.flat.values.size == 0
    assert bits(model) == before
    assert model.head.weight.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(model.head.weight.array, model.head.weight.stored.astype(ml_dtypes.bfloat16))
    assert bits(model.unfreeze()) == before


def test_the_table_says_what_is_frozen():
    model = gpt().initialize(3)
    model.head.weight.frozen = True
    assert "weight (12, 11) (frozen), bias (11)" in str(model)
    with no_grad():
        model(IDS)


def test_a_model_without_arrays_can_be_frozen_and_says_that_it_has_none():
    model = gpt().freeze()
    with pytest.raises(NotInitialized):
        model.flat  # noqa: B018
    with pytest.raises(NotInitialized):
        model(IDS)
