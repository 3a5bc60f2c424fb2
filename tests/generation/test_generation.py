"""Generation: the cache gives what the full forward gives; greedy, temperature, top-k, stopping."""

import numpy as np
import pytest

from tinygrad_arith.autograd import BackwardError, Tensor, no_grad
from tinygrad_arith.backend import DtypePolicy, RandomKey
from tinygrad_arith.generation import (
    FrequencyPenalty,
    MinP,
    Temperature,
    TopK,
    TopP,
    Typical,
    choose_tokens,
    complete,
    generate,
    stream,
)
from tinygrad_arith.models import GPT, GPTConfig
from tinygrad_arith.nn import Linear
from tinygrad_arith.ops import ShapeError
from tinygrad_arith.verify import assert_close, tolerance

CONFIGS = {
    "learned": GPTConfig(vocabulary=11, context=20, d_model=12, layers=2, heads=3),
    "sinusoidal, post-norm, grouped": GPTConfig(
        vocabulary=11, context=20, d_model=12, layers=2, heads=4, kv_heads=2, norm="post", positions="sinusoidal"
    ),
    "rotary, rmsnorm": GPTConfig(
        vocabulary=11, context=20, d_model=12, layers=2, heads=3, positions="rotary", normalization="rmsnorm"
    ),
    "no positions": GPTConfig(vocabulary=11, context=20, d_model=12, layers=2, heads=3, positions="none"),
}


def model_of(name, dtype="float64"):
    return GPT(CONFIGS[name]).initialize(seed=5, policy=DtypePolicy.uniform(dtype))


def greedy_without_cache(model, prompts, count, positions=None, key_mask=None):
    ids = prompts
    with no_grad():
        for _ in range(count):
            place, seen = (None if a is None else a[:, : ids.shape[1]] for a in (positions, key_mask))
            logits = model(ids, positions=place, key_mask=seen).data[:, -1]
            ids = np.concatenate([ids, logits.argmax(axis=-1)[:, None]], axis=1)
    return ids[:, prompts.shape[1] :]


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("chunks", [[20], [1] * 20, [6, 1, 1, 5, 7]])
def test_logits_with_a_cache_are_those_of_the_full_forward(name, chunks):
    model = model_of(name)
    ids = np.random.default_rng(1).integers(0, 11, size=(3, 20))
    caches, parts, start = model.new_caches(batch=3), [], 0
    with no_grad():
        full = model(ids).data
        for size in chunks:
            parts.append(model(ids[:, start : start + size], caches=caches).data)
            start += size
    assert_close(np.concatenate(parts, axis=1), full, tolerance("kv_cache", "float64"))


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_greedy_tokens_are_those_of_the_full_forward(name, dtype):
    model = model_of(name, dtype)
    prompts = np.random.default_rng(2).integers(0, 11, size=(5, 6))
    np.testing.assert_array_equal(generate(model, prompts, 15), greedy_without_cache(model, prompts, 15))


def test_the_cache_of_turned_keys_starts_where_it_stopped():
    """Rotary positions given by the task: those of the new tokens must be used, not 0, 1, ..."""
    model = model_of("rotary, rmsnorm")
    ids = np.random.default_rng(1).integers(0, 11, size=(3, 20))
    positions = np.random.default_rng(2).integers(0, 50, size=(3, 20))
    key_mask = np.arange(20) >= np.array([0, 3, 5])[:, None]
    caches, parts = model.new_caches(batch=3), []
    with no_grad():
        full = model(ids, positions=positions, key_mask=key_mask).data
        for start, end in [(0, 6), (6, 7), (7, 13), (13, 20)]:
            options = {"positions": positions[:, start:end], "key_mask": key_mask[:, :end]}
            parts.append(model(ids[:, start:end], **options, caches=caches).data)
    assert_close(np.concatenate(parts, axis=1), full, tolerance("kv_cache", "float64"))


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("rows", [1, 5])
def test_positions_and_masks_given_by_the_task_reach_over_the_answer(name, rows):
    model, rng = model_of(name), np.random.default_rng(2)
    prompts = rng.integers(0, 11, size=(5, 6))
    positions = rng.permuted(np.tile(np.arange(20), (rows, 1)), axis=1)  # (rows, L)
    key_mask = np.ones((rows, 20), dtype=bool)
    key_mask[:, 1:3] = False
    written = generate(model, prompts, 15, positions=positions, key_mask=key_mask)
    whole = [np.broadcast_to(array, (5, 20)) for array in (positions, key_mask)]
    np.testing.assert_array_equal(written, greedy_without_cache(model, prompts, 15, *whole))
    if CONFIGS[name].positions != "none":
        assert (written != generate(model, prompts, 15)).any()


def test_ids_larger_than_the_context_have_their_place_in_the_table():
    config = GPTConfig(vocabulary=11, context=20, d_model=12, layers=1, heads=3, position_count=60)
    model = GPT(config).initialize(seed=5)
    assert model.position_embedding.weight.shape == (60, 12)
    assert generate(model, np.ones((1, 3), dtype=np.int64), 2, positions=np.array([[59, 3, 40, 41]])).shape == (1, 2)
    with pytest.raises(IndexError, match="ids must be 0 to 59; these go from 3 to 60"):
        generate(model, np.ones((1, 3), dtype=np.int64), 2, positions=np.array([[60, 3, 40, 41]]))


def test_a_row_that_stopped_is_filled_with_the_stop_token():
    model = model_of("learned")
    prompts = np.random.default_rng(2).integers(0, 11, size=(5, 6))
    free = generate(model, prompts, 10)
    stop = int(free[0, 2])
    stopped = generate(model, prompts, 10, stop_token=stop)
    for row, whole in zip(stopped, free, strict=True):
        ends = np.flatnonzero(whole == stop)
        kept = ends[0] if len(ends) else len(row)
        np.testing.assert_array_equal(row[:kept], whole[:kept][: len(row)])
        assert (row[kept:] == stop).all()


def test_draws_are_a_function_of_the_key():
    model = model_of("learned")
    prompts = np.zeros((4, 3), dtype=np.int64)
    key = RandomKey(1, "sample")
    first = generate(model, prompts, 12, temperature=2.0, key=key)
    np.testing.assert_array_equal(first, generate(model, prompts, 12, temperature=2.0, key=key))
    assert (first != generate(model, prompts, 12, temperature=2.0, key=RandomKey(2, "sample"))).any()


def test_drawn_tokens_have_the_softmax_probabilities():
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05]))
    draws = choose_tokens(np.tile(logits, (40_000, 1)), temperature=1.0, key=RandomKey(3, "sample"))
    np.testing.assert_allclose(np.bincount(draws, minlength=4) / 40_000, np.exp(logits), atol=0.01)


def test_top_k_leaves_the_rest_out():
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05]))
    draws = choose_tokens(np.tile(logits, (5000, 1)), temperature=1.0, top_k=2, key=RandomKey(3, "sample"))
    assert set(draws) == {0, 1}


LOGITS = np.log(np.array([0.5, 0.3, 0.15, 0.05]))


def shares(temperature, top_k=None, logits=LOGITS, count=4000):
    """How often each token is drawn."""
    draws = choose_tokens(np.tile(logits, (count, 1)), temperature, top_k, RandomKey(3, "sample"))
    return np.bincount(draws, minlength=len(logits)) / count


@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 1e-300, 5e-324, np.float32(1e-30)])
@pytest.mark.parametrize("scale", [1.0, 1e4, -1e4])
def test_a_temperature_near_zero_draws_the_likeliest(temperature, scale):
    drawn = shares(temperature, logits=LOGITS * scale, count=50)
    assert drawn[(LOGITS * scale).argmax()] == 1.0


@pytest.mark.parametrize("temperature", [1e300, np.inf])
def test_without_end_all_are_as_likely(temperature):
    np.testing.assert_allclose(shares(temperature), 0.25, atol=0.03)
    np.testing.assert_allclose(shares(temperature, top_k=2), [0.5, 0.5, 0.0, 0.0], atol=0.03)
    ruled_out = np.array([0.0, -np.inf, 1.0, 2.0])
    np.testing.assert_allclose(shares(temperature, logits=ruled_out), [1 / 3, 0.0, 1 / 3, 1 / 3], atol=0.03)


@pytest.mark.parametrize("temperature", [1e-300, 0.7, np.inf])
def test_what_is_ruled_out_by_infinity_is_never_drawn(temperature):
    assert shares(temperature, logits=np.array([-np.inf, 3.0, -np.inf, 3.0]))[[0, 2]].sum() == 0.0
    assert shares(temperature, logits=np.array([5.0, np.inf, 0.0, -np.inf]))[1] == 1.0


def test_top_k_is_so_many_and_no_more():
    np.testing.assert_array_equal(shares(1.0, top_k=1), [1, 0, 0, 0])
    np.testing.assert_array_equal(shares(1.0, top_k=2, logits=np.zeros(4))[2:], 0.0)
    for every in (4, 5, 10**6, np.int64(4), None):
        np.testing.assert_array_equal(shares(1.0, top_k=every), shares(1.0))


@pytest.mark.parametrize("top_k", [0, -1, -4, 1.5, True, "2"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_top_k_that_means_nothing_is_refused(top_k, temperature):
    with pytest.raises(ValueError, match="top_k must be a whole number from 1 on, or None for all tokens"):
        choose_tokens(LOGITS[None], temperature, top_k, RandomKey(3, "sample"))
    with pytest.raises(ValueError, match="top_k must be a whole number"):
        generate(model_of("learned"), np.zeros((1, 2), int), 2, top_k=top_k)


@pytest.mark.parametrize("temperature", [-1.0, -1e-300, -np.inf, np.nan])
def test_a_temperature_that_means_nothing_is_refused(temperature):
    with pytest.raises(ValueError, match="the temperature must be 0 or above, not"):
        choose_tokens(LOGITS[None], temperature, key=RandomKey(3, "sample"))
    with pytest.raises(ValueError, match="the temperature must be 0 or above"):
        generate(model_of("learned"), np.zeros((1, 2), int), 2, temperature=temperature)


def test_drawing_without_a_key_is_refused():
    with pytest.raises(ValueError, match="needs a key"):
        choose_tokens(LOGITS[None], 1.0)


def test_a_full_cache_refuses_what_has_no_room_and_stays_as_it_is():
    model = model_of("rotary, rmsnorm")
    ids = np.random.default_rng(1).integers(0, 11, size=(2, 5))
    caches = model.new_caches(2, longest=4)
    with no_grad():
        full = model(ids[:, :4]).data
        model(ids[:, :3], caches=caches)
        for too_many in (ids[:, 3:5], ids[:, :5]):
            message = rf"with room for 4 positions holds 3 and was given {too_many.shape[1]} more"
            with pytest.raises(ValueError, match=message):
                model(too_many, positions=np.arange(too_many.shape[1]), caches=caches)
        last = model(ids[:, 3:4], caches=caches).data
        with pytest.raises(ValueError, match="room for 4 positions holds 4 and was given 1 more"):
            model(ids[:, 4:], caches=caches)
        with pytest.raises(ValueError, match="for a batch of 2 was given a batch of 1"):
            model(ids[:1, :1], caches=model.new_caches(2))
        with pytest.raises(ValueError, match="room for 0 positions"):
            model(ids, caches=model.new_caches(2, longest=0))
        with pytest.raises(ValueError, match="1 caches for 2 blocks"):
            model(ids, caches=model.new_caches(2)[:1])
    assert_close(last[:, 0], full[:, 3], tolerance("kv_cache", "float64"))


def test_a_cache_where_gradients_are_recorded_is_refused():
    model = model_of("learned")
    caches = model.new_caches(1)
    with pytest.raises(BackwardError, match=r"a key/value cache passes no gradients on: call the model under no_grad"):
        model(np.zeros((1, 2), int), caches=caches)
    assert caches[0].length == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompts": np.zeros((1, 0), dtype=np.int64), "max_tokens": 2}, "at least one token"),
        ({"prompts": np.zeros((1, 15), dtype=np.int64), "max_tokens": 7}, "leaves room for 6, not 7"),
        ({"prompts": np.zeros((1, 5), dtype=np.int64), "max_tokens": 2, "temperature": 1.0}, "needs a key"),
        (
            {"prompts": np.zeros((2, 5), dtype=np.int64), "max_tokens": 3, "positions": np.zeros((2, 6))},
            r"positions \(2, 6\) must be \(2 or 1, at least 7\)",
        ),
        (
            {"prompts": np.zeros((2, 5), dtype=np.int64), "max_tokens": 3, "key_mask": np.ones((3, 9), dtype=bool)},
            r"key_mask \(3, 9\) must be \(2 or 1, at least 7\)",
        ),
    ],
)
def test_what_cannot_be_generated_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        generate(model_of("learned"), **arguments)


def failing(*args, **kwargs):
    raise RuntimeError("in the middle")


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("where", ["mask", "attention", "output", "ffn", "last block", "final norm", "head", "cache"])
def test_a_call_that_fails_leaves_the_caches_as_they_were(name, where, monkeypatch):
    model, (first, following) = model_of(name), (np.array([[1, 2]]), np.array([[3]]))
    with no_grad():
        caches = model.new_caches(1)
        model(first, caches=caches)
        last = model.blocks[-1]
        broken = {
            "attention": (last.attention, "turned"),
            "output": (model.blocks[0].attention.output, "forward"),
            "ffn": (model.blocks[0].ffn, "forward"),
            "last block": (last, "forward"),
            "final norm": (model.final_norm or last.ffn_norm, "forward"),
            "head": (model.head, "forward"),
        }
        options = {"key_mask": np.ones((1, 1), bool)} if where == "mask" else {}
        given = caches
        if where == "cache":  # one of the layers has no room
            given = [caches[0], model.new_caches(1, 2)[1]]
            given[1].length = 2
        with monkeypatch.context() as patch:
            if where in broken:
                patch.setattr(*broken[where], failing)
            with pytest.raises((RuntimeError, ValueError)):
                model(following, caches=given, **options)
        assert [cache.length for cache in caches] == [2, 2]
        found = model(following, caches=caches).data
        full = model(np.concatenate([first, following], axis=1)).data[:, -1:]
    assert_close(found, full, tolerance("kv_cache", "float64"))


def test_a_block_and_an_attention_that_fail_leave_their_cache_as_it_was(monkeypatch):
    model = model_of("learned")
    block, cache = model.blocks[0], model.new_caches(1)[0]
    x = np.ones((1, 2, 12))
    with no_grad():
        monkeypatch.setattr(block.ffn, "forward", failing)
        with pytest.raises(RuntimeError, match="in the middle"):
            block(x, cache=cache)
        with pytest.raises(ShapeError, match="key_mask must be"):
            block.attention(x, np.ones((1, 5), bool), cache)
    assert cache.length == 0


def test_no_token_is_drawn_from_logits_that_are_nan():
    logits = np.array([[0.0, 1.0], [np.nan, 2.0]])
    with pytest.raises(ValueError, match="there are logits that are NaN; no token can be drawn from them"):
        choose_tokens(logits, temperature=1.0, key=RandomKey(1, "sample"))


def test_prompts_positions_and_masks_may_be_lists_and_tensors():
    model = model_of("learned")
    prompts = np.array([[1, 2], [3, 4]])
    expected = generate(model, prompts, 2)
    where, seen = np.arange(3)[None], np.ones((1, 3), bool)
    for given in (prompts.tolist(), Tensor(prompts), tuple(map(tuple, prompts)), prompts.astype(np.uint8)):
        np.testing.assert_array_equal(generate(model, given, 2), expected)
    for wrap in (np.ndarray.tolist, Tensor):
        out = generate(model, prompts, np.int64(2), positions=wrap(where), key_mask=wrap(seen))
        np.testing.assert_array_equal(out, expected)


WRONG_PROMPTS = {
    "one row": (np.array([1, 2]), r"whole numbers \(B, Tp\), a row for each prompt; got int64 \(2,\)"),
    "a number": (3, r"whole numbers \(B, Tp\)"),
    "text": ("1+1=", r"whole numbers \(B, Tp\)"),
    "floats": (np.ones((1, 2)), r"whole numbers \(B, Tp\), .* got float64 \(1, 2\)"),
    "None": (None, r"whole numbers \(B, Tp\)"),
}


@pytest.mark.parametrize("which", WRONG_PROMPTS)
def test_what_is_no_row_of_tokens_is_told(which):
    prompts, message = WRONG_PROMPTS[which]
    with pytest.raises(ValueError, match=message):
        generate(model_of("learned"), prompts, 2)


def test_what_is_no_number_and_no_key_is_told():
    model, prompts = model_of("learned"), np.array([[1, 2]])
    for temperature in ([], "hot", True, 10**400, -1.0, np.nan):
        with pytest.raises(ValueError, match="the temperature must be 0 or above"):
            generate(model, prompts, 2, temperature=temperature)
    with pytest.raises(TypeError, match=r"the key must be a RandomKey, such as RandomKey\(3, 'sample'\), not 3"):
        generate(model, prompts, 2, temperature=1.0, key=3)
    with pytest.raises(ValueError, match=r"max_tokens must be a whole number, not 2\.0"):
        generate(model, prompts, 2.0)
    for call in (generate, complete, stream):
        with pytest.raises(ValueError, match=r"^generate: max_tokens must be a whole number from 0 on, not -1$"):
            call(model, prompts, -1)
        with pytest.raises(
            ValueError, match=r"^generate: a prompt of 22 tokens does not fit into the model's context of 20$"
        ):
            call(model, np.zeros((1, 22), int), 0)
        with pytest.raises(ValueError, match=r"^generate: a stop_token must be from 0 to 10, .*, not "):
            call(model, prompts, 2, stop_token=[3, 11])
        for wrong in (None, GPT, np.zeros, Linear(3, 2)):
            with pytest.raises(
                TypeError, match=r"^generate: a model is called with ids, and has config\.context .*; this is"
            ):
                call(wrong, prompts, 2)
    for wrong in (-1, 99, 2**63):
        with pytest.raises(ValueError, match=f"a stop_token must be from 0 to 10, .*, not {wrong}"):
            generate(model, prompts, 2, stop_token=wrong)


def test_the_three_write_the_same_tokens_from_the_same_arguments():
    model, prompts, key = model_of("learned"), np.array([[1, 2], [3, 4]]), RandomKey(3, "sample")
    greedy = generate(model, prompts, 9)
    for given in (
        {},
        {"key": key},
        {"samplers": [TopK(4), Temperature(2.0)], "key": key},
        {"samplers": [Temperature(0)]},
    ):
        expected = generate(model, prompts, 9, **given)
        np.testing.assert_array_equal([one.tokens for one in complete(model, prompts, 9, **given)], expected)
        found = [[piece.token for piece in stream(model, prompts, 9, **given) if piece.row == row] for row in (0, 1)]
        np.testing.assert_array_equal(found, expected)
        assert (expected != greedy).any() == ("key" in given)
    np.testing.assert_array_equal(generate(model, prompts, 9, temperature=0.0, top_k=3, key=key), greedy)
    options = {"samplers": [TopK(4), Temperature(1.0)], "key": key}
    np.testing.assert_array_equal(generate(model, prompts, 9, top_k=4, key=key), generate(model, prompts, 9, **options))


def test_what_is_for_draws_is_refused_without_a_key():
    model, prompts = model_of("learned"), np.array([[1, 2]])
    for sampler in (Temperature(1.5), TopK(3), TopP(0.9), MinP(0.1), Typical(0.9)):
        for call in (generate, complete, stream):
            with pytest.raises(
                ValueError, match=r"^generate: \w+\(.*\) needs a key for its draws, such as key=RandomKey"
            ):
                call(model, prompts, 2, samplers=[FrequencyPenalty(1.0), sampler])
        generate(model, prompts, 2, samplers=[sampler, Temperature(0)])
    with pytest.raises(ValueError, match=r"^generate: TopK\(k=3\) needs a key"):
        generate(model, prompts, 2, top_k=3)


def test_prompts_that_do_not_fit_are_told_with_their_number():
    model = model_of("learned")
    for wrong in ([[]], [[1], []], np.zeros((1, 0), int)):
        with pytest.raises(ValueError, match=r"a prompt needs at least one token, and prompt \d has none"):
            generate(model, wrong, 2)
    with pytest.raises(
        IndexError, match=r"generate, prompt 1: tokens of a prompt must be 0 to 10; these go from 5 to 11"
    ):
        generate(model, [[1, 2, 3], [11, 5]], 2)
    for none in ([], (), np.zeros((0, 3), int)):
        assert generate(model, none, 3).shape == (0, 0)
        assert complete(model, none, 3) == list(stream(model, none, 3)) == []


def test_positions_are_looked_at_before_anything_is_written():
    model = model_of("learned")
    model.forward = failing
    places = np.array([[0, 1, 2, 20]])
    with pytest.raises(IndexError, match=r"^generate: position ids must be 0 to 19; these go from 0 to 20$"):
        generate(model, [[1, 2]], 3, positions=places)
    with pytest.raises(ValueError, match=r"^generate: positions must be whole numbers, not float64$"):
        generate(model, [[1, 2]], 3, positions=places / 2)


def test_nan_is_told_wherever_it_comes_from():
    told = r"there are logits that are NaN; no token can be drawn from them \(row 1 at step 0\)"
    with pytest.raises(ValueError, match=told):
        choose_tokens([[0.0, 1.0], [np.nan, 2.0]])
    model, prompts = model_of("learned"), np.array([[1, 2], [3, 4]])

    def spoils(logits, counts):
        logits[1, 5] = np.nan
        return logits

    for samplers in ([spoils], [spoils, TopK(1), Temperature(0)], [spoils, FrequencyPenalty(1.0)]):
        for call in (generate, complete, lambda *given, **more: list(stream(*given, **more))):
            with pytest.raises(ValueError, match=told):
                call(model, prompts, 2, samplers=samplers)
    model.flat.values[:] = np.nan
    with pytest.raises(ValueError, match=r"NaN.*\(row 0 at step 0\)"):
        generate(model, prompts, 2)


@pytest.mark.parametrize("key", [None, RandomKey(1, "sample")])
@pytest.mark.parametrize(
    "behind", [[], [Temperature(1.5)], [Temperature(0)], [Typical(0.5), TopP(0.5), MinP(0.5), TopK(2)]]
)
def test_a_row_without_a_token_is_told_and_never_written(behind, key):
    if key is None and any(sampler.is_for_draws and sampler != Temperature(0) for sampler in behind):
        behind = [*behind, Temperature(0)]
    model, prompts = model_of("learned"), np.array([[1, 2], [3, 4]])

    def nothing_at_2(logits, counts):
        return np.where(
            (counts.written.sum(axis=1, keepdims=True) == 2) & (np.arange(2) == 1)[:, None], -np.inf, logits
        )

    options = {"samplers": [nothing_at_2, *behind], "key": key}
    message = "^generate: samplers leave no token in row 1 at step 2: all its logits are -infinity$"
    with pytest.raises(ValueError, match=message):
        generate(model, prompts, 3, **options)
    with pytest.raises(ValueError, match=message):
        list(stream(model, prompts, 3, **options))
    first = generate(model, prompts, 2, **options)
    stopped = generate(model, prompts, 4, stop_token=int(first[1, 1]), **options)  # behind its end nobody asks
    np.testing.assert_array_equal(stopped[1, 1:], first[1, 1])


WRONG_RESULTS = {
    "None": lambda logits, counts: None,
    "a list": lambda logits, counts: logits.tolist(),
    "one row": lambda logits, counts: logits[0],
    "one row of two": lambda logits, counts: logits[:1],
    "a token more": lambda logits, counts: np.pad(logits, ((0, 0), (0, 1))),
    "texts": lambda logits, counts: logits.astype(str),
}


@pytest.mark.parametrize("which", WRONG_RESULTS)
def test_a_sampler_must_return_logits(which):
    with pytest.raises(
        ValueError, match=r"^generate: the sampler <lambda> must return an array of logits \(2, 11\), not "
    ):
        generate(model_of("learned"), [[1, 2], [3, 4]], 2, samplers=[WRONG_RESULTS[which]])


@pytest.mark.parametrize(
    "wrong", [3, "abc", TopK, [TopK], [TopK(3), 4], {TopK(3): 1}, {TopK(3)}, np.arange(3)], ids=str
)
def test_what_is_no_list_of_samplers_is_told(wrong):
    for call in (generate, complete, stream):
        with pytest.raises(TypeError, match=r"^generate: samplers must be a list of functions such as TopK\(40\), not"):
            call(model_of("learned"), [[1, 2]], 2, samplers=wrong)


def test_samplers_may_come_one_by_one():
    model, prompts, key = model_of("learned"), np.array([[1, 2], [3, 4]]), RandomKey(3, "sample")
    given = [TopK(3), Temperature(2.0)]
    expected = generate(model, prompts, 9, samplers=given, key=key)
    np.testing.assert_array_equal(generate(model, prompts, 9, samplers=iter(given), key=key), expected)
    found = complete(model, prompts, 9, samplers=(sampler for sampler in given), key=key)
    np.testing.assert_array_equal([one.tokens for one in found], expected)


@pytest.mark.parametrize("wrong", [np.zeros((2, 0)), [1.0, 2.0], [["a"]], 3.0, None], ids=str)
def test_logits_that_are_none_are_told(wrong):
    with pytest.raises(ValueError, match=r"^choose_tokens: logits must be numbers \(B, V\), V at least 1; got"):
        choose_tokens(wrong, 1.0, key=RandomKey(1, "sample"))
    assert choose_tokens([[1.0, 2.0]]).tolist() == [1]


def test_a_row_whose_numbers_end_before_the_array_is_refused():
    """A kernel's counter would wrap there."""
    model, prompts = model_of("learned"), np.zeros((64, 2), int)
    last = 2**64 // 11 - 64
    assert generate(model, prompts, 2, key=RandomKey(1, "x", row=last)).shape == (64, 2)
    for call in (generate, complete, stream):
        with pytest.raises(ValueError, match=rf"^a row of {last + 1} is too large for an array \(64, 11\): "):
            call(model, prompts, 2, key=RandomKey(1, "x", row=last + 1))
