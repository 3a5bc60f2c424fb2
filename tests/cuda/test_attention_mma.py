"""The mma kernel variant where it is special: edges of its tiles, every table entry, both ways to dq, raised maxima."""

import cupy
import numpy as np
import pytest
from test_attention import Sizes, assert_right, draw, on_device, parts, poisoned, problem_of, run

from tinygrad_arith.cuda import attention_mma as mma
from tinygrad_arith.cuda.attention import LEAST_SHARED

ATOMIC = mma.VARIANT._replace(
    forward=lambda problem, *arrays: mma.forward(problem._replace(deterministic=False), *arrays),
    backward=lambda problem, *arrays: mma.backward(problem._replace(deterministic=False), *arrays),
)
WAYS = {"recompute": mma.VARIANT, "atomic": ATOMIC}
HEAD_SIZES = (8, 16, 24, 32, 40, 48, 64, 72, 96, 104, 128)  # every row of the tables, filled and not
both_ways = pytest.mark.parametrize("way", WAYS)


def case(queries, keys, head_size=64, **more):
    return Sizes(
        queries, keys, **{"batch": 1, "heads": 2, "kv_heads": 1, **more}, head_size=head_size, dtype="bfloat16"
    )


def check(way, sizes, seed=7):
    inputs = draw(sizes, seed)
    assert_right(run(WAYS[way], sizes, inputs), sizes, inputs)


@both_ways
@pytest.mark.parametrize("head_size", HEAD_SIZES)
def test_every_head_size(way, head_size):
    check(way, case(150, 150, head_size, packed=True))


@both_ways
@pytest.mark.parametrize("head_size", [64, 128])
@pytest.mark.parametrize("queries", [47, 48, 49, 63, 64, 95, 97, 128, 129, 255, 257])
def test_edges_of_tiles(way, head_size, queries):
    """As many keys, and keys in front of the first query: the causal edge then runs through tiles elsewhere."""
    check(way, case(queries, queries, head_size))
    check(way, case(queries, queries + 37, head_size))


@both_ways
@pytest.mark.parametrize("head_size", [64, 128])
def test_tiles_that_no_query_sees(way, head_size):
    """Whole tiles of keys are hidden by the mask, at the front, where the running maximum starts, and at the end."""
    sizes = case(200, 200, head_size, batch=2, causal=False)
    inputs = draw(sizes)
    key_mask = np.ones((2, 200), bool)
    key_mask[0, :130], key_mask[1, 60:] = False, False
    inputs = inputs._replace(key_mask=key_mask)
    assert_right(run(WAYS[way], sizes, inputs), sizes, inputs)


@both_ways
@pytest.mark.parametrize("head_size", [64, 128])
@pytest.mark.parametrize("falling", [False, True])
def test_maxima_that_rise_far_little_or_never(way, head_size, falling):
    """Scores that grow along the keys raise the maximum in every tile, by more and by less than the slack."""
    sizes = case(260, 260, head_size, causal=False)
    inputs = draw(sizes)
    size = np.linspace(0.1, 8.0, 260, dtype=np.float32)[:: -1 if falling else 1, None, None]
    k = (np.abs(inputs.k.astype(np.float32)) * size).astype(inputs.k.dtype)
    q = np.abs(inputs.q.astype(np.float32)).astype(inputs.q.dtype)
    q[:, ::2] *= inputs.q.dtype.type(0.0625)
    inputs = inputs._replace(q=q, k=k)
    assert_right(run(WAYS[way], sizes, inputs), sizes, inputs)


@pytest.mark.parametrize("head_size", [24, 64, 96, 128])
def test_every_tile_of_the_tables(head_size, monkeypatch):
    """Also those that this device would not choose: the first that fits into the least shared memory."""
    arch = int(cupy.cuda.Device().compute_capability)
    for table in (mma.FORWARD, *mma.BACKWARD_KEYS.values(), mma.BACKWARD_QUERIES):
        channels = mma.channels_of(head_size)
        for tiles in table[channels]:
            if tiles.least_arch <= arch:
                monkeypatch.setitem(table, channels, (tiles,))
                for way in WAYS:
                    check(way, case(150, 170, head_size))


def test_every_head_size_fits_into_the_least_shared_memory():
    q, k, *_ = on_device(draw(case(64, 64)), packed=False)
    problem = problem_of(case(64, 64), q, k, None)
    for arch in (80, 86, 89, 90, 120):
        for size in HEAD_SIZES:
            for deterministic in (True, False):
                assert mma.accepts(problem._replace(arch=arch, head_size=size, deterministic=deterministic)), arch
    assert problem._replace(arch=86).most_shared == LEAST_SHARED * 1024


@pytest.mark.parametrize("head_size", [64, 128])
def test_the_same_bits_every_time(head_size):
    sizes = case(700, 700, head_size, batch=4, heads=8, kv_heads=8)
    inputs = draw(sizes)
    first = run(mma.VARIANT, sizes, inputs)
    for _ in range(3):
        for what, again in run(mma.VARIANT, sizes, inputs).items():
            assert again.tobytes() == first[what].tobytes(), what


@pytest.mark.parametrize("head_size", [64, 128])
def test_atomic_additions_differ_in_dq_only_and_little(head_size):
    sizes = case(300, 300, head_size)
    inputs = draw(sizes)
    fixed, free = run(mma.VARIANT, sizes, inputs), run(ATOMIC, sizes, inputs)
    for what in ("out", "lse", "dk", "dv"):
        assert fixed[what].tobytes() == free[what].tobytes(), what
    distance = np.abs(fixed["dq"].astype(np.float64) - free["dq"].astype(np.float64)).max()
    assert distance <= 2.0**-6 * np.abs(fixed["dq"].astype(np.float64)).max()


@pytest.mark.parametrize("what", ["scale", "head_size", "causal"])
def test_leaves_what_it_cannot_do_to_others(what):
    q, k, *_ = on_device(draw(case(64, 64)), packed=False)
    problem = problem_of(case(64, 64), q, k, None)
    refused = {"scale": {"scale": -1.0}, "head_size": {"head_size": 136}, "causal": {"queries": 65}}[what]
    assert mma.accepts(problem)
    assert not mma.accepts(problem._replace(**refused))


@both_ways
def test_writes_nothing_beside_its_part_of_a_packed_gradient(way):
    """The rows between the parts that a gradient's view leaves out stay as they are."""
    sizes = case(129, 129, 128)
    inputs = draw(sizes)
    q, k, v, dy, _ = on_device(inputs, packed=False)
    problem = problem_of(sizes, q, k, None)
    out, lse = poisoned(inputs.q.shape, inputs.q.dtype), poisoned((1, 2, 129), np.float32)
    wide = poisoned((1, 129, 4, 2 * sizes.head_size), inputs.q.dtype)  # every row twice as long as a head
    gradients = parts(wide[..., : sizes.head_size], inputs)
    WAYS[way].forward(problem, q, k, v, out, lse)
    WAYS[way].backward(problem, dy, q, k, v, out, lse, *gradients)
    assert np.isfinite(wide[..., : sizes.head_size].get().astype(np.float32)).all()
    assert np.isnan(wide[..., sizes.head_size :].get().astype(np.float32)).all()
