"""Whole models on the GPU: loss and gradients of the CPU, the same bits from a graph, generation."""

import cupy
import numpy as np
import pytest

from tinygrad_arith.autograd import functions as F
from tinygrad_arith.backend import RandomKey
from tinygrad_arith.cuda.graph import GraphedFunction
from tinygrad_arith.cuda.precision import float32_matmul_precision_as
from tinygrad_arith.generation import generate
from tinygrad_arith.gradcheck_suite.subjects import MODELS
from tinygrad_arith.models import GPT, GPTConfig, attention_maps
from tinygrad_arith.reproductions import WindowModel

GENERATING = {
    "learned": GPTConfig(11, 20, d_model=32, heads=2, position_count=40),
    "sinusoidal": GPTConfig(11, 20, d_model=32, heads=2, positions="sinusoidal"),
    "rotary, rmsnorm": GPTConfig(11, 20, d_model=32, heads=2, positions="rotary", normalization="rmsnorm"),
    "none": GPTConfig(11, 20, d_model=32, heads=2, positions="none", normalization="none"),
}


@pytest.fixture(autouse=True)
def full_float32():
    with float32_matmul_precision_as("float32"):
        yield


def batch():
    rng = np.random.default_rng(1)
    ids, targets = rng.integers(0, 5, size=(2, 6, 7))
    return ids, targets, np.arange(7) < np.array([7, 5, 2, 7, 3, 6])[:, None]


def loss_of(model, ids, targets, key_mask, key):
    logits = model(ids, key_mask=key_mask, dropout_key=key)
    return F.cross_entropy_sum(logits, targets[:, -logits.shape[1] :])


@pytest.mark.parametrize("name", MODELS)
def test_loss_and_gradients_are_those_of_the_cpu(name):
    key = RandomKey(3, "dropout")
    results = []
    for device in ("cpu", "cuda"):
        model = MODELS[name]().initialize(seed=1, device=device)
        rows = [cupy.asarray(array) if device == "cuda" else array for array in batch()]
        loss = loss_of(model, *rows, key)
        loss.backward(1.0)
        results.append((loss.item(), cupy.asnumpy(model.flat.gradients)))
    (here, gradients), (there, gradients_there) = results
    assert there == pytest.approx(here, rel=1e-5)
    np.testing.assert_allclose(gradients_there, gradients, rtol=1e-3, atol=1e-5 * np.abs(gradients).max())


@pytest.mark.parametrize("name", MODELS)
def test_forward_and_backward_become_one_graph_with_the_same_bits(name):
    model = MODELS[name]().initialize(seed=1, device="cuda")
    ids, targets, key_mask = map(cupy.asarray, batch())
    key = RandomKey(3, "dropout", cupy.zeros((), np.uint32))

    def step():
        model.zero_gradients()
        loss_of(model, ids, targets, key_mask, key).backward(cupy.ones((), np.float32))

    step()
    expected = model.flat.gradients.get()
    graphed = GraphedFunction(step)
    for _ in range(4):
        graphed()
    assert graphed.reason is None
    assert graphed.graph is not None
    np.testing.assert_array_equal(model.flat.gradients.get(), expected)


@pytest.mark.parametrize("name", GENERATING)
@pytest.mark.parametrize("given", ["positions", "key_mask", "both"])
def test_generation_takes_positions_and_masks_given_by_the_task(name, given):
    here, there = (GPT(GENERATING[name]).initialize(seed=5, device=device) for device in ("cpu", "cuda"))
    for attempt in range(4):  # as it is, then as a graph; other positions at each call
        rng = np.random.default_rng(attempt)
        prompts, options = rng.integers(0, 11, size=(5, 6)), {}
        if given != "key_mask":
            options["positions"] = rng.integers(0, 40, size=(5, 14))
        if given != "positions":
            options["key_mask"] = np.arange(14) >= rng.integers(0, 5, size=(5, 1))
        written = generate(there, prompts, 9, **options)
        np.testing.assert_array_equal(written, generate(here, prompts, 9, **options))


@pytest.mark.parametrize("name", [name for name in MODELS if name.startswith("window")])
def test_windows_are_written_as_on_the_cpu(name):
    prompts = np.random.default_rng(1).integers(1, 5, size=(4, 3))
    here, there = (MODELS[name]().initialize(seed=5, device=device) for device in ("cpu", "cuda"))
    assert isinstance(there, WindowModel)
    np.testing.assert_array_equal(generate(there, prompts, 4), generate(here, prompts, 4))


@pytest.mark.parametrize("name", ["gpt-grouped-tied", "gpt-rotary-rmsnorm", "window-gpt"])
def test_attention_maps_are_those_of_the_cpu(name):
    ids = batch()[0]
    here, there = (attention_maps(MODELS[name]().initialize(seed=5, device=device), ids) for device in ("cpu", "cuda"))
    for one, other in zip(here, there, strict=True):
        np.testing.assert_allclose(other, one, atol=1e-5)


def test_generation_takes_arrays_on_the_gpu():
    rng = np.random.default_rng(0)
    prompts, positions = rng.integers(0, 11, size=(4, 5)), np.arange(10)[None] + np.arange(4)[:, None]
    key_mask = rng.random((4, 10)) < 0.7
    key_mask[:, 0] = True
    model = GPT(GENERATING["sinusoidal"]).initialize(seed=1, device="cuda")
    for temperature in (0.0, 1.0):
        options = {"temperature": temperature, "key": RandomKey(1, "sample")}
        expected = generate(model, prompts, 6, positions=positions, key_mask=key_mask, **options)
        there = {"positions": cupy.asarray(positions), "key_mask": cupy.asarray(key_mask)}
        found = generate(model, cupy.asarray(prompts), 6, **there, **options)
        assert isinstance(found, np.ndarray)
        np.testing.assert_array_equal(found, expected)
