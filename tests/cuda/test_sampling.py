"""Samplers and draws as kernels: they decide as the CPU does, bit for bit; texts from graphs and streams."""

import cupy
import ml_dtypes
import numpy as np
import pytest

from tinygrad_arith.backend import DtypePolicy, RandomKey
from tinygrad_arith.cuda.decoding import decoder_of
from tinygrad_arith.cuda.precision import float32_matmul_precision_as
from tinygrad_arith.cuda.sampling import DeviceSampling
from tinygrad_arith.generation import (
    Counts,
    FrequencyPenalty,
    MinP,
    PresencePenalty,
    RepetitionPenalty,
    Temperature,
    TopK,
    TopP,
    Typical,
    complete,
    generate,
    stream,
    usual_samplers,
)
from tinygrad_arith.generation.choosing import choose
from tinygrad_arith.models import GPT, GPTConfig

ALL = usual_samplers(
    repetition_penalty=1.2,
    presence_penalty=0.1,
    frequency_penalty=0.2,
    top_k=12,
    typical=0.95,
    top_p=0.9,
    min_p=0.01,
    temperature=1.3,
)
CHAINS = {
    "none": (),
    "repetition": (RepetitionPenalty(1.3),),
    "presence": (PresencePenalty(0.5),),
    "frequency": (FrequencyPenalty(0.37),),
    **{f"top-k {k}": (TopK(k),) for k in (1, 5, 22, 23, 40)},
    **{f"top-p {p}": (TopP(p),) for p in (0.01, 0.3, 0.5, 0.9, 0.999, 1.0)},
    **{f"typical {p}": (Typical(p),) for p in (0.05, 0.5, 0.9, 1.0)},
    **{f"min-p {p}": (MinP(p),) for p in (0.0, 0.02, 0.5, 1.0)},
    **{f"temperature {t}": (Temperature(t),) for t in (0, 1e-300, 0.7, 3.0, np.inf)},
    "equal, then top-k": (Temperature(np.inf), TopK(4)),
    "all": ALL,
}
PROMPTS = [[3, 1, 4], [1, 5, 9, 2, 6, 5, 3], [5], [8, 9, 7, 9]]


@pytest.fixture(autouse=True)
def full_float32():
    with float32_matmul_precision_as("float32"):
        yield


def random_rows(seed, rows, size):
    """Logits of very different sharpness, some rows with many equal ones, some with tokens that are ruled out."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, size)) * np.exp(rng.uniform(-2, 3, size=(rows, 1)))
    logits[: rows // 3] = np.round(logits[: rows // 3])
    logits[rows // 3 : rows // 2][rng.random((rows // 2 - rows // 3, size)) < 0.3] = -np.inf
    logits[0], logits[1] = 0.0, np.where(np.arange(size) % 2, -np.inf, 3.0)
    logits[:, 7] = np.maximum(logits[:, 7], -50.0)
    counts = Counts(*(rng.poisson(0.5, size=(rows, size)).astype(np.int32) for _ in range(2)))
    return logits.astype(np.float32), counts


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("draws", [False, True])
@pytest.mark.parametrize(("rows", "size"), [(200, 23), (40, 512), (12, 513), (8, 50_257)])
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_the_tokens_are_those_of_the_cpu(name, draws, rows, size, dtype):
    samplers = CHAINS[name]
    logits, counts = random_rows(size, rows, size)
    logits = logits.astype(dtype)
    key = RandomKey(2**63 + 5, "sample", site=7, row=3) if draws else None
    sampling = DeviceSampling(samplers, draws, rows, size)
    sampling.start(counts.prompt, key)
    if sampling.needs_counts:
        sampling.written.set(counts.written)
    found = sampling.choose(cupy.asarray(logits), 11).get()
    expected = choose(logits.astype(np.float32), samplers, counts, key.at(step=11) if draws else None)
    np.testing.assert_array_equal(found, expected)
    if sampling.needs_counts:
        counts.written[np.arange(rows), expected] += 1
        np.testing.assert_array_equal(sampling.written.get(), counts.written)


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("draws", [False, True])
def test_rows_without_a_token_have_the_marks_of_the_cpu(name, draws):
    logits, counts = random_rows(1, 9, 23)
    logits[4, 5] = np.nan
    logits[6] = -np.inf
    logits[8], logits[8, 7] = -np.inf, np.nan
    samplers, key = CHAINS[name], RandomKey(5, "sample") if draws else None
    sampling = DeviceSampling(samplers, draws, 9, 23)
    sampling.start(counts.prompt, key)
    if sampling.needs_counts:
        sampling.written.set(counts.written)
    found = sampling.choose(cupy.asarray(logits), 0).get()
    assert found[[4, 6, 8]].tolist() == [-1, -2, -1]
    np.testing.assert_array_equal(found, choose(logits, samplers, counts, key))
    if sampling.needs_counts:
        chosen = np.flatnonzero(found >= 0)
        counts.written[chosen, found[chosen]] += 1
        np.testing.assert_array_equal(sampling.written.get(), counts.written)


def test_penalties_at_the_end_of_their_range_make_no_nan():
    logits, counts = random_rows(1, 9, 23)
    logits[2, :5] = np.inf
    counts.written[2] = 2**31 - 2
    for samplers in ((FrequencyPenalty(1e100), PresencePenalty(1e100)), (FrequencyPenalty(-1e100), Temperature(0.5))):
        sampling = DeviceSampling(samplers, False, 9, 23)
        sampling.start(counts.prompt, None)
        sampling.written.set(counts.written)
        found = sampling.choose(cupy.asarray(logits), 0).get()
        assert (found >= 0).all()
        np.testing.assert_array_equal(found, choose(logits, samplers, counts, None))


# Texts

SCHEMES = {
    "learned": {},
    "sinusoidal": {"positions": "sinusoidal"},
    "rotary, rmsnorm": {"positions": "rotary", "normalization": "rmsnorm"},
    "none": {"positions": "none"},
}


def models_of(scheme="learned"):
    config = GPTConfig(13, 26, d_model=32, heads=2, **SCHEMES[scheme])
    return [GPT(config).initialize(seed=5, device=device) for device in ("cpu", "cuda")]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("samplers", [None, (), (TopK(5), Temperature(1.5)), ALL], ids=["greedy", "none", "two", "all"])
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("prompts", [PROMPTS, [[3, 1, 4], [1, 5, 9]]], ids=["unequal", "equal"])
def test_the_same_seed_writes_the_same_text_on_both(scheme, samplers, samples, prompts):
    here, there = models_of(scheme)
    for attempt in range(4):  # as it is, then as a graph, with another seed each time
        key = None if samplers is None else RandomKey(attempt, "sample", site=attempt, row=2 * attempt)
        options = {"samplers": samplers, "samples": samples, "key": key}
        found = generate(there, prompts, 12, **options)
        np.testing.assert_array_equal(found, generate(here, prompts, 12, **options))


def test_draws_are_in_the_graph():
    _, there = models_of()
    for seed in range(4):
        generate(there, [[1, 2]], 6, samplers=ALL, key=RandomKey(seed, "sample"))
    decoder = decoder_of(there, 1, 2, 6, False, False, 1, ALL, True)
    assert decoder.run.reason is None
    assert decoder.run.graph is not None


@pytest.mark.parametrize("samplers", [(), ALL])
def test_a_stream_has_the_tokens_of_the_graph(samplers):
    here, there = models_of()
    key, stop = RandomKey(1, "sample"), 4
    options = {"samplers": samplers, "key": key, "stop_token": [stop, 6], "samples": 2}
    whole = complete(there, PROMPTS, 12, **options)
    for model in (here, there):
        pieces = list(stream(model, PROMPTS, 12, **options))
        for row, one in enumerate(whole):
            assert [piece.token for piece in pieces if piece.row == row] == one.tokens.tolist()
    ended = [one.ended for one in complete(here, PROMPTS, 12, **options)]
    assert [one.ended for one in whole] == ended


def test_each_row_is_written_to_the_end_of_its_context():
    here, there = models_of()
    for one, other in zip(complete(here, PROMPTS), complete(there, PROMPTS), strict=True):
        np.testing.assert_array_equal(one.tokens, other.tokens)
        assert one.ended == other.ended == "context"


def test_a_sampler_of_ones_own_is_called_on_the_cpu():
    def only_even(logits, counts):
        return np.where(np.arange(logits.shape[1]) % 2 == 0, logits, -np.inf)

    here, there = models_of()
    for samplers in ([only_even], [TopK(9), only_even, Temperature(0)]):
        found = generate(there, PROMPTS, 6, samplers=samplers)
        np.testing.assert_array_equal(found, generate(here, PROMPTS, 6, samplers=samplers))
        assert (found % 2 == 0).all()


@pytest.mark.parametrize("stepwise", [False, True])
def test_nan_is_told_as_on_the_cpu(stepwise):
    _, there = models_of()
    there.flat.values.fill(np.nan)
    key = RandomKey(1, "sample")
    for options in ({}, {"samplers": [TopK(3), Temperature(0)]}, {"samplers": [TopK(3)], "key": key}, {"key": key}):
        for _ in range(3):  # as it is, then as a graph
            with pytest.raises(
                ValueError, match=r"logits that are NaN; no token can be drawn from them \(row 0 at step 0\)"
            ):
                list(stream(there, PROMPTS, 3, **options)) if stepwise else generate(there, PROMPTS, 3, **options)


@pytest.mark.parametrize("stepwise", [False, True])
@pytest.mark.parametrize("draws", [False, True])
def test_a_row_that_samplers_leave_empty_is_told_as_on_the_cpu(stepwise, draws):
    """A penalty so large that float64 has no number for its product rules out every negative logit."""
    here, there = models_of()
    for model in (here, there):
        model.head.bias.array[...] = -1e30
    samplers = [RepetitionPenalty(1e300), Temperature(2.0 if draws else 0)]
    options = {"samplers": samplers, "key": RandomKey(1, "sample") if draws else None}
    prompt = [list(range(13))]
    for model in (here, there, there, there):
        with pytest.raises(
            ValueError, match="samplers leave no token in row 0 at step 0: all its logits are -infinity"
        ):
            list(stream(model, prompt, 3, **options)) if stepwise else generate(model, prompt, 3, **options)
        assert generate(model, prompt, 3).shape == (1, 3)


def test_what_the_cpu_refuses_is_refused_alike():
    here, there = models_of()
    for options in (
        {"samplers": [TopP(0.9)]},
        {"top_k": 3},
        {"stop_token": 13},
        {"max_tokens": -1},
        {"key": RandomKey(1, "sample", row=2**63)},
        {"samplers": [lambda logits, counts: logits[:1]]},
        {"samplers": [lambda logits, counts: np.full_like(logits, -np.inf), Temperature(0)]},
        {"positions": np.array([[0, 1, 2, 26]])},
    ):
        sentences = []
        for model in (here, there):
            with pytest.raises((ValueError, IndexError)) as caught:
                generate(model, **{"prompts": [[1, 2], [3, 4]], "max_tokens": 3} | options)
            sentences.append(str(caught.value))
        assert sentences[0] == sentences[1]


def test_bfloat16_texts_come_from_graph_and_stream_alike():
    config = GPTConfig(13, 26, d_model=32, heads=2)
    model = GPT(config).initialize(seed=5, device="cuda", policy=DtypePolicy.named("bfloat16"))
    options = {"samplers": ALL, "key": RandomKey(3, "sample")}
    for _ in range(4):
        rows = generate(model, PROMPTS, 9, **options)
        found = [[p.token for p in stream(model, PROMPTS, 9, **options) if p.row == row] for row in range(4)]
        np.testing.assert_array_equal(rows, found)
