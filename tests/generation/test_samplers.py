"""Samplers: each against a written-out reference, one token after another in plain Python, on 1,000 random rows."""

import math

import numpy as np
import pytest
from scipy.special import chdtrc

from tinygrad_arith.backend import RandomKey
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
    usual_samplers,
)
from tinygrad_arith.generation.choosing import choose

ROWS, SIZE = 1000, 23


def random_rows(seed, rows=ROWS, size=SIZE):
    """Logits of very different sharpness, float32; some with equal ones, some with tokens that are ruled out."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, size)) * np.exp(rng.uniform(-2, 3, size=(rows, 1)))
    logits[: rows // 5] = np.round(logits[: rows // 5])  # many equal ones
    logits = logits.astype(np.float32).astype(np.float64)
    logits[rows // 5 : rows // 4][rng.random((rows // 4 - rows // 5, size)) < 0.3] = -np.inf
    logits[:, 7] = np.maximum(logits[:, 7], -50.0)  # one at least can be drawn
    return logits


def random_counts(seed, rows=ROWS, size=SIZE):
    rng = np.random.default_rng(seed)
    return Counts(*(rng.poisson(0.5, size=(rows, size)).astype(np.int32) for _ in range(2)))


def probabilities(row):
    largest = max(row)
    weights = [math.exp(x - largest) for x in row]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def ranked(row):
    """Tokens from the likeliest on; of equal ones the lower id first."""
    return sorted(range(len(row)), key=lambda token: (-row[token], token))


def until(order, p, probability):
    """The first tokens of an order that have the probability p together."""
    kept = set()
    for token in order:
        if math.fsum(probability[other] for other in kept) >= p * (1 - 1e-12):
            break
        kept.add(token)
    return kept


def keeping(row, kept):
    return [x if token in kept else -math.inf for token, x in enumerate(row)]


def repetition_reference(row, prompt, written, penalty):
    out = []
    for x, before, since in zip(row, prompt, written, strict=True):
        was_there = before + since > 0
        out.append((x / penalty if x > 0 else x * penalty) if was_there else x)
    return out


def presence_reference(row, prompt, written, penalty):
    return [x - penalty if since else x for x, since in zip(row, written, strict=True)]


def frequency_reference(row, prompt, written, penalty):
    return [x - penalty * since for x, since in zip(row, written, strict=True)]


def top_k_reference(row, prompt, written, k):
    return keeping(row, ranked(row)[:k])


def top_p_reference(row, prompt, written, p):
    return keeping(row, until(ranked(row), p, probabilities(row)))


def typical_reference(row, prompt, written, p):
    probability = probabilities(row)
    surprise = [-math.log(x) if x > 0 else math.inf for x in probability]
    entropy = math.fsum(x * s for x, s in zip(probability, surprise, strict=True) if x > 0)
    order = sorted(
        range(len(row)),
        key=lambda token: (
            (round(abs(surprise[token] - entropy), 8), token) if surprise[token] < math.inf else (math.inf, token)
        ),
    )
    return keeping(row, until(order, p, probability))


def min_p_reference(row, prompt, written, p):
    probability = probabilities(row)
    return keeping(row, {t for t, x in enumerate(probability) if x >= p * max(probability) * (1 - 1e-12)})


def temperature_reference(row, prompt, written, temperature):
    largest = max(row)
    return [(x - largest) / temperature for x in row]


REFERENCES = {
    RepetitionPenalty: (repetition_reference, [0.7, 1.3, 2.0]),
    PresencePenalty: (presence_reference, [-0.5, 0.8]),
    FrequencyPenalty: (frequency_reference, [-0.5, 0.3]),
    TopK: (top_k_reference, [1, 2, 7, 22, 23, 50]),
    Typical: (typical_reference, [0.05, 0.5, 0.9]),
    TopP: (top_p_reference, [0.01, 0.5, 0.9, 0.999]),
    MinP: (min_p_reference, [0.0, 0.02, 0.3, 1.0]),
    Temperature: (temperature_reference, [0.3, 1.0, 2.5]),
}
CASES = [(sampler, number) for sampler, (_, numbers) in REFERENCES.items() for number in numbers]


@pytest.mark.parametrize(("sampler", "number"), CASES)
def test_a_sampler_does_what_the_written_out_reference_does(sampler, number):
    logits, counts, reference = random_rows(3), random_counts(4), REFERENCES[sampler][0]
    before = logits.copy()
    found = sampler(number)(logits, counts)
    np.testing.assert_array_equal(logits, before)  # nothing is written to
    rows = zip(logits.tolist(), counts.prompt.tolist(), counts.written.tolist(), strict=True)
    expected = np.array([reference(*row, number) for row in rows])
    np.testing.assert_array_equal(np.isinf(found), np.isinf(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize("sampler", [TopP, Typical])
def test_what_is_kept_has_the_probability_asked_for(sampler):
    logits = random_rows(5)
    kept = np.isfinite(sampler(0.8)(logits, random_counts(6)))
    probability = np.array([probabilities(row) for row in logits])
    assert (np.where(kept, probability, 0).sum(axis=1) >= 0.8 - 1e-9).all()
    assert (kept.sum(axis=1) < SIZE).any()


def test_typical_may_leave_the_likeliest_out():
    logits = np.log(np.array([[0.4] + [0.006] * 100]))  # entropy 3.4; the likeliest has a surprise of 0.9
    kept = np.isfinite(Typical(0.2)(logits, random_counts(1, 1, 101)))[0]
    assert kept.tolist() == [False] + [True] * 34 + [False] * 66


def test_of_equal_distances_the_lower_id_comes_first():
    logits = np.array([[-np.inf, math.log(0.25), math.log(0.5), math.log(0.25)]])  # ln 2 / 2 from the entropy each
    for p, kept in [(0.2, [1]), (0.3, [1, 2]), (0.8, [1, 2, 3])]:
        assert np.flatnonzero(np.isfinite(Typical(p)(logits, random_counts(1, 1, 4)))[0]).tolist() == kept


def test_the_order_is_the_one_given():
    logits, counts = random_rows(7), random_counts(8)
    first_cold = TopP(0.8)(Temperature(0.3)(logits, counts), counts)
    first_cut = Temperature(0.3)(TopP(0.8)(logits, counts), counts)
    assert (np.isfinite(first_cold).sum(axis=1) <= np.isfinite(first_cut).sum(axis=1)).all()
    assert (np.isfinite(first_cold) != np.isfinite(first_cut)).any()


def test_the_usual_order_is_that_of_the_arguments():
    names = ["repetition_penalty", "presence_penalty", "frequency_penalty"]
    names += ["top_k", "typical", "top_p", "min_p", "temperature"]
    values = dict(zip(names, (1.1, 0.2, 0.3, 40, 0.95, 0.9, 0.05, 0.8), strict=True))
    samplers = usual_samplers(**dict(reversed(values.items())))
    assert [sampler.kernel for sampler in samplers] == names
    assert usual_samplers() == ()
    assert usual_samplers(temperature=0.5) == (Temperature(0.5),)


def test_temperature_0_leaves_the_first_of_the_likeliest():
    found = Temperature(0)(np.array([[1.0, 3.0, 3.0], [np.inf, 0.0, np.inf]]), random_counts(1, 2, 3))
    np.testing.assert_array_equal(found, [[-np.inf, 0.0, -np.inf], [0.0, -np.inf, -np.inf]])


WRONG = [
    (RepetitionPenalty, 0.0), (RepetitionPenalty, math.nan), (RepetitionPenalty, math.inf), (RepetitionPenalty, "1"),
    (PresencePenalty, math.inf), (PresencePenalty, None), (FrequencyPenalty, math.nan),
    (TopK, 0), (TopK, 2.0), (TopK, True),
    (TopP, 0.0), (TopP, 1.1), (TopP, math.nan), (TopP, True), (Typical, -0.1), (Typical, 2),
    (MinP, -0.1), (MinP, 1.5), (MinP, math.nan), (Temperature, -1), (Temperature, math.nan),
    (Temperature, True), (Temperature, 10**400), (TopP, 10**400), (PresencePenalty, 1e101), (FrequencyPenalty, -1e308),
]  # fmt: skip


@pytest.mark.parametrize(("sampler", "number"), WRONG)
def test_a_number_that_means_nothing_is_refused_in_one_sentence(sampler, number):
    with pytest.raises(ValueError, match=r"^generate: .* must be .*, not .*$") as caught:
        sampler(number)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "sampler",
    [RepetitionPenalty(1e308), RepetitionPenalty(1e-308), PresencePenalty(-1e100), FrequencyPenalty(1e100),
     TopK(10**400), TopP(0.5), Typical(0.5), MinP(0.5), Temperature(1e-308)],
)  # fmt: skip
def test_logits_at_the_ends_of_the_range_make_no_nan_and_no_warning(sampler):
    logits = np.array([[1.7e308, -1.7e308, 0.0], [np.inf, np.inf, 0.0], [-np.inf, -3e38, -1.7e308]])
    counts = Counts(np.ones((3, 3), np.int32), np.full((3, 3), 2**31 - 1, np.int32))
    assert not np.isnan(sampler(logits, counts)).any()
    assert math.isfinite(sampler.number)


CHAINS = {
    "none": (),
    "temperature": (Temperature(1.7),),
    "top-k": (TopK(6),),
    "top-p, then temperature": (TopP(0.9), Temperature(1.4)),
    "min-p": (MinP(0.1),),
    "typical": (Typical(0.8),),
    "all": usual_samplers(repetition_penalty=1.2, frequency_penalty=0.2, top_k=12, top_p=0.95, min_p=0.01,
                          temperature=1.2),
}  # fmt: skip


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_drawn_tokens_have_the_probabilities_that_the_samplers_leave(name, seed):
    """Chi-square of 20,000 draws. Seeds are fixed, so a p-value of 1e-4 is no matter of luck."""
    samplers, draws = CHAINS[name], 20_000
    logits, counts = random_rows(seed, 260)[255:256], random_counts(seed, 1)
    left = logits
    for sampler in samplers:
        left = sampler(left, counts)
    probability = np.array(probabilities(left[0].tolist()))
    many = Counts(*(np.repeat(array, draws, axis=0) for array in counts))
    tokens = choose(np.repeat(logits, draws, axis=0), samplers, many, RandomKey(seed, "sample"))
    seen = np.bincount(tokens, minlength=SIZE)
    assert (seen[probability == 0] == 0).all()
    common = probability * draws >= 5  # what is rarer is counted together
    if not common.all() and (probability[~common].sum() * draws) >= 5:
        seen = np.append(seen[common], seen[~common].sum())
        probability = np.append(probability[common], probability[~common].sum())
    else:
        seen, probability = seen[common], probability[common]
    if len(seen) > 1:
        expected = probability * seen.sum() / probability.sum()
        assert chdtrc(len(seen) - 1, ((seen - expected) ** 2 / expected).sum()) > 1e-4  # the p-value


@pytest.mark.parametrize(
    "sampler", [TopK(1), TopK(40), TopK(3000), TopP(0.5), TopP(0.9999), Typical(0.5), Typical(0.999)]
)
def test_a_large_vocabulary_is_cut_as_a_small_one(sampler, monkeypatch):
    """Whether all tokens are sorted or the first ones; there are rows with many equal ones."""
    logits, counts = random_rows(11, 40, 5000), random_counts(12, 40, 5000)
    logits[0] = 0.0
    found = sampler(logits, counts)
    monkeypatch.setattr("tinygrad_arith.generation.samplers.SORTED_WHOLE", 5000)
    np.testing.assert_array_equal(found, sampler(logits, counts))
