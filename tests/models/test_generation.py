"""Generation: the cache gives what the full forward gives; greedy, temperature, top-k, stopping."""

import numpy as np
import pytest

from tinygrad_arith.autograd import no_grad
from tinygrad_arith.backend import DtypePolicy, RandomKey
from tinygrad_arith.models import GPT, GPTConfig, choose_tokens, generate
from tinygrad_arith.verify import assert_close, tolerance

CONFIGS = {
    "learned": GPTConfig(vocabulary=11, context=20, d_model=12, layers=2, heads=3),
    "sinusoidal, post-norm, grouped": GPTConfig(
        vocabulary=11, context=20, d_model=12, layers=2, heads=4, kv_heads=2, norm="post", positions="sinusoidal"
    ),
}


def model_of(name, dtype="float64"):
    return GPT(CONFIGS[name]).initialize(seed=5, policy=DtypePolicy.uniform(dtype))


def greedy_without_cache(model, prompts, count):
    ids = prompts
    with no_grad():
        for _ in range(count):
            ids = np.concatenate([ids, model(ids).data[:, -1].argmax(axis=-1)[:, None]], axis=1)
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompts": np.zeros((1, 0), dtype=np.int64), "max_new_tokens": 2}, "at least one token"),
        ({"prompts": np.zeros((1, 15), dtype=np.int64), "max_new_tokens": 7}, "leaves room for 6, not 7"),
        ({"prompts": np.zeros((1, 5), dtype=np.int64), "max_new_tokens": 2, "temperature": 1.0}, "needs a key"),
    ],
)
def test_what_cannot_be_generated_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        generate(model_of("learned"), **arguments)
