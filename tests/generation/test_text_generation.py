"""Texts: prompts of unequal lengths, several samples, stop tokens and stop strings, pieces as they come."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from tinygrad_arith.autograd import Tensor, is_recording
from tinygrad_arith.autograd import functions as F
from tinygrad_arith.backend import DtypePolicy, RandomKey
from tinygrad_arith.generation import Temperature, TopK, complete, generate, stream, usual_samplers
from tinygrad_arith.generation.text import GrowingText, common_length
from tinygrad_arith.gradcheck_suite.subjects import MODELS
from tinygrad_arith.models import GPT, GPTConfig

CONTEXT, VOCABULARY = 26, 13
SCHEMES = {
    "learned": {},
    "sinusoidal, post-norm, grouped": {"positions": "sinusoidal", "norm": "post", "kv_heads": 1},
    "rotary, rmsnorm": {"positions": "rotary", "normalization": "rmsnorm"},
    "none": {"positions": "none"},
}
PROMPTS = [[3, 1, 4], [1, 5, 9, 2, 6, 5, 3], [5], [8, 9, 7, 9]]
LETTERS = "abcdefghijklm"


def model_of(scheme="learned", dtype="float64"):
    config = GPTConfig(VOCABULARY, CONTEXT, d_model=12, layers=2, heads=3, **SCHEMES[scheme])
    return GPT(config).initialize(seed=7, policy=DtypePolicy.uniform(dtype))


class WithoutCaches:
    """A model of which generation knows no more than how it is called."""

    def __init__(self, model):
        self.config, self.flat, self.model, self.calls = model.config, model.flat, model, []

    def __call__(self, ids, positions=None, key_mask=None):
        self.calls.append(ids.shape)
        return self.model(ids, positions=positions, key_mask=key_mask)


class Counting(WithoutCaches):
    """The same with caches."""

    def new_caches(self, batch, longest):
        return self.model.new_caches(batch, longest)

    def __call__(self, ids, positions=None, key_mask=None, caches=None):
        self.calls.append(ids.shape)
        return self.model(ids, positions=positions, key_mask=key_mask, caches=caches)


def letters(ids):
    return "".join(LETTERS[i] for i in ids)


# Prompts of unequal lengths


@cache
def written_alone(scheme, dtype):
    """What follows each prompt by itself, without caches (4, 15)."""
    model = WithoutCaches(model_of(scheme, dtype))
    return np.concatenate([generate(model, [prompt], 15) for prompt in PROMPTS])


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("cached", [True, False])
def test_each_of_unequal_prompts_is_written_on_as_if_alone(scheme, dtype, cached):
    model = model_of(scheme, dtype)
    asked = Counting(model) if cached else WithoutCaches(model)
    together = generate(asked, PROMPTS, 15)
    np.testing.assert_array_equal(together, written_alone(scheme, dtype))
    if cached:
        assert asked.calls == [(4, 7), *[(4, 1)] * 14]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_rows_that_stop_early_do_not_change_the_others(scheme):
    model = model_of(scheme)
    free = generate(model, PROMPTS, 15)
    stops = [int(free[0, 2]), int(free[1, 6])]
    for asked in (model, WithoutCaches(model)):
        for row, whole in zip(generate(asked, PROMPTS, 15, stop_token=stops), free, strict=True):
            ends = np.flatnonzero(np.isin(whole, stops))
            end = ends[0] if len(ends) else len(whole)
            np.testing.assert_array_equal(row[:end], whole[: min(end, len(row))])
            assert (row[end:] == whole[min(end, 14)]).all()  # each filled with the stop token that it produced


def test_unequal_prompts_with_samplers_and_draws():
    """Penalties do not count padding: a prompt is as if alone, in the row that it has."""
    samplers = usual_samplers(repetition_penalty=1.5, frequency_penalty=0.4, top_p=0.9, temperature=1.3)
    key = RandomKey(3, "sample")
    together = generate(model_of(), PROMPTS, 15, samplers=samplers, key=key)
    for row, prompt in enumerate(PROMPTS):
        alone = generate(model_of(), [prompt], 15, samplers=samplers, key=key.at(row=row))
        np.testing.assert_array_equal(together[row], alone[0])


def test_each_row_is_written_to_the_end_of_its_context():
    model = model_of()
    found = complete(model, PROMPTS)
    assert [len(one.tokens) for one in found] == [CONTEXT + 1 - len(prompt) for prompt in PROMPTS]
    assert {one.ended for one in found} == {"context"}
    for one, prompt in zip(found, PROMPTS, strict=True):
        alone = generate(WithoutCaches(model), [prompt], len(one.tokens))
        np.testing.assert_array_equal(one.tokens, alone[0])


def test_what_goes_with_one_length_only_is_refused_for_unequal_ones():
    with pytest.raises(ValueError, match="positions and key_mask are for prompts of one length"):
        generate(model_of(), PROMPTS, 3, positions=np.arange(20)[None])
    window = MODELS["window-gpt"]().initialize(seed=1)
    with pytest.raises(ValueError, match="this model reads a window, and needs prompts of one length"):
        generate(window, [[1, 2], [3]], 2)


@pytest.mark.parametrize(
    ("prompts", "sentence"),
    [
        ([[1, 2], []], "a prompt needs at least one token"),
        ([[1, 2], [3.0]], r"whole numbers \(B, Tp\), .* got 2 rows, one of them float64 \(1,\)"),
        ([[1, 2], [[3]]], r"got 2 rows, one of them int64 \(1, 1\)"),
        (["ab", "c"], r"whole numbers \(B, Tp\)"),
    ],
)
def test_prompts_that_are_none_are_told(prompts, sentence):
    with pytest.raises(ValueError, match=sentence):
        generate(model_of(), prompts, 2)


def test_prompts_may_be_arrays_and_tensors_of_any_lengths():
    expected = generate(model_of(), PROMPTS, 4)
    for wrap in (np.array, lambda row: Tensor(np.array(row)), tuple):
        np.testing.assert_array_equal(generate(model_of(), [wrap(row) for row in PROMPTS], 4), expected)


# Several samples


@pytest.mark.parametrize("prompts", [PROMPTS, [[3, 1, 4], [1, 5, 9]], [[2, 7]]])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_samples_read_the_prompt_once_and_are_rows_of_their_own(scheme, prompts):
    model, key, samples = model_of(scheme), RandomKey(4, "sample"), 3
    asked, cut = Counting(model), (TopK(5), Temperature(2.0))
    found = generate(asked, prompts, 6, samplers=cut, samples=samples, key=key)
    rows = len(prompts) * samples
    assert asked.calls[0][0] == len(prompts)
    assert asked.calls[1:] == [(rows, 1)] * 5
    repeated = [prompt for prompt in prompts for _ in range(samples)]
    np.testing.assert_array_equal(found, generate(model, repeated, 6, samplers=cut, key=key))
    again = generate(WithoutCaches(model), prompts, 6, samplers=cut, samples=samples, key=key)
    np.testing.assert_array_equal(found, again)
    assert len(np.unique(found[:samples], axis=0)) > 1


def test_samples_of_a_window_model():
    window, key = MODELS["window-gpt"]().initialize(seed=1), RandomKey(4, "sample")
    options = {"temperature": 3.0, "key": key}
    found = generate(window, [[1, 2, 3], [3, 1, 1]], 3, samples=2, **options)
    np.testing.assert_array_equal(found, generate(window, np.repeat([[1, 2, 3], [3, 1, 1]], 2, axis=0), 3, **options))


@pytest.mark.parametrize("samples", [0, -1])
def test_no_samples_are_refused(samples):
    with pytest.raises(ValueError, match="samples must be a whole number from 1 on"):
        generate(model_of(), PROMPTS, 2, samples=samples)


# What a model has to have


def test_a_model_that_only_can_be_called_is_enough():
    class Bag:
        """The mean of all tokens' vectors so far."""

        def __init__(self):
            self.config = model_of().config
            self.table = Tensor(np.random.default_rng(1).normal(size=(VOCABULARY, VOCABULARY)))
            self.flat = model_of().flat

        def __call__(self, ids, positions=None, key_mask=None):
            seen = np.ones(ids.shape) if key_mask is None else key_mask.astype(float)
            x = F.embedding(ids, self.table) * seen[:, :, None]
            causal = np.tri(ids.shape[1]) * seen[:, None, :]
            return Tensor(causal / np.maximum(causal.sum(-1, keepdims=True), 1)) @ x

    together = generate(Bag(), PROMPTS, 8)
    for prompt, row in zip(PROMPTS, together, strict=True):
        np.testing.assert_array_equal(row, generate(Bag(), [prompt], 8)[0])


def test_a_function_of_ones_own_is_a_sampler():
    def only_even(logits, counts):
        assert counts.prompt.shape == counts.written.shape == logits.shape
        assert counts.prompt.sum(axis=1).tolist() == [len(prompt) for prompt in PROMPTS]
        return np.where(np.arange(logits.shape[1]) % 2 == 0, logits, -np.inf)

    assert (generate(model_of(), PROMPTS, 9, samplers=[only_even]) % 2 == 0).all()
    with pytest.raises(TypeError, match="samplers must be a list of functions such as TopK"):
        generate(model_of(), PROMPTS, 9, samplers=TopK(3))
    with pytest.raises(ValueError, match="give samplers, or temperature and top_k, not both"):
        generate(model_of(), PROMPTS, 9, samplers=[only_even], top_k=3)


def test_a_penalty_without_a_key_makes_greedy_text_less_repetitive():
    plain = generate(model_of(), PROMPTS, 15)
    penalised = generate(model_of(), PROMPTS, 15, samplers=usual_samplers(frequency_penalty=5.0))
    kinds = [np.mean([len(set(row)) for row in rows.tolist()]) for rows in (plain, penalised)]
    assert kinds[1] > kinds[0]
    np.testing.assert_array_equal(plain[:, 0], penalised[:, 0])


def test_samplers_and_draws_from_nan_are_refused():
    model = model_of()
    model.flat.values[:] = np.nan
    for options in ({"samplers": [TopK(3), Temperature(0)]}, {"samplers": [], "key": RandomKey(1, "sample")}):
        with pytest.raises(ValueError, match="there are logits that are NaN; no token can be drawn from them"):
            generate(model, PROMPTS, 2, **options)


# Stops


def test_several_stop_tokens_and_why_a_row_ended():
    model = model_of()
    free = generate(model, PROMPTS, 9)
    stops = {int(free[0, 3]), int(free[1, 1])}
    found = complete(model, PROMPTS, 9, stop_token=sorted(stops), decode=letters)
    for one, row in zip(found, free, strict=True):
        ends = [i for i, token in enumerate(row.tolist()) if token in stops]
        kept = row[: ends[0] + 1] if ends else row
        np.testing.assert_array_equal(one.tokens, kept)
        assert one.ended == ("stop token" if ends else "max_tokens")
        assert one.text == letters(row[: ends[0]] if ends else row)


@pytest.mark.parametrize("stop_token", [1.5, "a", [[1]], [None]])
def test_a_stop_token_that_is_none_is_told(stop_token):
    with pytest.raises(ValueError, match="stop_token must be a whole number, or several"):
        generate(model_of(), PROMPTS, 3, stop_token=stop_token)


@pytest.mark.parametrize("length", [1, 2, 3, 5])
@pytest.mark.parametrize("streaming", [True, False])
def test_a_stop_string_ends_the_text_before_it_however_many_tokens_it_spans(length, streaming):
    model, key = model_of(), RandomKey(2, "sample")
    whole = complete(model, PROMPTS, 15, key=key, decode=letters)
    stop = whole[0].text[4 : 4 + length]
    if streaming:
        pieces = list(stream(model, PROMPTS, 15, key=key, decode=letters, stop_strings=["never", stop]))
        texts = ["".join(p.text for p in pieces if p.row == row) for row in range(4)]
        ends = [next(p.ended for p in pieces if p.row == row and p.ended) for row in range(4)]
    else:
        found = complete(model, PROMPTS, 15, key=key, decode=letters, stop_strings=["never", stop])
        texts, ends = [one.text for one in found], [one.ended for one in found]
    for text, end, one in zip(texts, ends, whole, strict=True):
        assert text == one.text.partition(stop)[0]
        assert end == ("stop string" if stop in one.text else "max_tokens")
    assert ends[0] == "stop string"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"stop_strings": ["x"]}, "stop_strings need `decode`"),
        ({"stop_strings": [""], "decode": letters}, "stop_strings must be texts that are not empty"),
        ({"stop_strings": [1], "decode": letters}, "stop_strings must be texts"),
        ({"stop_strings": 1, "decode": letters}, "stop_strings must be texts"),
    ],
)
def test_stop_strings_that_mean_nothing_are_told_at_once(options, sentence):
    for call in (stream, complete):
        with pytest.raises(ValueError, match=sentence):
            call(model_of(), PROMPTS, 3, **options)


# Pieces as they come


def test_a_stream_gives_each_token_when_it_is_there():
    model = Counting(model_of())
    pieces, steps = stream(model, PROMPTS, 4, decode=letters), []
    assert model.calls == []  # nothing is read before somebody asks
    for piece in pieces:
        steps.append((piece.row, len(model.calls)))
        assert is_recording()  # between two pieces others may record gradients
    assert steps == [(row, step) for step in (1, 2, 3, 4) for row in range(4)]
    found = [[p.token for p in stream(model, PROMPTS, 4) if p.row == row] for row in range(4)]
    np.testing.assert_array_equal(found, generate(model, PROMPTS, 4))


def test_a_stream_that_nobody_reads_on_costs_nothing():
    model = Counting(model_of())
    pieces = stream(model, PROMPTS)
    next(pieces)
    pieces.close()
    assert len(model.calls) == 1


def test_errors_of_a_stream_are_raised_by_the_call():
    with pytest.raises(ValueError, match="a prompt of 7 tokens leaves room for 20, not 21"):
        stream(model_of(), PROMPTS, 21)
    with pytest.raises(ValueError, match="a prompt of 27 tokens leaves room for 0, not 1"):
        stream(model_of(), [[1] * 27])
    with pytest.raises(ValueError, match="samples must be a whole number"):
        complete(model_of(), PROMPTS, 2, samples=2.0)
    with pytest.raises(IndexError, match="tokens of a prompt must be 0 to 12"):
        stream(model_of(), [[13], [1, 2]], 2)


def test_no_tokens_are_no_pieces():
    assert list(stream(model_of(), PROMPTS, 0)) == []
    assert [(one.text, one.tokens.size, one.ended) for one in complete(model_of(), PROMPTS, 0, samples=2)] == [
        ("", 0, "max_tokens")
    ] * 8
    assert [one.prompt for one in complete(model_of(), PROMPTS, 1, samples=2)] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_the_other_rows_go_on_where_one_has_stopped():
    model = model_of()
    free = generate(model, PROMPTS, 6)
    stop = int(free[0, 0])
    pieces = list(stream(model, PROMPTS, 6, stop_token=stop))
    for row, tokens in enumerate(free.tolist()):
        end = tokens.index(stop) + 1 if stop in tokens else 6
        assert [piece.token for piece in pieces if piece.row == row] == tokens[:end]
    assert sum(piece.row == 0 for piece in pieces) == 1


# Text that grows


def utf8(ids):
    """Each id is a byte."""
    return bytes(ids.tolist()).decode("utf-8", errors="replace")


def words(ids):
    """As SentencePiece has it: a space before each word, none at the beginning."""
    return " ".join(("the", "cat", "sat", "on")[i] for i in ids)


def said(decode, prompt, ids, stops=()):
    text = GrowingText(decode, np.array(list(prompt), dtype=np.int64), stops)
    pieces = []
    for token in ids:
        pieces.append(text.add(token))
        if text.stopped:
            return pieces
    return [*pieces, text.end()]


@pytest.mark.parametrize("text", ["plain", "Größe 10 €", "日本語", "😀!😀"])
def test_a_character_is_told_when_its_last_byte_is_there(text):
    data = text.encode()
    pieces = said(utf8, b"xyz", data)
    assert "".join(pieces) == text
    assert all("\ufffd" not in piece for piece in pieces)
    assert [len(piece) for piece in pieces[:-1]].count(1) == len(text)


def test_bytes_that_are_no_character_are_told_in_the_end_or_after_four():
    assert "".join(said(utf8, b"x", "aé".encode()[:2])) == "a\ufffd"
    pieces = said(utf8, b"x", b"\xff\xff\xff\xff\xff")
    assert pieces == ["", "", "", "\ufffd", "\ufffd", "\ufffd" * 3]  # each one when it is the fourth last
    assert said(utf8, b"x", b"\xff\xff\xff\xf0\x9f\x98\x80") == ["", "", "", *"\ufffd" * 3, "😀", ""]


def by_bytes(data):
    """As decoders of byte tokens have it: U+FFFD for each byte of what is no character."""
    text = ""
    while data:
        length = next((n for n in (1, 2, 3, 4) if is_character(data[:n])), 0)
        text, data = text + (data[:length].decode() or "\ufffd"), data[length or 1 :]
    return text


def is_character(data):
    return len(data.decode(errors="ignore")) == 1 and data.decode(errors="replace") == data.decode(errors="ignore")


@pytest.mark.parametrize(
    "replace", [lambda data: data.decode(errors="replace"), by_bytes], ids=["Python's", "by bytes"]
)
@pytest.mark.parametrize("valid", [True, False])
def test_the_text_is_the_decoders_however_tokens_cut_its_bytes(replace, valid):
    """Prompts end anywhere, inside of a character too; nothing is told that does not stay."""
    rng, told_late = np.random.default_rng(1), 0
    kinds = ["a", "é", "€", "😀"] if valid else ["a", "é", "😀", "\xff", "\xc3", "\x80"]
    parts = [kind.encode("latin-1" if len(kinds) > 4 and kind in kinds[3:] else "utf-8") for kind in kinds]
    for _ in range(700):
        data = b"".join(parts[i] for i in rng.integers(0, len(parts), rng.integers(1, 9)))
        cuts = [0, *np.flatnonzero(rng.random(len(data) - 1) < 0.6) + 1, len(data)]
        tokens = [data[start:end] for start, end in pairwise(cuts)]
        behind = rng.integers(0, len(tokens) + 1)

        def decode(ids, tokens=tokens):
            return replace(b"".join(tokens[i] for i in ids))

        pieces = said(decode, range(behind), range(behind, len(tokens)))
        whole, before = decode(range(max(behind - 5, 0), len(tokens))), decode(range(max(behind - 5, 0), behind))
        assert "".join(pieces) == whole[common_length(whole, before) :]
        if valid:
            assert all("\ufffd" not in piece for piece in pieces[:-1])
        told_late += bool(pieces[-1])
    assert told_late == 0 if valid else told_late > 50


def test_a_space_between_prompt_and_text_is_kept():
    assert said(words, [0, 1], [2, 3, 0]) == [" sat", " on", " the", ""]
    assert said(words, [], [2, 3]) == ["sat", " on", ""]


def test_what_may_become_a_stop_string_is_held_back_and_told_if_it_does_not():
    assert said(letters, [0], [1, 2, 3, 2, 4], ["cdcf", "x"]) == ["b", "", "", "", "cdce", ""]
    assert said(letters, [0], [1, 2, 3], ["cdcf"]) == ["b", "", "", "cd"]
    assert said(letters, [0], [1, 2, 2, 3, 4], ["cd"]) == ["b", "", "c", ""]
    assert said(letters, [2], [3, 4], ["cd"]) == ["d", "e", ""]  # what the prompt begins is not the text's


@pytest.mark.parametrize("tokens", [["aaabba"], ["a", "a", "a", "b", "b", "a"], ["aa", "ab", "ba"], ["aaabb", "a"]])
@pytest.mark.parametrize("stops", [["abb", "aaabba"], ["aaabba", "abb"]])
def test_of_stop_strings_the_one_that_is_whole_first_counts(tokens, stops):
    def decode(ids):
        return "".join(tokens[i] for i in ids)

    assert "".join(said(decode, [], range(len(tokens)), stops)) == "aa"
    assert "".join(said(decode, [], range(len(tokens)), [*stops, "aabb"])) == "a"  # of two at once the longer


def test_a_stop_string_behind_characters_that_tokens_cut():
    tokens = [b"x", b"\xc3", b"\xa9\xf0", b"\x9f\x98", b"\x80\xf0", b"\x9f\x98\x81", b"!"]

    def decode(ids):
        return b"".join(tokens[i] for i in ids).decode(errors="replace")

    assert "".join(said(decode, [0], range(1, 7), ["\ufffd"])) == "é😀😁!"
    assert "".join(said(decode, [0], range(1, 7), ["😁"])) == "é😀"


def by_list(ids):
    return list(LETTERS)[ids]


@pytest.mark.parametrize(
    ("decode", "sentence"),
    [
        ("x", "decode must be a function from an array of token ids .* to a text, not 'x'"),
        (by_list, r"decode must take an array of token ids \(n,\); of \[3, 1, 4\] it says: only integer"),
        *[
            (lambda ids, made=made: made, "decode must make a text of an array of token ids")
            for made in (None, b"a", ["a"])
        ],
    ],
)
def test_what_is_no_decoder_is_told_at_once(decode, sentence):
    for call in (complete, stream):
        with pytest.raises(TypeError, match=f"^generate: {sentence}"):
            call(model_of(), PROMPTS, 3, decode=decode)


def test_a_stop_string_inside_of_one_token():
    assert said(words, [0], [1, 2, 3], ["a"]) == [" c"]
    assert said(words, [0], [1, 2, 3], ["t s"]) == [" ca", ""]
