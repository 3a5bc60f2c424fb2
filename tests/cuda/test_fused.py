"""The fused operations against the reference in float64 on the same numbers, all outputs in full, at edge shapes.

Memory that CuPy hands out is filled with NaN first; every run is repeated and must give the same bits.
"""

import cupy
import ml_dtypes
import numpy as np
import pytest

from tinygrad_arith.autograd import Tensor
from tinygrad_arith.backend import RandomKey, uniform
from tinygrad_arith.cuda import embedding, fused, order, passes
from tinygrad_arith.cuda.graph import GraphedFunction
from tinygrad_arith.ops import OPERATIONS
from tinygrad_arith.ops.registry import Destination, choose, reference_only
from tinygrad_arith.optim.adamw import ADAMW, Rates, adamw_update
from tinygrad_arith.verify import assert_close, tolerance

FLOAT32, BFLOAT16 = np.dtype(np.float32), np.dtype(ml_dtypes.bfloat16)
DTYPES = pytest.mark.parametrize("dtype", [FLOAT32, BFLOAT16], ids=str)
SAME = tolerance("reference", "float32", "cuda")
MATRICES = [(1, 1), (1, 3), (5, 8), (7, 33), (33, 128), (129, 48), (31, 768), (0, 5)]


@pytest.fixture
def rng():
    return np.random.default_rng(31)


@pytest.fixture(autouse=True)
def poisoned(monkeypatch):
    """New memory holds NaN, or the largest unsigned number."""
    plain = cupy.empty

    def empty(shape, dtype=float, **options):
        array = plain(shape, dtype, **options)
        array.view(f"i{array.dtype.itemsize}").fill(-1)  # all bits
        return array

    monkeypatch.setattr(cupy, "empty", empty)
    monkeypatch.setattr(cupy, "empty_like", lambda like, **options: empty(like.shape, like.dtype))


def draw(rng, shape, dtype=FLOAT32):
    """Normal numbers, rounded to the dtype."""
    return rng.normal(size=shape).astype(dtype)


def wide(value):
    return value.astype(np.float64) if isinstance(value, np.ndarray) and value.dtype.kind != "i" else value


def on_device(value):
    return cupy.asarray(value) if isinstance(value, np.ndarray) else value


def assert_near(actual, exact, name):
    """float32: the table's tolerance. bfloat16: no worse than twice the error of rounding the exact numbers once."""
    actual = cupy.asnumpy(actual)
    if actual.dtype != BFLOAT16:
        return assert_close(actual, exact, SAME, name, dtype=False)
    rounding = np.abs(exact.astype(BFLOAT16).astype(np.float64) - exact).max(initial=0.0)
    error = np.abs(actual.astype(np.float64) - exact)
    assert error.shape == exact.shape
    assert np.isfinite(error).all(), name
    assert error.max(initial=0.0) <= 2.0 * rounding + SAME.bound(exact).max(initial=0.0), name


def bits(*arrays):
    return [cupy.asnumpy(array).tobytes() for array in arrays]


def compare(name, inputs, rng, into=None, options=None):
    """Output and gradients of the fused pair against the float64 reference; twice, for equal bits.

    into: for each input None or (dtype, add): the gradient goes to such an array, which holds numbers already
    """
    operation, options = OPERATIONS[name], options or {}
    exact, cache = operation.forward(*map(wide, inputs), **{key: wide(value) for key, value in options.items()})
    exact = np.asarray(exact)
    dtype = next(value.dtype for value in inputs if isinstance(value, np.ndarray) and value.dtype.kind != "i")
    dy = draw(rng, exact.shape, dtype if exact.shape else FLOAT32)
    wanted = operation.backward(wide(dy), cache)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    into = into or (None,) * len(wanted)
    before = [
        None if spec is None else draw(rng, gradient.shape, spec[0])
        for spec, gradient in zip(into, wanted, strict=True)
    ]
    first = run(operation, inputs, options, dy, into, before)
    assert bits(*first) == bits(*run(operation, inputs, options, dy, into, before)), "other bits when repeated"
    out, *gradients = first
    assert out.dtype == (dtype if exact.shape else FLOAT32)
    assert_near(out, exact, "out")
    for index, (gradient, expected) in enumerate(zip(gradients, wanted, strict=True)):
        if before[index] is not None:
            assert gradient.dtype == before[index].dtype
            expected = expected + wide(before[index]) * into[index][1]
        assert_near(gradient, expected, f"{name}: gradient {index}")


def run(operation, inputs, options, dy, into, before):
    """One forward and backward on the device through the registry; nothing is written that is not to be."""
    arrays = [on_device(value) for value in inputs]
    originals = bits(*(array for array in arrays if isinstance(array, cupy.ndarray)))
    names = list(inspect_names(operation))[: len(arrays)]
    arguments = dict(zip(names, arrays, strict=True)) | {key: on_device(value) for key, value in options.items()}
    with reference_only(False):
        forward, backward = choose(operation, arguments)
    assert backward is not None, f"the reference's {operation.name}"
    out, cache = forward(**arguments)
    targets = [
        None if spec is None else Destination(cupy.asarray(array), spec[1])
        for spec, array in zip(into, before, strict=True)
    ]
    gradients = backward(on_device(dy), cache, needs=(True,) * len(into), into=targets)
    for target, gradient in zip(targets, gradients, strict=True):
        assert target is None or gradient is target.array
    assert bits(*(array for array in arrays if isinstance(array, cupy.ndarray))) == originals, "wrote to an input"
    return out, *gradients


def inspect_names(operation):
    code = operation.forward.__code__
    return code.co_varnames[: code.co_argcount]


# Passes in place


@DTYPES
@pytest.mark.parametrize("shape", MATRICES)
@pytest.mark.parametrize("offset", [0, 1])  # 1: the array starts at no multiple of 16 bytes
def test_passes_in_place(dtype, shape, offset, rng):
    h, other, bias = draw(rng, shape, dtype), draw(rng, shape, dtype), draw(rng, shape[1], dtype)
    x = wide(h) + wide(bias)
    gelu, cache = OPERATIONS["gelu"].forward(x)
    slope = OPERATIONS["gelu"].backward(np.ones_like(x), cache)
    of_other = OPERATIONS["gelu"].backward(np.ones_like(x), OPERATIONS["gelu"].forward(wide(other))[1])
    result, other_on_device = placed(np.zeros_like(h), offset), placed(other, offset)
    cases = {
        "add_bias": ((cupy.asarray(bias),), x),
        "bias_relu": ((cupy.asarray(bias),), np.maximum(x, 0.0)),
        "bias_gelu": ((cupy.asarray(bias), result), gelu),
        "relu_backward": ((other_on_device,), wide(h) * (wide(other) > 0)),
        "gelu_backward": ((other_on_device,), wide(h) * of_other),
        "multiply_by": ((other_on_device,), wide(h) * wide(other)),
    }
    for name, (arguments, expected) in cases.items():
        array = placed(h, offset)
        getattr(fused, name)(array, *arguments)
        assert_near(array, expected, name)
    assert_near(result, slope, "slope")


def placed(array, offset):
    """A copy on the device that starts `offset` elements behind a multiple of 16 bytes."""
    padded = np.zeros(array.size + offset, dtype=array.dtype)
    padded[offset:] = array.reshape(-1)
    return cupy.asarray(padded)[offset:].reshape(array.shape)


@DTYPES
def test_extremes_stay_what_they_are(dtype):
    bias = cupy.zeros(3, dtype=dtype)
    h = cupy.asarray(np.array([[np.nan, np.inf, -np.inf]], dtype=dtype))
    fused.bias_relu(h, bias)
    np.testing.assert_array_equal(h.get().astype(np.float32), [[np.nan, np.inf, 0.0]])
    for exact in (False, True):
        h, slope = cupy.asarray(np.array([[np.nan, 50.0, -50.0]], dtype=dtype)), cupy.zeros((1, 3), dtype=dtype)
        fused.bias_gelu(h, bias, slope, exact)
        np.testing.assert_array_equal(h.get().astype(np.float32), [[np.nan, 50.0, 0.0]])
        np.testing.assert_array_equal(slope.get().astype(np.float32), [[np.nan, 1.0, 0.0]])


SUMS = [*MATRICES, (2049, 48), (3001, 13), (4096, 7), (2100, 768), (300, 2051), (2, 40_000), (65, 8200)]


@DTYPES
@pytest.mark.parametrize("out_dtype", [FLOAT32, BFLOAT16], ids=str)
@pytest.mark.parametrize("shape", SUMS)
@pytest.mark.parametrize("stages", [1, 2])
def test_column_sum(dtype, out_dtype, shape, stages, rng, monkeypatch):
    if stages == 2:
        monkeypatch.setattr(passes, "FEW_ROWS", 0)
    dy, before = draw(rng, shape, dtype), draw(rng, shape[1], out_dtype)
    for add in (False, True):
        found = []
        for _ in range(2):
            out = cupy.asarray(before)
            fused.column_sum(cupy.asarray(dy), out, add)
            found.append(out)
        assert bits(found[0]) == bits(found[1])
        assert_near(found[0], wide(dy).sum(axis=0) + add * wide(before), f"add {add}")


# Operations


@DTYPES
@pytest.mark.parametrize("name", ["gelu", "silu", "relu"])
@pytest.mark.parametrize("shape", [(1,), (3,), (8,), (2, 5, 64), (7, 33), (0, 4), (129, 127)])
def test_activations(name, dtype, shape, rng):
    compare(name, (2 * draw(rng, shape, dtype),), rng)


@DTYPES
@pytest.mark.parametrize(
    ("shape", "other"),
    [((5,), (5,)), ((2, 3, 8), (2, 3, 8)), ((4, 3, 8), (3, 8)), ((6, 5, 7), (7,)), ((65, 128), (128,)), ((0, 4), (4,))],
)
def test_add(dtype, shape, other, rng):
    compare("add", (draw(rng, shape, dtype), draw(rng, other, dtype)), rng)


NORMED = [(1, 1, 3), (2, 5, 64), (7, 33), (3, 4, 5, 6), (0, 5, 4), (129, 48), (40, 128), (3, 768), (9, 1023)]
LONG_ROWS = [(17, 1024), (5, 1025), (3, 1600), (2, 8192), (3, 8191)]


@DTYPES
@pytest.mark.parametrize("shape", [*NORMED, *LONG_ROWS, (600, 32)])
def test_layernorm(dtype, shape, rng):
    inputs = (3 + 2 * draw(rng, shape, dtype)).astype(dtype), *draw(rng, (2, shape[-1]), dtype)
    compare("layernorm", inputs, rng)


@DTYPES
@pytest.mark.parametrize("into", [((FLOAT32, True), (FLOAT32, False)), ((FLOAT32, False), None)])
@pytest.mark.parametrize("shape", [(65, 48), (9, 3), (3, 1600)])
def test_layernorm_into_buffers(dtype, into, shape, rng):
    compare("layernorm", (draw(rng, shape, dtype), *draw(rng, (2, shape[-1]), dtype)), rng, into=(None, *into))


def test_layernorm_of_numbers_far_from_zero(rng):
    """The mean of the squares would lose all digits here."""
    compare("layernorm", (100 + draw(rng, (8, 64)), draw(rng, 64), draw(rng, 64)), rng)


@DTYPES
@pytest.mark.parametrize("shape", [*NORMED, *LONG_ROWS, (600, 32)])
def test_rmsnorm(dtype, shape, rng):
    inputs = (1 + 2 * draw(rng, shape, dtype)).astype(dtype), draw(rng, shape[-1], dtype)
    compare("rmsnorm", inputs, rng)


@DTYPES
@pytest.mark.parametrize("into", [(FLOAT32, True), (FLOAT32, False), (BFLOAT16, True), None], ids=str)
@pytest.mark.parametrize("shape", [(65, 48), (9, 3), (3, 1600)])
def test_rmsnorm_into_buffers(dtype, into, shape, rng):
    compare("rmsnorm", (draw(rng, shape, dtype), draw(rng, shape[-1], dtype)), rng, into=(None, into))


def test_rmsnorm_of_large_and_small_rows(rng):
    scales = np.array([1e-8, 1e-3, 1.0, 1e3, 1e8], dtype=np.float32)[:, None]
    for row in scales * draw(rng, (5, 64)):
        compare("rmsnorm", (row[None], draw(rng, 64)), rng)


POSITIONS = {
    "in order": lambda rng, batch, length: np.arange(length),
    "of each row": lambda rng, batch, length: rng.integers(0, 2 * length, (batch, length)).astype(np.int32),
    "far": lambda rng, batch, length: rng.integers(-(10**6), 10**6, (batch, length)),
}
each_positions = pytest.mark.parametrize("positions", POSITIONS)


@DTYPES
@each_positions
@pytest.mark.parametrize("shape", [(1, 1, 1, 2), (2, 33, 3, 16), (3, 65, 4, 6), (2, 129, 12, 64), (2, 31, 2, 20)])
def test_rotary(dtype, positions, shape, rng):
    places = POSITIONS[positions](rng, *shape[:2])
    compare("rotary", (draw(rng, shape, dtype), places), rng)


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint8", "uint32"])
def test_rotary_positions_of_any_integers(dtype, rng):
    places = np.arange(np.iinfo(dtype).min, np.iinfo(dtype).max, np.iinfo(dtype).max // 100).astype(dtype)[
        None
    ]  # (1, T)
    compare("rotary", (draw(rng, (1, places.size, 3, 8)), places), rng)


@DTYPES
@each_positions
@pytest.mark.parametrize(
    ("heads", "kv_heads", "head_size", "length"), [(1, 1, 2, 1), (4, 4, 24, 65), (6, 2, 10, 33), (12, 4, 64, 128)]
)
def test_packed_rotary(dtype, positions, heads, kv_heads, head_size, length, rng):
    qkv = draw(rng, (3, length, (heads + 2 * kv_heads) * head_size), dtype)
    places = POSITIONS[positions](rng, 3, length)
    compare("packed_rotary", (qkv, places, heads), rng, options={"kv_heads": kv_heads, "base": 500.0})


@DTYPES
@pytest.mark.parametrize("pairing", ["neighbours", "halves"])
@pytest.mark.parametrize(("head_size", "width"), [(64, None), (10, None), (96, 32), (24, 8), (10, 4), (6, 2)])
def test_rotary_of_a_part_and_by_halves(dtype, pairing, head_size, width, rng):
    options, places = {"pairing": pairing, "width": width}, rng.integers(0, 900, (2, 33))
    compare("rotary", (draw(rng, (2, 33, 3, head_size), dtype), places), rng, options=options)
    qkv = draw(rng, (2, 33, 8 * head_size), dtype)
    compare("packed_rotary", (qkv, places, 4), rng, options=options | {"kv_heads": 2})


@DTYPES
def test_rotary_copies_what_it_does_not_turn(dtype, rng):
    """The values of a packed projection, both ways, and everything at position 0: to the last bit."""
    qkv, still = draw(rng, (2, 5, 3 * 4 * 8), dtype), np.zeros(5, dtype=np.int64)
    out, backward = forward_of("packed_rotary", qkv=qkv, positions=np.arange(5), heads=4)
    (dqkv,) = backward(qkv)
    assert bits(out[..., 64:]) == bits(dqkv[..., 64:]) == bits(cupy.asarray(qkv)[..., 64:])
    assert bits(forward_of("packed_rotary", qkv=qkv, positions=still, heads=4)[0]) == bits(cupy.asarray(qkv))


@DTYPES
@pytest.mark.parametrize("vocabulary", [1, 2, 7, 14, 31, 33, 50, 127, 128, 129, 2047, 2048, 2049, 5003, 8192])
def test_cross_entropy_sum(dtype, vocabulary, rng):
    logits, targets = draw(rng, (3, 5, vocabulary), dtype), rng.integers(-1, vocabulary, (3, 5))
    compare("cross_entropy_sum", (logits, targets), rng)
    compare("cross_entropy_sum", ((30 * logits).astype(dtype), targets.astype(np.int32)), rng)
    weights = rng.random((3, 5)).astype(np.float32)
    compare("cross_entropy_sum", (logits, targets), rng, options={"weights": weights})


def test_cross_entropy_of_many_rows_and_of_none(rng):
    compare("cross_entropy_sum", (draw(rng, (3001, 14)), rng.integers(-1, 14, 3001)), rng)
    compare("cross_entropy_sum", (draw(rng, (0, 14)), rng.integers(-1, 14, 0)), rng)


@pytest.mark.parametrize("vocabulary", [9, 3000])
def test_cross_entropy_with_words_that_cannot_be(vocabulary, rng):
    """Logits of -infinity have probability 0 and gradient 0."""
    logits = draw(rng, (4, vocabulary))
    logits[:, 1:] = -np.inf
    logits[:, 3] = 1.0
    targets = np.array([0, 3, 0, -1])
    compare("cross_entropy_sum", (logits, targets), rng)


def forward_of(name, **arguments):
    """The output of the chosen forward, and its backward: `backward(dy, how many gradients)`."""
    arguments = {key: on_device(value) for key, value in arguments.items()}
    with reference_only(False):
        forward, backward = choose(OPERATIONS[name], arguments)
    out, cache = forward(**arguments)
    return out, lambda dy, count=1: backward(on_device(dy), cache, needs=(True,) * count)


TABLES = [(14, 48), (5, 3), (50, 128), (128, 33), (129, 33), (1000, 48), (300, 128), (260, 300)]


@DTYPES
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("count", [1, 31, 2049])
def test_embedding(dtype, table, count, rng):
    ids = rng.integers(0, table[0], (count, 1))
    for into in (None, ((FLOAT32, False),), ((FLOAT32, True),), ((BFLOAT16, True),)):
        compare("embedding", (ids, draw(rng, table, dtype)), rng, into=into)


@pytest.mark.parametrize("vocabulary", [7, 400])
def test_embedding_of_few_words_in_many_places(vocabulary, rng):
    ids = (rng.random((3, 1700)) ** 6 * vocabulary).astype(np.int32)  # most of them the same
    compare("embedding", (ids, draw(rng, (vocabulary, 20))), rng)
    compare("embedding", (np.full_like(ids, 3), draw(rng, (vocabulary, 20))), rng)
    compare("embedding", (ids[:0], draw(rng, (vocabulary, 20))), rng, into=((FLOAT32, False),))


def test_embedding_of_more_positions_than_one_launch_sums(rng):
    count = order.TILE * embedding.TILES + 100
    compare("embedding", (rng.integers(0, 200, count), draw(rng, (200, 4))), rng, into=((FLOAT32, True),))
    compare("embedding", (rng.integers(0, 200, count), draw(rng, (200, 4))), rng)


BASIC_INDICES = [
    2,
    np.int64(-1),
    None,
    slice(None, None, -2),
    slice(3, 1),
    (slice(None), -1),
    (Ellipsis, None, 0),
    (None, 1, slice(None, 2), np.int32(1), None),
]


@DTYPES
@pytest.mark.parametrize("index", BASIC_INDICES, ids=repr)
@pytest.mark.parametrize("shape", [(4, 5, 3), (33, 129, 31)])
def test_a_basic_index_is_assigned(dtype, index, shape, rng):
    compare("index", (draw(rng, shape, dtype), index), rng)


def gradient_of_index(x, index, dy):
    tensor = Tensor(x, requires_grad=True)
    tensor[index].backward(dy)
    return tensor.grad


@pytest.mark.parametrize(
    "index",
    [[0, 2], np.array([3, 0, 3, 3]), (np.array([0, 2, 2]), np.array([4, 1, 1])), (slice(None), np.array([1, 1]))],
    ids=repr,
)
def test_any_other_index_is_added_by_the_reference(index, rng):
    x, operation = draw(rng, (4, 5, 3)), OPERATIONS["index"]
    dy = draw(rng, x[index].shape)
    with reference_only(False):
        assert choose(operation, {"x": cupy.asarray(x), "index": index}) == (operation.forward, None)
        found = gradient_of_index(cupy.asarray(x), index, cupy.asarray(dy))
    assert_near(found, operation.backward(wide(dy), operation.forward(wide(x), index)[1]), "dx")


def test_an_index_on_the_device_is_not_basic(rng):
    x, operation = cupy.asarray(draw(rng, (4, 5, 3))), OPERATIONS["index"]
    for index in (cupy.asarray([3, 0]), cupy.asarray(1), x[..., 0] > 0):
        with reference_only(False):
            assert choose(operation, {"x": x, "index": index}) == (operation.forward, None)


def test_one_element_taken_by_its_place(rng):
    x = draw(rng, (4, 5, 3))
    expected = np.zeros_like(x)
    expected[2, -1, 0] = 1.37
    for reference in (False, True):
        with reference_only(reference):
            found = gradient_of_index(cupy.asarray(x), (2, -1, 0), cupy.asarray(np.float32(1.37)))
        np.testing.assert_array_equal(found.get(), expected)


def test_a_basic_index_stands_in_a_graph(rng):
    x, dy = cupy.asarray(draw(rng, (4, 5, 3))), cupy.asarray(draw(rng, (4, 3)))
    dx = cupy.zeros_like(x)

    def work():
        dx[...] = gradient_of_index(x, (slice(None), -1), dy)

    with reference_only(False):
        graphed = GraphedFunction(work)
        for _ in range(4):
            graphed()
            dy *= 2.0
    assert graphed.graph is not None, graphed.reason
    expected = np.zeros_like(x.get())
    expected[:, -1] = dy.get() / 2.0
    np.testing.assert_array_equal(dx.get(), expected)


@DTYPES
@pytest.mark.parametrize("shape", [(1,), (3,), (4,), (5,), (8,), (2, 31, 33), (1000, 128), (0, 3)])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_dropout_draws_the_mask_of_the_cpu(dtype, shape, rate, rng):
    key = RandomKey(seed=2**63 + 5, purpose="dropout", step=7, site=0xDEADBEEF)
    x, kept = draw(rng, shape, dtype), uniform(key, shape) >= rate
    y, backward = forward_of("dropout", x=x, rate=rate, key=key)
    (dx,) = backward(x)
    assert bits(y) == bits(dx)
    if dtype == FLOAT32:
        with reference_only():
            assert bits(y) == [OPERATIONS["dropout"].forward(x, rate, key)[0].tobytes()]
    assert_near(y, wide(x) * kept / (1.0 - rate), "y")
    np.testing.assert_array_equal((y.get() != 0) | (x == 0), kept | (x == 0))


def test_dropout_reads_the_step_on_the_device(rng):
    key, x = RandomKey(seed=3, purpose="dropout", step=41, site=9), draw(rng, (33, 7))
    expected, _ = forward_of("dropout", x=x, rate=0.4, key=key)
    for dtype in (np.uint32, np.int32, np.int64):
        there = key.at(step=cupy.asarray(np.array(41, dtype=dtype)))
        assert bits(forward_of("dropout", x=x, rate=0.4, key=there)[0]) == bits(expected)


# The optimizer

RATES = Rates(0.9, 0.95, 0.013, 1.7, 1e-8, 0.999, 0.37)


def exact_update(arrays, decayed):
    values, gradients, first, second = (array.astype(np.float64) for array in arrays)
    rates = Rates(*(float(np.float32(rate)) for rate in RATES))
    adamw_update(values, gradients, first, second, decayed, rates)
    return values, first, second


@pytest.mark.parametrize("size", [1, 3, 4, 32, 1023, 4096, 70_001])
@pytest.mark.parametrize("where", ["host", "device", "scale on the device"])
@pytest.mark.parametrize("copied", [False, True])
def test_adamw(size, where, copied, rng):
    arrays = [draw(rng, size) for _ in range(3)]
    arrays.append(rng.random(size).astype(np.float32))  # second moments are not negative
    decayed = size * 2 // 3
    rates = {
        "host": RATES,
        "device": cupy.asarray(np.array(RATES, dtype=np.float32)),
        "scale on the device": RATES._replace(gradient_scale=cupy.asarray(np.float32(RATES.gradient_scale))),
    }[where]
    found = []
    for _ in range(2):
        values, gradients, first, second = map(cupy.asarray, arrays)
        working = {"working": cupy.zeros(size, dtype=BFLOAT16)} if copied else {}
        names = {"values": values, "gradients": gradients, "first": first, "second": second}
        names |= {"decayed": decayed, "rates": rates}
        with reference_only(False):
            update, _ = choose(ADAMW, names)
        update(**names, **working)
        found.append([values, first, second, *working.values()])
    assert bits(*found[0]) == bits(*found[1])
    for name, mine, exact in zip(("values", "first", "second"), found[0], exact_update(arrays, decayed), strict=False):
        assert_near(mine, exact, name)
    if copied:
        assert bits(found[0][3]) == [found[0][0].get().astype(BFLOAT16).tobytes()]


def test_a_gradient_scale_of_nan_changes_nothing(rng):
    arrays = [cupy.asarray(np.abs(draw(rng, 37))) for _ in range(4)]
    working = cupy.zeros(37, dtype=BFLOAT16)
    before = bits(*arrays, working)
    for scale in (np.nan, cupy.asarray(np.float32(np.nan))):
        fused.adamw.adamw_update(*arrays, 20, RATES._replace(gradient_scale=scale), working)
    assert bits(*arrays, working) == before


@DTYPES
@pytest.mark.parametrize("size", [1, 5, 1024, 100_003, 3_000_000])
def test_norm_and_scale(dtype, size, rng):
    gradients = draw(rng, size, dtype)
    exact = np.sqrt((wide(gradients) ** 2).sum())
    for most in (0.0, 0.5 * exact, 2.0 * exact):
        norm, scale = fused.norm_and_scale(cupy.asarray(gradients), float(most))
        assert bits(norm, scale) == bits(*fused.norm_and_scale(cupy.asarray(gradients), float(most)))
        assert (norm.shape, scale.shape) == ((), ())
        assert_near(norm, exact, "norm")
        assert float(scale) == pytest.approx(0.5 if 0.0 < most < exact else 1.0, rel=SAME.relative)


def test_norm_of_what_is_not_finite():
    for value in (np.nan, np.inf):
        norm, scale = fused.norm_and_scale(cupy.asarray(np.array([1.0, value], dtype=np.float32)), 1.0)
        assert not np.isfinite(float(norm))
        assert np.isnan(float(scale)) or float(scale) == 0.0


def test_a_captured_step_replays_with_the_numbers_that_stand_in_device_memory(rng):
    """Every operation, twice in a graph's memory; then with another batch, other rates and another dropout step."""
    ids, targets = (cupy.asarray(rng.integers(0, 14, 300)) for _ in range(2))
    table, large = cupy.asarray(draw(rng, (14, 32))), cupy.asarray(draw(rng, (200, 32)))
    weight, bias = cupy.asarray(draw(rng, 32)), cupy.asarray(draw(rng, 32))
    flat = [cupy.asarray(np.abs(draw(rng, 640))) for _ in range(4)]
    rates, step = cupy.asarray(np.array(RATES, dtype=np.float32)), cupy.asarray(np.array(3, dtype=np.uint32))
    key, found = RandomKey(1, "dropout", step=step), []

    def work():
        y, embedding_backward = forward_of("embedding", ids=ids, table=table)
        z, large_backward = forward_of("embedding", ids=ids, table=large)
        x, _ = forward_of("add", a=y, b=z)
        normed, layernorm_backward = forward_of("layernorm", x=x, weight=weight, bias=bias)
        scaled, rmsnorm_backward = forward_of("rmsnorm", x=normed, weight=weight)
        packed = scaled.reshape(3, 100, 32)
        turned, rotary_backward = forward_of("packed_rotary", qkv=packed, positions=ids[:100], heads=2, kv_heads=1)
        activated, gelu_backward = forward_of("gelu", x=turned.reshape(300, 32))
        dropped, dropout_backward = forward_of("dropout", x=activated, rate=0.5, key=key)
        loss, loss_backward = forward_of("cross_entropy_sum", logits=dropped, targets=targets)
        (dturned,) = gelu_backward(*dropout_backward(*loss_backward(loss)))
        (dscaled,) = rotary_backward(dturned.reshape(3, 100, 32))
        dnormed, dscale = rmsnorm_backward(dscaled.reshape(300, 32), 2)
        dx, dweight, dbias = layernorm_backward(dnormed, 3)
        gradients = *embedding_backward(dx), *large_backward(dx)
        norm, scale = fused.norm_and_scale(gradients[0], 1.0)
        values = [array.copy() for array in flat]
        fused.adamw.adamw_update(*values, 600, [*[*rates][:6], scale])
        found[:] = [loss, dx, dweight, dbias, dscale, *gradients, norm, *values]

    memory, stream = cupy.cuda.MemoryPool(), cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.Device().synchronize()
    with stream, cupy.cuda.using_allocator(memory.malloc):
        work()
        found.clear()
        stream.begin_capture()
        work()
        graph, captured = stream.end_capture(), list(found)
        for change in (0, 1):
            rates *= 1.0 - 0.25 * change
            step += change
            targets[:10] = ids[:10]
            work()
            expected = bits(*found)
            graph.launch(stream)
            stream.synchronize()
            assert bits(*captured) == expected
