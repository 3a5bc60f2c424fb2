"""Every attention kernel variant against the reference in float64: edge shapes, masks, groups, views, bits.

The bound is FlashAttention's: an error of at most twice (gradients: three times) that of a plain implementation in
the same precision, beside what the table allows for another order of summation.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import cupy
import numpy as np
import pytest

from tinygrad_arith.cuda import attention as attention_kernels
from tinygrad_arith.cuda.attention import BFLOAT16, FLOAT32, KERNEL_VARIANTS, kernel_variant, kernel_variants
from tinygrad_arith.ops import OPERATIONS, attention_backward, attention_forward
from tinygrad_arith.ops.attention import visible_keys
from tinygrad_arith.ops.registry import choose, chosen_table
from tinygrad_arith.verify import assert_close, tolerance

SAME = tolerance("reference", "float32", "cuda")
NOISE = 1e-12  # a float64 reference below this, relative to 1, is a zero
LENGTHS = (1, 2, 31, 32, 33, 65, 127, 128, 129)
ROUNDED = {"out": 2.0, "dq": 3.0, "dk": 3.0, "dv": 3.0}  # the error allowed, in errors of the plain implementation


@dataclass(frozen=True)
class Sizes:
    """What a case is drawn from. masked: some keys are hidden, for one sample all; packed: views of one projection."""

    queries: int = 33
    keys: int = 33
    batch: int = 2
    heads: int = 4
    kv_heads: int = 2
    head_size: int = 16
    causal: bool = True
    masked: bool = False
    packed: bool = False
    dtype: str = "float32"
    spread: float = 1.0  # of the numbers: scores grow with its square

    def shapes(self):
        """Of q, and of k and v."""
        of_q = (self.batch, self.queries, self.heads, self.head_size)
        return of_q, (self.batch, self.keys, self.kv_heads, self.head_size)

    def __str__(self):
        text = f"{self.batch}x{self.queries}x{self.keys}-heads{self.heads}x{self.kv_heads}-hs{self.head_size}"
        flags = [name for name in ("causal", "masked", "packed") if getattr(self, name)]
        return "-".join([self.dtype, text, *flags, f"x{self.spread:g}"])


class Inputs(NamedTuple):
    """A case on the host, rounded to the case's dtype."""

    q: np.ndarray  # (B, Tq, NH, HS)
    k: np.ndarray  # (B, Tk, NHkv, HS)
    v: np.ndarray  # (B, Tk, NHkv, HS)
    dy: np.ndarray  # (B, Tq, NH, HS)
    key_mask: np.ndarray | None  # (B, Tk)


def draw(sizes: Sizes, seed=7) -> Inputs:
    """Random numbers; where keys are masked, sample 0 sees nothing and sample 1 has a hole."""
    rng, dtype = np.random.default_rng(seed), BFLOAT16 if sizes.dtype == "bfloat16" else FLOAT32
    of_q, of_k = sizes.shapes()
    q, k, v = (sizes.spread * rng.normal(size=shape) for shape in (of_q, of_k, of_k))
    key_mask = rng.random(of_k[:2]) < 0.7  # (B, Tk)
    key_mask[0] = False
    arrays = (x.astype(np.float32).astype(dtype) for x in (q, k, v, rng.normal(size=of_q)))
    return Inputs(*arrays, key_mask if sizes.masked else None)


def on_device(inputs: Inputs, packed: bool):
    """q, k and v as arrays of their own, or as views of one; dy; the mask."""
    q, k, v, dy, key_mask = (None if x is None else cupy.asarray(x) for x in inputs)
    if packed:
        qkv = cupy.asarray(np.concatenate(inputs[:3], axis=2))  # (B, T, NH + 2 NHkv, HS)
        q, k, v = parts(qkv, inputs)
    return q, k, v, dy, key_mask


def parts(packed, inputs: Inputs):
    """Views of the three parts of an array (B, T, NH + 2 NHkv, HS)."""
    heads, kv_heads = inputs.q.shape[2], inputs.k.shape[2]
    return packed[:, :, :heads], packed[:, :, heads : heads + kv_heads], packed[:, :, heads + kv_heads :]


def poisoned(shape, dtype):
    """An array of NaN: who leaves a number unwritten is found out."""
    return cupy.asarray(np.full(shape, np.nan, dtype))


def problem_of(sizes: Sizes, q, k, key_mask):
    return attention_kernels.problem_of(q, k, causal=sizes.causal, key_mask=key_mask)


def run(which, sizes: Sizes, inputs: Inputs) -> dict[str, np.ndarray]:
    """out, lse and the gradients by a kernel variant, on the host."""
    q, k, v, dy, key_mask = on_device(inputs, sizes.packed)
    problem = problem_of(sizes, q, k, key_mask)
    out = poisoned(inputs.q.shape, inputs.q.dtype)
    lse = poisoned((sizes.batch, sizes.heads, sizes.queries), np.float32)
    which.forward(problem, q, k, v, out, lse)
    if sizes.packed:
        parts_shape = (sizes.batch, sizes.queries, sizes.heads + 2 * sizes.kv_heads, sizes.head_size)
        gradients = parts(poisoned(parts_shape, inputs.q.dtype), inputs)
    else:
        gradients = [poisoned(x.shape, x.dtype) for x in inputs[:3]]
    which.backward(problem, dy, q, k, v, out, lse, *gradients)
    dq, dk, dv = (x.get() for x in gradients)
    return {"out": out.get(), "lse": lse.get(), "dq": dq, "dk": dk, "dv": dv}


def reference(sizes: Sizes, inputs: Inputs, dtype) -> dict[str, np.ndarray]:
    """The same by the reference, on the host in a dtype."""
    q, k, v, dy = (x.astype(dtype) for x in inputs[:4])
    out, cache = attention_forward(q, k, v, causal=sizes.causal, key_mask=inputs.key_mask)
    dq, dk, dv = attention_backward(dy, cache)
    return {"out": out, "dq": dq, "dk": dk, "dv": dv}


def log_sum_exp(sizes: Sizes, inputs: Inputs) -> np.ndarray:  # (B, NH, Tq) float64
    q, k = inputs.q.astype(np.float64), inputs.k.astype(np.float64)
    group = sizes.heads // sizes.kv_heads
    scores = np.einsum("bihc,bjhc->bhij", q, np.repeat(k, group, axis=2)) / np.sqrt(sizes.head_size)  # (B, NH, Tq, Tk)
    visible = visible_keys(q, k, causal=sizes.causal, key_mask=inputs.key_mask, lengths=None)
    scores = scores if visible is None else np.where(visible.reshape(-1, 1, *visible.shape[-2:]), scores, -np.inf)
    largest = scores.max(axis=-1, initial=-1e30)  # (B, NH, Tq)
    with np.errstate(divide="ignore"):
        return largest + np.log(np.exp(scores - largest[..., None]).sum(axis=-1))


def plain_bfloat16(sizes: Sizes, inputs: Inputs) -> dict[str, np.ndarray]:
    """The reference with every array rounded to bfloat16, as an unfused model computes it."""

    def rounded(x):
        return x.astype(BFLOAT16).astype(np.float32)

    q, k, v, dy = (x.astype(np.float32) for x in inputs[:4])
    group, scale = sizes.heads // sizes.kv_heads, 1 / np.sqrt(sizes.head_size)
    q, dy = (x.transpose(0, 2, 1, 3) for x in (q, dy))  # (B, NH, Tq, HS)
    k, v = (np.repeat(x, group, axis=2).transpose(0, 2, 1, 3) for x in (k, v))  # (B, NH, Tk, HS)
    scores = rounded(rounded(q @ k.swapaxes(-1, -2)) * scale)  # (B, NH, Tq, Tk)
    visible = visible_keys(*inputs[:2], causal=sizes.causal, key_mask=inputs.key_mask, lengths=None)
    if visible is not None:
        scores = np.where(visible.reshape(-1, 1, *visible.shape[-2:]), scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True, initial=-1e30))
    p = rounded(weights / np.maximum(weights.sum(axis=-1, keepdims=True), 1e-30))
    dp = rounded(dy @ v.swapaxes(-1, -2))
    ds = rounded(rounded(p * (dp - (p * dp).sum(axis=-1, keepdims=True))) * scale)
    results = {"out": p @ v, "dq": ds @ k, "dk": ds.swapaxes(-1, -2) @ q, "dv": p.swapaxes(-1, -2) @ dy}
    for name in ("dk", "dv"):
        by_group = rounded(results[name]).reshape(sizes.batch, sizes.kv_heads, group, sizes.keys, -1)
        results[name] = by_group.sum(axis=2)
    return {name: rounded(x).transpose(0, 2, 1, 3) for name, x in results.items()}


def assert_right(results, sizes: Sizes, inputs: Inputs, names=tuple(ROUNDED)):
    """Every number finite and within the bound."""
    expected = reference(sizes, inputs, np.float64)
    plain = plain_bfloat16(sizes, inputs) if sizes.dtype == "bfloat16" else reference(sizes, inputs, np.float32)
    for name in names:
        true, actual = expected[name], results[name]
        assert actual.shape == true.shape
        assert actual.dtype == inputs.q.dtype
        actual = actual.astype(np.float64)
        assert np.isfinite(actual).all(), f"{name}: {int((~np.isfinite(actual)).sum())} numbers are NaN or infinite"
        allowed = ROUNDED[name] * np.abs(plain[name] - true).max() + SAME.largest * max(np.abs(true).max(), 1.0)
        error = np.abs(actual - true)
        worst = tuple(map(int, np.unravel_index(error.argmax(), error.shape)))
        message = f"{name}: error {error.max():.3g} at {worst} of {true.shape}, allowed {allowed:.3g}"
        assert error.max() <= allowed, message
    if "lse" in results:
        assert_same_lse(results["lse"], log_sum_exp(sizes, inputs))


def assert_same_lse(actual, expected):
    """-inf in the same places; the rest by the table."""
    nothing_seen = np.isneginf(actual)
    np.testing.assert_array_equal(nothing_seen, expected < -1e29, err_msg="lse of queries that see nothing")
    assert_close(np.where(nothing_seen, 0, actual), np.where(nothing_seen, 0, expected), SAME, "lse", dtype=False)


def with_rungs(cases):
    """Each case with each kernel variant that takes it."""
    return [pytest.param(name, sizes, id=f"{name}-{sizes}") for sizes in cases for name in names_of_variants(sizes)]


def names_of_variants(sizes: Sizes):
    of_q, of_k = sizes.shapes()
    dtype = BFLOAT16 if sizes.dtype == "bfloat16" else FLOAT32
    q, k = (np.broadcast_to(np.zeros((), dtype), shape) for shape in (of_q, of_k))
    return [found.name for found in kernel_variants(problem_of(sizes, q, k, True if sizes.masked else None))]


def both_dtypes(cases):
    return [replace(sizes, dtype=dtype) for sizes in cases for dtype in ("float32", "bfloat16")]


def both_masks(cases):
    return [replace(sizes, causal=causal) for sizes in cases for causal in (True, False)]


SQUARE = both_masks(both_dtypes([Sizes(queries=t, keys=t, packed=True) for t in LENGTHS]))
FEW_QUERIES = both_masks(both_dtypes([Sizes(queries=i, keys=j) for i, j in ((1, 40), (5, 64), (31, 129), (65, 127))]))
MANY_QUERIES = both_dtypes([Sizes(queries=i, keys=j, causal=False) for i, j in ((40, 1), (64, 5), (129, 33))])
HEADS = both_dtypes([Sizes(48, 48, 1, nh, kv) for nh, kv in ((1, 1), (3, 3), (6, 1), (6, 2))])
HEAD_SIZES = both_dtypes([Sizes(37, 37, 2, 2, 1, size, packed=True) for size in (5, 24, 32, 48, 64, 96, 128, 160)])
LONG_HEADS = both_dtypes([Sizes(100, 100, 1, 2, 2, size) for size in (24, 64, 128)])
MASKED = both_masks(both_dtypes([Sizes(t, t, batch=3, masked=True) for t in (19, 33, 129)]))
LARGE = both_dtypes([Sizes(t, t, spread=6.0, head_size=64) for t in (33, 100)])
ALL = SQUARE + FEW_QUERIES + MANY_QUERIES + HEADS + HEAD_SIZES + LONG_HEADS + MASKED + LARGE
PACKED = both_dtypes([Sizes(), Sizes(130, 130, head_size=20), Sizes(19, 19, head_size=12)])


@pytest.mark.parametrize(("name", "sizes"), with_rungs(ALL))
def test_agrees_with_the_reference(name, sizes):
    inputs = draw(sizes)
    assert_right(run(kernel_variant(name), sizes, inputs), sizes, inputs)


def test_hidden_keys_get_no_gradient_and_blind_queries_give_none():
    sizes = Sizes(causal=False, masked=True)
    inputs = draw(sizes)
    for name in names_of_variants(sizes):
        results = run(kernel_variant(name), sizes, inputs)
        for gradient in ("dk", "dv"):
            assert not results[gradient][~inputs.key_mask].any(), (name, gradient)
        assert not results["dq"][0].any(), name
        assert not results["out"][0].any(), name


@pytest.mark.parametrize(("name", "sizes"), with_rungs(both_dtypes([Sizes(t, t, masked=True) for t in (48, 129)])))
def test_the_same_bits_every_time(name, sizes):
    inputs = draw(sizes)
    first = run(kernel_variant(name), sizes, inputs)
    for _ in range(3):
        for what, again in run(kernel_variant(name), sizes, inputs).items():
            assert again.tobytes() == first[what].tobytes(), what


def test_every_rung_was_tested():
    tested = {name for sizes in ALL for name in names_of_variants(sizes)}
    assert tested == set(KERNEL_VARIANTS)


def through_operation(name, arguments, dy):
    """The output and the gradients by what the registry chooses, and its name."""
    operation = OPERATIONS[name]
    forward, backward = choose(operation, arguments)
    out, cache = forward(**arguments)
    gradients = backward(dy.reshape(out.shape), cache, needs=(True,) * len(operation.inputs))
    chosen = {row[0]: row[3] for row in chosen_table() if row[1:3] == ("cuda", out.dtype.name)}
    return out, gradients, chosen[name]


@pytest.mark.parametrize("least_padded_keys", [1, 128])
@pytest.mark.parametrize("sizes", PACKED, ids=str)
def test_operations_read_a_packed_projection_and_write_a_packed_gradient(sizes, least_padded_keys, monkeypatch):
    monkeypatch.setattr(attention_kernels, "LEAST_PADDED_KEYS", least_padded_keys)
    inputs = draw(sizes)
    qkv = cupy.asarray(np.concatenate(inputs[:3], axis=2).reshape(sizes.batch, sizes.queries, -1))
    arguments = {"qkv": qkv, "heads": sizes.heads, "kv_heads": sizes.kv_heads}
    out, (dqkv,), chosen = through_operation("packed_attention", arguments, cupy.asarray(inputs.dy))
    assert chosen in KERNEL_VARIANTS
    assert dqkv.shape == qkv.shape
    shaped = dqkv.get().reshape(sizes.batch, sizes.queries, -1, sizes.head_size)
    dq, dk, dv = parts(shaped, inputs)
    results = {"out": out.get().reshape(inputs.q.shape), "dq": dq, "dk": dk, "dv": dv}
    assert_right(results, sizes, inputs)


@pytest.mark.parametrize("head_size", [6, 16, 40])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_operations_take_views_that_lie_badly(dtype, head_size):
    """Bases off by one element, reversed positions, heads before positions: copied, or read as they lie."""
    sizes = Sizes(70, 70, 2, 2, 2, head_size, dtype=dtype)
    inputs = draw(sizes)
    q, k, v, dy, _ = on_device(inputs, packed=False)
    wide = cupy.asarray(np.zeros((*inputs.q.shape[:3], head_size + 1), inputs.q.dtype))
    wide[..., 1:] = q
    reversed_k = cupy.array(k[:, ::-1], order="C")[:, ::-1]
    heads_first_v = cupy.array(v.transpose(0, 2, 1, 3), order="C").transpose(0, 2, 1, 3)
    arguments = {"q": wide[..., 1:], "k": reversed_k, "v": heads_first_v}
    out, gradients, _ = through_operation("attention", arguments, dy)
    results = dict(zip(("dq", "dk", "dv"), (x.get() for x in gradients), strict=True), out=out.get())
    assert_right(results, sizes, inputs)


def test_lengths_are_a_mask():
    sizes = Sizes(batch=3, causal=False)
    inputs, lengths = draw(sizes), np.array([5, 33, 1])
    inputs = inputs._replace(key_mask=np.arange(sizes.keys) < lengths[:, None])
    q, k, v, dy, _ = on_device(inputs, packed=False)
    arguments = {"q": q, "k": k, "v": v, "causal": False, "lengths": cupy.asarray(lengths)}
    out, gradients, _ = through_operation("attention", arguments, dy)
    results = dict(zip(("dq", "dk", "dv"), (x.get() for x in gradients), strict=True), out=out.get())
    assert_right(results, replace(sizes, masked=True), inputs)


def test_an_own_scale():
    sizes = Sizes(kv_heads=4)
    inputs = draw(sizes)
    q, k, v, dy, _ = on_device(inputs, packed=False)
    expected, cache = attention_forward(*(x.astype(np.float64) for x in inputs[:3]), scale=0.7)
    expected_gradients = attention_backward(inputs.dy.astype(np.float64), cache)
    out, gradients, _ = through_operation("attention", {"q": q, "k": k, "v": v, "scale": 0.7}, dy)
    for name, mine, true in zip(("out", *ROUNDED), (out, *gradients), (expected, *expected_gradients), strict=False):
        assert_close(mine.get(), true, SAME, name, dtype=False)


def test_empty_arrays_are_left_to_the_reference():
    q = cupy.asarray(np.zeros((0, 5, 2, 16), np.float32))
    assert choose(OPERATIONS["attention"], {"q": q, "k": q, "v": q})[0] is OPERATIONS["attention"].forward


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_long_sequences_need_no_square_array(dtype):
    """16,384 positions: some rows of out and dq against the reference's formulas for these rows."""
    positions = 16384
    sizes = Sizes(positions, positions, 1, 1, 1, 64, dtype=dtype)
    inputs, rows = draw(sizes), np.array([0, 1, 63, 64, 5000, positions - 1])
    q, k, v, dy = (x[0, :, 0].astype(np.float64) for x in inputs[:4])  # (T, HS)
    scores = np.where(np.arange(positions) <= rows[:, None], q[rows] @ k.T / 8, -np.inf)  # (rows, T)
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    dp = dy[rows] @ v.T  # (rows, T)
    expected = {"out": p @ v, "dq": p * (dp - (p * dp).sum(axis=1, keepdims=True)) @ k / 8}
    for name in names_of_variants(sizes):
        if name == "naive":
            continue  # minutes
        results = run(kernel_variant(name), sizes, inputs)
        for what, true in expected.items():
            mine = results[what][0, rows, 0].astype(np.float64)
            assert_close(mine, true, tolerance("reference", dtype, "cuda"), f"{name}: {what}")
