"""Question 4 on the CPU: does the fast one agree with the reference? Both sets of passes, edge shapes, all outputs."""

import numpy as np
import pytest

from tinygrad_arith.autograd import functions as F
from tinygrad_arith.backend import DtypePolicy
from tinygrad_arith.cpu import linear, passes_numpy, rows
from tinygrad_arith.cpu.passes import LIBRARY
from tinygrad_arith.models import GPT, GPTConfig
from tinygrad_arith.nn import Linear
from tinygrad_arith.ops import OPERATIONS, chosen_table
from tinygrad_arith.ops.registry import Destination, choose, reference_only
from tinygrad_arith.ops.rotary_scaling import Llama3Scaling
from tinygrad_arith.optim import AdamW
from tinygrad_arith.verify import assert_close, randomize_parameters, tolerance

SAME = tolerance("reference", "float32")


@pytest.fixture
def rng():
    return np.random.default_rng(29)


def single(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def fast_pair(name, inputs, **options):
    """The forward and backward that the registry chooses for these; never the reference's."""
    operation = OPERATIONS[name]
    names = operation.forward.__code__.co_varnames
    with reference_only(False):
        forward, backward = choose(operation, dict(zip(names, inputs, strict=False)) | options)
    assert backward is not None, f"the reference's {name}"
    return forward, backward


def compare(name, inputs, rng, same=SAME, **options):
    """Output and gradients of the fast pair against the reference's on the same float32 numbers."""
    operation = OPERATIONS[name]
    forward, backward = fast_pair(name, inputs, **options)
    before = [value.copy() if isinstance(value, np.ndarray) else value for value in inputs]
    expected, cache = operation.forward(*inputs, **options)
    dy = single(rng, *np.shape(expected)) if np.shape(expected) else np.float32(1.37)
    gradients = operation.backward(dy, cache)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    out, fast_cache = forward(*inputs, **options)
    assert_close(np.asarray(out), np.asarray(expected), same, "out")
    for index, (mine, other) in enumerate(
        zip(backward(dy, fast_cache, needs=(True,) * len(gradients)), gradients, strict=True)
    ):
        assert_close(mine, other, same, f"{name}: gradient {index}")
    for value, original in zip(inputs, before, strict=True):
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, original, err_msg=f"{name} wrote to an input")


@pytest.mark.parametrize("positions", [1, 2, 31, 32, 33, 65, 127, 128, 129])
@pytest.mark.parametrize(("heads", "head_size"), [(1, 5), (3, 16), (2, 7)])
def test_packed_attention(passes, positions, heads, head_size, rng):
    compare("packed_attention", (single(rng, 2, positions, 3 * heads * head_size), heads), rng)


MASKS = {
    "none": lambda rng, batch, length: {},
    "key mask": lambda rng, batch, length: {"key_mask": rng.random((batch, length)) < 0.6},
    "of integers": lambda rng, batch, length: {"key_mask": rng.integers(0, 2, (batch, length))},
    "lengths": lambda rng, batch, length: {"lengths": rng.integers(0, length + 1, batch)},
    "nothing shown": lambda rng, batch, length: {"key_mask": np.zeros((batch, length), dtype=bool)},
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("heads", "kv_heads", "head_size"), [(3, 3, 5), (6, 2, 4), (4, 1, 7)])
@pytest.mark.parametrize("positions", [1, 7, 33, 130])
def test_packed_attention_with_groups_and_masks(passes, mask, causal, heads, kv_heads, head_size, positions, rng):
    qkv = single(rng, 3, positions, (heads + 2 * kv_heads) * head_size)
    options = {"kv_heads": kv_heads, "causal": causal} | MASKS[mask](rng, 3, positions)
    compare("packed_attention", (qkv, heads), rng, **options)


def test_packed_attention_with_large_scores(passes, rng):
    compare("packed_attention", (30 * single(rng, 2, 9, 24), 2), rng)


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 5, 64), (7, 33), (3, 4, 5, 6), (0, 5, 4)])
def test_layernorm(passes, shape, rng):
    compare("layernorm", (3 + 2 * single(rng, *shape), single(rng, shape[-1]), single(rng, shape[-1])), rng)


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 5, 64), (7, 33), (3, 4, 5, 6), (0, 5, 4)])
def test_rmsnorm(passes, shape, rng):
    compare("rmsnorm", (3 + 2 * single(rng, *shape), single(rng, shape[-1])), rng)


POSITIONS = {
    "in order": lambda rng, batch, length: np.arange(length),
    "of each row": lambda rng, batch, length: rng.integers(0, 2 * length, (batch, length)),
    "far apart": lambda rng, batch, length: rng.integers(-(10**6), 10**6, (batch, length)).astype(np.int32),
}


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("shape", [(1, 1, 1, 2), (2, 33, 3, 16), (3, 5, 4, 6), (2, 129, 2, 64)])
def test_rotary(passes, shape, positions, rng):
    compare("rotary", (single(rng, *shape), POSITIONS[positions](rng, *shape[:2])), rng)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize(("heads", "kv_heads", "head_size"), [(1, 1, 2), (4, 4, 24), (6, 2, 10), (3, 1, 64)])
def test_packed_rotary(passes, heads, kv_heads, head_size, positions, rng):
    qkv = single(rng, 3, 65, (heads + 2 * kv_heads) * head_size)
    compare("packed_rotary", (qkv, POSITIONS[positions](rng, 3, 65), heads), rng, kv_heads=kv_heads, base=500.0)


@pytest.mark.parametrize("dtype", ["int8", "int16", ">i2", "int32", "int64", "uint8", "uint16", "uint64"])
def test_rotary_positions_of_any_integers(passes, dtype, rng):
    """Their distance may be beyond what their dtype holds: 100 and -100 are 200 apart."""
    limits = np.iinfo(dtype)
    far = 20_000 if limits.bits <= 16 else 2_000
    low, high = max(limits.min, -far), min(limits.max, far)
    places = np.concatenate([np.arange(low, high + 1), [high] * 3])[None].astype(dtype)  # (1, T), as dense as may be
    compare("rotary", (single(rng, 1, places.size, 1, 4), places), rng)
    compare("packed_rotary", (single(rng, 1, places.size, 12), places, 1), rng)


@pytest.mark.parametrize("pairing", ["neighbours", "halves"])
@pytest.mark.parametrize(("head_size", "width"), [(10, None), (24, 8), (7, 4), (6, 2)])
def test_rotary_of_a_part_and_by_halves(passes, pairing, head_size, width, rng):
    if width is None and head_size % 2:
        return
    options = {"pairing": pairing, "width": width, "scaling": Llama3Scaling(8.0, original=64)}
    places = rng.integers(0, 900, (2, 5))
    compare("rotary", (single(rng, 2, 5, 3, head_size), places), rng, **options)
    compare("packed_rotary", (single(rng, 2, 5, 8 * head_size), places, 4), rng, kv_heads=2, **options)


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 5, 64), (7, 33), (0, 5, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(passes, shape, bias, rng):
    weight = single(rng, shape[-1], 9)
    compare("linear", (single(rng, *shape), weight, single(rng, 9)) if bias else (single(rng, *shape), weight), rng)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 5, 64), (0, 5, 4)])
def test_ffn(passes, activation, shape, rng):
    channels, hidden = shape[-1], 11
    weights = single(rng, channels, hidden), single(rng, hidden), single(rng, hidden, channels), single(rng, channels)
    compare("ffn", (single(rng, *shape), *weights, activation), rng)


@pytest.mark.parametrize("count", [4, 700])  # one block, several
@pytest.mark.parametrize("width", [2, 9])  # below and above that of x
@pytest.mark.parametrize(("name", "packed"), [("ffn", 5), ("gated_ffn", 10)])
def test_a_feed_forward_network_of_another_width(passes, name, packed, width, count, rng, monkeypatch):
    """What comes out has the second weight's width, not x's."""
    monkeypatch.setattr(rows, "BLOCK_ELEMENTS", 300)
    weights = single(rng, 6, packed), single(rng, packed), single(rng, 5, width), single(rng, width)
    compare(name, (single(rng, 2, count // 2, 6), *weights), rng)


BIASES = [(True, True), (False, False), (True, False), (False, True)]


@pytest.mark.parametrize("biases", BIASES)
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_ffn_without_biases(passes, activation, biases, rng):
    b1, b2 = (single(rng, size) if there else None for size, there in zip((11, 5), biases, strict=True))
    compare("ffn", (single(rng, 2, 3, 5), single(rng, 5, 11), b1, single(rng, 11, 5), b2, activation), rng)


@pytest.mark.parametrize("biases", BIASES)
@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 5, 64), (700, 5), (3, 4, 5, 6), (0, 5, 4)])
def test_gated_ffn(passes, shape, biases, rng, monkeypatch):
    monkeypatch.setattr(rows, "BLOCK_ELEMENTS", 300)
    channels, hidden = shape[-1], 11
    b1, b2 = (single(rng, n) if there else None for n, there in zip((2 * hidden, channels), biases, strict=True))
    w1, w2 = 3 * single(rng, channels, 2 * hidden), single(rng, hidden, channels)
    compare("gated_ffn", (single(rng, *shape), w1, b1, w2, b2), rng)


def test_gated_ffn_at_the_ends_of_the_range(passes):
    """The gate of numbers far from 0 is open or shut; NaN stays NaN."""
    x = np.array([[-3e38], [-1e3], [-90.0], [-87.0], [-20.0], [0.0], [90.0], [1e3]], np.float32)  # (N, 1)
    weights = np.ones((1, 2), np.float32), np.zeros(2, np.float32), np.ones((1, 1), np.float32), np.zeros(1, np.float32)
    forward, backward = fast_pair("gated_ffn", (x, *weights))
    y, cache = forward(x, *weights)
    assert (np.abs(y[:3]) < 1e-30).all()
    np.testing.assert_array_equal(y[6:], x[6:] * x[6:])
    (dx, *_) = backward(np.ones_like(y), cache, needs=(True,) * 5)
    assert np.isfinite(dx).all()
    assert np.isnan(forward(np.full((1, 1), np.nan, np.float32), *weights)[0]).all()


@pytest.mark.parametrize("shape", [(1, 1, 3), (4, 6, 5), (0, 5, 4)])
def test_embedding(passes, shape, rng):
    compare("embedding", (rng.integers(0, 5, shape[:-1]), single(rng, 5, shape[-1])), rng)


BASIC_INDICES = [
    2,
    -1,
    np.int64(3),
    None,
    Ellipsis,
    slice(1, None),
    slice(None, None, -2),
    slice(3, 1),
    (),
    (2, 1, 0),
    (slice(None), -1),
    (Ellipsis, None, 0),
    (None, 1, slice(None, 2), np.int32(1), None),
]
OTHER_INDICES = [
    [0, 2],
    np.array([3, 0, 3, 3]),
    np.array(1),
    (slice(None), np.array([1, 1])),
    np.arange(4) > 1,
    True,
    (Ellipsis, False),
    np.True_,
]


@pytest.mark.parametrize("index", BASIC_INDICES, ids=repr)
def test_a_basic_index_is_assigned(index, rng):
    compare("index", (single(rng, 4, 5, 3), index), rng)
    compare("index", (single(rng, 4, 5, 6)[:, ::-1, ::2], index), rng)


@pytest.mark.parametrize("index", OTHER_INDICES, ids=repr)
def test_any_other_index_is_added_by_the_reference(index, rng):
    operation = OPERATIONS["index"]
    with reference_only(False):
        assert choose(operation, {"x": single(rng, 4, 5, 3), "index": index}) == (operation.forward, None)


def test_index_in_float64_is_the_reference(rng):
    operation = OPERATIONS["index"]
    with reference_only(False):
        assert choose(operation, {"x": rng.normal(size=(4, 5)), "index": 0}) == (operation.forward, None)


@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_cross_entropy_sum(passes, scale, rng):
    compare("cross_entropy_sum", (scale * single(rng, 4, 6, 7), rng.integers(-1, 7, (4, 6))), rng)
    weighted = (single(rng, 4, 6, 7), rng.integers(-1, 7, (4, 6)), rng.random((4, 6)).astype(np.float32))
    compare("cross_entropy_sum", weighted, rng)


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("count", [1, 700])  # one block, several
@pytest.mark.parametrize("name", ["linear", "layernorm", "rmsnorm", "ffn", "gated_ffn", "embedding"])
def test_gradients_go_to_their_destinations(passes, name, count, add, rng, monkeypatch):
    """Into what is offered, added or not; beside those where nothing is offered."""
    monkeypatch.setattr(rows, "BLOCK_ELEMENTS", 300)
    x, bias, hidden = single(rng, count, 6), single(rng, 6), single(rng, 5)
    inputs = {
        "linear": (x, single(rng, 6, 6), bias),
        "layernorm": (x, single(rng, 6), bias),
        "rmsnorm": (x, bias),
        "ffn": (x, single(rng, 6, 5), hidden, single(rng, 5, 6), bias),
        "gated_ffn": (x, single(rng, 6, 10), single(rng, 10), single(rng, 5, 6), bias),
        "embedding": (rng.integers(0, 7, count), single(rng, 7, 6)),
    }[name]
    operation = OPERATIONS[name]
    expected, cache = operation.forward(*inputs)
    dy = single(rng, *expected.shape)
    wanted = operation.backward(dy, cache)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    forward, backward = fast_pair(name, inputs)
    _, cache = forward(*inputs)
    first = 0 if name == "embedding" else 1
    for offered in ([True] * len(wanted), [index % 2 == 0 for index in range(len(wanted))]):
        held = [single(rng, *gradient.shape) for gradient in wanted]
        into = [
            Destination(array.copy(), add) if use and index >= first else None
            for index, (array, use) in enumerate(zip(held, offered, strict=True))
        ]
        found = backward(dy, cache, needs=(True,) * len(wanted), into=into)
        for index, (mine, other) in enumerate(zip(found, wanted, strict=True)):
            if into[index] is not None:
                assert mine is into[index].array
                other = other + held[index] if add else other
            assert_close(mine, other, SAME, f"{name}: gradient {index}")


def test_strided_inputs_are_read_as_they_lie(passes, rng):
    wide = single(rng, 4, 6, 20)
    compare("layernorm", (wide[:, ::2, 3:10], single(rng, 7), single(rng, 7)), rng)
    compare("rmsnorm", (wide[:, ::2, 3:10], single(rng, 7)), rng)
    compare("rotary", (wide.reshape(4, 6, 5, 4)[:, ::-1, ::2], np.arange(6)), rng)
    compare("packed_rotary", (wide[:, ::2, :12], np.arange(3), 2), rng)
    compare("linear", (wide[:, ::-1, :8], single(rng, 8, 5), single(rng, 5)), rng)


def test_extremes_stay_what_they_are(passes):
    """NaN and infinity are not assumed away."""
    bias = np.zeros(3, dtype=np.float32)
    h = np.array([[np.nan, np.inf, -np.inf]], dtype=np.float32)
    passes.bias_relu(h, bias)
    np.testing.assert_array_equal(h, [[np.nan, np.inf, 0.0]])
    h, slope = np.array([[np.nan, 50.0, -50.0]], dtype=np.float32), np.empty((1, 3), dtype=np.float32)
    passes.bias_gelu(h, bias, slope)
    np.testing.assert_allclose(h, [[np.nan, 50.0, 0.0]])
    np.testing.assert_allclose(slope, [[np.nan, 1.0, 0.0]])


def test_adamw(passes):
    found = []
    for reference in (True, False):
        layer = Linear(130, 140).initialize(seed=2)
        optimizer, draws = AdamW(layer.flat, weight_decay=0.1), np.random.default_rng(1)
        with reference_only(reference):
            for step in range(3):
                layer.flat.gradients[:] = draws.normal(size=layer.flat.gradients.shape)
                optimizer.step(0.01 / (step + 1))
        found.append((layer.flat.values, optimizer.first_moment, optimizer.second_moment))
    for name, reference, mine in zip(("values", "first moment", "second moment"), *found, strict=True):
        assert_close(mine, reference, SAME, name)


def test_both_sets_of_passes_have_the_same_names():
    pytest.importorskip("numba", reason="Numba is not installed: pip install -e '.[fast]'")
    from tinygrad_arith.cpu import passes_numba

    names = {
        name for name, value in vars(passes_numpy).items() if getattr(value, "__module__", "") == passes_numpy.__name__
    }
    helpers = {"blocks", "row_means", "ones", "_bias_gelu"}
    assert names - helpers <= set(vars(passes_numba))


CONFIG = GPTConfig(vocabulary=7, context=9, d_model=12, layers=2, heads=3, activation="gelu")


def loss_and_gradients(dtype):
    model = GPT(CONFIG).initialize(seed=1, policy=DtypePolicy.uniform(dtype))
    randomize_parameters(model, seed=4)
    rng = np.random.default_rng(3)
    loss = F.cross_entropy_sum(model(rng.integers(0, 7, (4, 9))), rng.integers(-1, 7, (4, 9)))
    loss.backward()
    return loss.item(), {name: p.grad.copy() for name, p in model.named_parameters().items()}


def test_every_gradient_of_a_whole_gpt_through_the_fast_path(passes):
    """The float64 reference is proved by differences (tests/models); the float32 fast path must agree with it."""
    with reference_only():
        expected_loss, expected = loss_and_gradients("float64")
    loss, gradients = loss_and_gradients("float32")
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    for name, gradient in gradients.items():
        assert_close(gradient, expected[name], tolerance("module", "float32"), name, dtype=False)


def test_what_runs_is_chosen_by_dtype_and_the_reference_can_be_forced(rng):
    operation = OPERATIONS["linear"]
    arguments = {"x": single(rng, 2, 3), "weight": single(rng, 3, 4)}
    with reference_only(False):
        assert choose(operation, arguments)[0] is linear.linear_forward
        assert ("linear", "cpu", "float32", LIBRARY) in chosen_table()
        mixed = arguments | {"weight": arguments["weight"].astype(np.float64)}
        double = {name: value.astype(np.float64) for name, value in arguments.items()}
        for other in (mixed, double):
            assert choose(operation, other)[0] is operation.forward
    with reference_only():
        assert choose(operation, arguments)[0] is operation.forward
