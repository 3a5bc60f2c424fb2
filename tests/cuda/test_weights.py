"""Weights into models on the GPU, frozen parameters there, and models without gradients."""

import cupy
import numpy as np
import pytest

import tinygrad_arith as ta
from tinygrad_arith import weights
from tinygrad_arith.backend import DtypePolicy
from tinygrad_arith.generation import generate
from tinygrad_arith.models import GPT, GPTConfig
from tinygrad_arith.nn import ParameterError
from tinygrad_arith.optim import AdamW
from tinygrad_arith.options.errors import UserError

CONFIG = GPTConfig(vocabulary=11, context=9, d_model=12, heads=3, ffn=20, layers=2)
IDS = np.random.default_rng(5).integers(0, 11, size=(2, 6))


def is_matrix(name):
    return name.endswith("weight") and "norm" not in name


@pytest.mark.parametrize("stored", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("policy", ["float32", "bfloat16"])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_file_gives_the_numbers_that_it_gives_on_the_cpu(tmp_path, stored, policy, transposed):
    transpose = is_matrix if transposed else ()
    weights.save(GPT(CONFIG).initialize(3), tmp_path, dtype=stored, transpose=transpose)
    models = [GPT(CONFIG), GPT(CONFIG)]
    for model, device in zip(models, ("cpu", "cuda"), strict=True):
        weights.load(model, tmp_path, transpose=transpose, policy=DtypePolicy.named(policy), device=device)
    here, there = (model.state_dict() for model in models)
    for name, array in here.items():
        np.testing.assert_array_equal(there[name], array, err_msg=name, strict=True)
    assert models[1].head.weight.dtype == DtypePolicy.named(policy).compute
    cupy.testing.assert_array_equal(models[1].head.weight.array, cupy.asarray(models[0].head.weight.array))


@pytest.mark.parametrize(("number", "narrow"), [(1e300, "float32"), (1e300, "bfloat16"), (1e6, "float16")])
def test_a_number_beyond_the_range_is_an_error_on_the_gpu_too(tmp_path, number, narrow):
    wide = GPT(CONFIG).initialize(3, DtypePolicy.uniform("float64"))
    wide.head.bias.array[-1] = number
    weights.save(wide, tmp_path)
    model = GPT(CONFIG).initialize(1, DtypePolicy.uniform(narrow), "cuda")
    before = model.state_dict()
    with pytest.raises(UserError, match=f"head.bias holds numbers too large for {narrow}$"):
        weights.load(model, tmp_path)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    on_gpu = cupy.asarray(wide.head.bias.array)
    wide.head.bias.array = np.zeros(11)
    wide.initialize(3, DtypePolicy.uniform("float64"), "cuda").head.bias.array = on_gpu
    with pytest.raises(UserError, match=r"head\.bias: holds numbers too large for "):
        weights.save(wide, tmp_path / "narrow", dtype=narrow)


@pytest.mark.parametrize("policy", ["float32", "bfloat16"])
def test_a_part_of_a_model_on_the_gpu_is_loaded(tmp_path, policy):
    source, model = (GPT(CONFIG).initialize(seed, DtypePolicy.named(policy), "cuda") for seed in (1, 2))
    model.blocks[0].ffn.freeze()
    weights.save(source.blocks[0], tmp_path)
    weights.load(model.blocks[0], tmp_path)
    expected = source.blocks[0].named_parameters()
    for name, parameter in model.blocks[0].named_parameters().items():
        cupy.testing.assert_array_equal(parameter.stored, expected[name].stored, name)
        cupy.testing.assert_array_equal(parameter.array, expected[name].array, name)


def test_an_array_of_numpy_is_not_assigned_to_a_frozen_parameter_on_the_gpu():
    model = GPT(CONFIG).initialize(3, device="cuda").freeze()
    model(IDS)
    model.head.bias.array = np.zeros(11, np.float32)
    with pytest.raises(ParameterError, match=r"^head\.bias was assigned a numpy\.ndarray; .* takes a cupy\.ndarray$"):
        model(IDS)


def test_a_model_on_the_gpu_is_saved_and_loaded_to_the_same_bits(tmp_path):
    model = GPT(CONFIG).initialize(3, device="cuda")
    ta.save(model, tmp_path, shard_bytes=3000)
    for device in ("cpu", "cuda", "auto"):
        loaded = ta.load(tmp_path, device=device)
        assert not loaded.flat.has_gradients
        np.testing.assert_array_equal(cupy.asnumpy(cupy.asarray(loaded.flat.values)), cupy.asnumpy(model.flat.values))
    half = ta.load(tmp_path, device="cuda", dtype="bfloat16")
    assert half.flat.working is half.flat.values
    assert half.flat.values.dtype.itemsize == 2
    assert half(IDS).shape == (2, 6, 11)


@pytest.mark.parametrize("policy", ["float32", "bfloat16"])
def test_frozen_parameters_stay_to_the_bit(policy):
    model = GPT(CONFIG).initialize(3, DtypePolicy.named(policy), "cuda")
    tokens = generate(model, IDS, 3)
    model.blocks[0].freeze()
    before = model.state_dict()
    np.testing.assert_array_equal(generate(model, IDS, 3), tokens)  # a graph of the arrays that are there now
    optimizer = AdamW(model.flat, weight_decay=0.5)
    for step in range(3):
        model.zero_gradients()
        out = model(IDS)
        out.backward(np.random.default_rng(step).normal(size=out.shape))
        optimizer.step(0.1)
    after = model.state_dict()
    for name in before:
        assert np.array_equal(before[name], after[name]) == name.startswith("blocks.0."), name
