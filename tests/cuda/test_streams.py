"""Work on two streams: one gradient written from both; streams and devices of GEMM; graphs of weights that go."""

import cupy
import numpy as np
import pytest

from tinygrad_arith.autograd import Tensor
from tinygrad_arith.autograd import functions as F
from tinygrad_arith.cuda.decoding import decoder_of
from tinygrad_arith.cuda.gemm import GemmError, gemm, gemm_bias
from tinygrad_arith.cuda.graph import GraphedFunction
from tinygrad_arith.cuda.precision import float32_matmul_precision_as, set_float32_matmul_precision
from tinygrad_arith.cuda.side_stream import on_side_stream, using_side_stream
from tinygrad_arith.generation import generate
from tinygrad_arith.models import GPT, GPTConfig


@pytest.fixture(autouse=True)
def full_float32():
    with float32_matmul_precision_as("float32"):
        yield


# One gradient, two streams

SIZES = 40_000, 512  # rows and channels: the GEMM on the side stream takes long


def losses(x, w, bias):
    """Losses in which w or the bias is used by a linear layer and by something else, in either order."""
    linear = F.linear(x, w, bias).sum()
    square, twice = (w * w).sum(), F.linear(x[:64], w).sum()
    normed = F.layernorm(x[:64], bias, bias).sum()
    return {
        "the linear layer first": linear + square,
        "the linear layer last": square + linear,
        "a product, too": linear + twice + square,
        "a normalisation": linear + normed,
        "a normalisation first": normed + linear,
    }


@pytest.fixture(scope="module")
def numbers():
    rng = np.random.default_rng(3)
    rows, channels = SIZES
    shapes = (rows, channels), (channels, channels), (channels,)
    return [cupy.asarray(rng.normal(size=shape).astype(np.float32)) for shape in shapes]


def leaves_of(numbers):
    x, w, bias = numbers
    leaves = [Tensor(array, requires_grad=True) for array in (w, bias)]
    for leaf in leaves:
        leaf.grad, leaf.stale = cupy.full_like(leaf.array, 5.0), True
    return Tensor(x), leaves


@pytest.mark.parametrize("kind", ["the linear layer first", "the linear layer last", "a product, too"])
@pytest.mark.parametrize("graphed", [False, True])
def test_a_gradient_from_two_streams_is_that_from_one(kind, graphed, numbers):
    x, (w, bias) = leaves_of(numbers)
    losses(x, w, bias)[kind].backward()
    expected = [leaf.grad.get() for leaf in (w, bias)]

    x, (w, bias) = leaves_of(numbers)
    side = cupy.cuda.Stream(non_blocking=True)
    seen = [cupy.zeros_like(leaf.array) for leaf in (w, bias)]

    def step():
        for leaf in (w, bias):
            leaf.stale = True
        losses(x, w, bias)[kind].backward()
        for copy, leaf in zip(seen, (w, bias), strict=True):
            copy[...] = leaf.grad  # at once, on the first stream

    if graphed:
        run = GraphedFunction(step)
        for _ in range(4):
            run()
        assert run.graph is not None, run.reason
    else:
        with using_side_stream(side):
            step()
    for copy, right in zip(seen, expected, strict=True):
        np.testing.assert_array_equal(copy.get(), right)


@pytest.mark.parametrize("kind", ["a normalisation", "a normalisation first"])
def test_a_gradient_from_two_streams_by_another_kernel(kind, numbers):
    found = []
    for on_side in (False, True):
        x, (w, bias) = leaves_of(numbers)
        if on_side:
            with using_side_stream(cupy.cuda.Stream(non_blocking=True)):
                losses(x, w, bias)[kind].backward()
        else:
            losses(x, w, bias)[kind].backward()
        found.append(bias.grad.get())
    np.testing.assert_array_equal(*found)


def test_who_is_told_that_a_gradient_is_ready_finds_it_ready(numbers):
    x, (w, bias) = leaves_of(numbers)
    seen = {}
    with using_side_stream(cupy.cuda.Stream(non_blocking=True)):
        loss = F.linear(x, w, bias).sum()
        loss.backward(on_ready=lambda leaf: seen.__setitem__(id(leaf), leaf.grad.copy()))
    for leaf in (w, bias):
        np.testing.assert_array_equal(seen[id(leaf)].get(), leaf.grad.get())


def test_after_an_error_the_first_stream_waits_as_well(numbers):
    x, w, _ = numbers
    expected, out = gemm(x.T, x, cupy.empty_like(w)), cupy.zeros_like(w)

    def fail():
        with using_side_stream(cupy.cuda.Stream(non_blocking=True)):
            with on_side_stream(x, writes=(out,)):
                gemm(x.T, x, out)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    seen = out.copy()  # on the first stream
    np.testing.assert_array_equal(seen.get(), expected.get())


# GEMM: devices and workspace


def test_a_product_on_another_device_than_the_current_one_is_refused(monkeypatch):
    a = cupy.ones((4, 4), np.float32)
    monkeypatch.setattr(cupy.cuda.runtime, "getDevice", lambda: 1)
    message = r"lies on device 0, and the current device is 1; compute inside `with cupy.cuda.Device\(0\):`"
    with pytest.raises(GemmError, match=message):
        gemm(a, a, cupy.empty_like(a))
    with pytest.raises(GemmError, match=message):
        gemm_bias(a, a, cupy.empty_like(a), a[0])


def test_gemm_on_two_devices():
    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("needs two GPUs")
    found = []
    for device in (0, 1, 0):
        with cupy.cuda.Device(device):
            a = cupy.arange(4096, dtype=np.float32).reshape(64, 64)
            found.append(gemm(a, a, cupy.empty_like(a)).get())
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_the_workspace_of_gemm_is_given_back():
    pool = cupy.get_default_memory_pool()
    a, out = cupy.ones((64, 40_000), np.float32), cupy.empty((64, 64), np.float32)  # a long sum: cut into parts
    pool.free_all_blocks()
    before = pool.total_bytes()
    for _ in range(40):
        with cupy.cuda.Stream(non_blocking=True) as stream:
            gemm(a, a.T, out)
            stream.synchronize()
    np.testing.assert_array_equal(out.get(), 40_000.0)
    pool.free_all_blocks()
    assert pool.total_bytes() == before


# Decoders

CONFIG = GPTConfig(11, 20, d_model=32, heads=2, positions="sinusoidal")
PROMPTS = np.random.default_rng(0).integers(0, 11, size=(4, 5))


def written_as_on_the_cpu(model):
    here = GPT(model.config).initialize(device="cpu")
    here.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(generate(model, PROMPTS, 6), generate(here, PROMPTS, 6))


def test_a_decoder_is_made_anew_for_new_weights():
    model = GPT(CONFIG).initialize(seed=1, device="cuda")
    for _ in range(4):
        written_as_on_the_cpu(model)
    before = decoder_of(model, 4, 5, 6)
    assert before.run.graph is not None
    for seed in (2, 3):
        model.initialize(seed=seed, device="cuda")
        taken = cupy.full(model.flat.values.size, np.nan, np.float32)  # whoever would get the old weights' memory
        for _ in range(4):
            written_as_on_the_cpu(model)
        assert decoder_of(model, 4, 5, 6) is not before
        del taken


def test_a_decoder_stays_while_other_models_are_made():
    model = GPT(CONFIG).initialize(seed=1, device="cuda")
    before = decoder_of(model, 4, 5, 6)
    GPT(CONFIG)
    assert decoder_of(model, 4, 5, 6) is before


def as_a_list(model, blocks):
    model.blocks = blocks


def in_a_list(model, blocks):
    model.blocks[0] = blocks[0]


@pytest.mark.parametrize("put", [as_a_list, in_a_list])
def test_a_decoder_is_made_anew_for_another_module(put):
    model = GPT(CONFIG).initialize(seed=1, device="cuda")
    for _ in range(4):
        generate(model, PROMPTS, 6)
    other = GPT(CONFIG).initialize(seed=2, device="cuda")
    put(model, other.blocks)
    expected = [int(model(PROMPTS).array[row, -1].argmax()) for row in range(4)]
    np.testing.assert_array_equal(generate(model, PROMPTS, 6)[:, 0], expected)


def test_a_graph_is_captured_again_when_the_precision_changes():
    model = GPT(CONFIG).initialize(seed=1, device="cuda")
    for _ in range(4):
        generate(model, PROMPTS, 6)
    decoder = decoder_of(model, 4, 5, 6)
    exact = decoder.run.graph
    assert exact is not None
    set_float32_matmul_precision("tf32")
    for _ in range(3):
        generate(model, PROMPTS, 6)
    assert decoder_of(model, 4, 5, 6) is decoder
    assert decoder.run.graph not in (None, exact)


def test_the_decoders_of_a_model_share_their_memory():
    model = GPT(CONFIG).initialize(seed=1, device="cuda")
    decoders = [decoder_of(model, batch, 5, 6) for batch in (1, 2, 3)]
    assert len({id(decoder.run.memory) for decoder in decoders}) == 1
    assert len(decoders) == 3


def test_after_an_error_in_a_graphed_function_the_first_stream_waits(numbers):
    x, w, _ = numbers
    expected, out = gemm(x.T, x, cupy.empty_like(w)).get(), cupy.zeros_like(w)

    def work():
        gemm(x.T, x, out)
        raise KeyError

    run = GraphedFunction(work)
    for _ in range(3):
        out.fill(0)
        with pytest.raises(KeyError):
            run()
        np.testing.assert_array_equal(out.copy().get(), expected)  # copied on the first stream


def test_a_capture_that_failed_is_tried_again_when_a_setting_changes():
    out, calls = cupy.zeros(4, np.float32), []

    def work():
        calls.append(None)
        out[...] = 1.0
        if len(calls) == 3:
            raise ValueError("at the capture")

    run = GraphedFunction(work, warm_up=2)
    for _ in range(5):
        run()
    assert run.graph is None
    assert "at the capture" in run.reason
    with float32_matmul_precision_as("tf32"):
        for _ in range(2):
            run()
        assert run.graph is not None
        assert run.reason is None
    never = GraphedFunction(work, capture=False)
    for precision in ("float32", "tf32", "float32", "float32"):
        with float32_matmul_precision_as(precision):
            never()
    assert never.graph is None
    assert never.reason == "not asked for"
