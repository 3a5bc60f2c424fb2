"""The window models: published sizes, what they see, dropout, generation."""

import dataclasses

import numpy as np
import pytest

from tinygrad_arith.autograd import no_grad
from tinygrad_arith.backend import DtypePolicy, RandomKey
from tinygrad_arith.generation import generate
from tinygrad_arith.ops import ShapeError
from tinygrad_arith.reproductions import WindowConfig, WindowGPT, WindowNet

FLOAT64 = DtypePolicy.uniform("float64")
ARTICLE = WindowConfig(17, 19, 48, layers=3, heads=3, activation="gelu", positions="sinusoidal", dropout=0.1)
TINY = WindowConfig(5, 7, d_model=6, layers=2, heads=3, ffn=9, positions="sinusoidal", dropout=0.2)
MODELS = {"window-gpt": WindowGPT, "window-net": WindowNet}


def tiny(name="window-gpt", **changes):
    return MODELS[name](dataclasses.replace(TINY, **changes)).initialize(seed=1, policy=FLOAT64)


def rows_of(*texts):
    """Windows of digits, padded on the right with 0."""
    return np.array([[int(digit) for digit in text.ljust(7, "0")] for text in texts])


def test_the_articles_gpt_has_101201_parameters():
    model = WindowGPT(ARTICLE)
    assert model.parameter_count() == 101_201
    assert sum(p.size for p in model.blocks[0].named_parameters().values()) == 28_272


def test_the_articles_dense_net_has_2514353_parameters():
    assert WindowNet(dataclasses.replace(ARTICLE, activation="relu", dropout=0.2)).parameter_count() == 2_514_353


@pytest.mark.parametrize("name", MODELS)
def test_a_window_gives_the_logits_of_one_token(name):
    ids = rows_of("1234", "4", "1111111")
    with no_grad():
        logits = tiny(name)(ids).data
    assert logits.shape == (3, 1, 5)
    with no_grad():
        np.testing.assert_allclose(tiny(name)(ids[1:2]).data, logits[1:2], rtol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_every_token_and_its_place_count(name):
    model, ids = tiny(name), rows_of("1234")
    with no_grad():
        before = model(ids).data
        for place in range(7):
            changed = ids.copy()
            changed[0, place] = (changed[0, place] + 1) % 5
            assert (model(changed).data != before).any()
        assert (model(ids[:, ::-1]).data != before).any()


def attended(model, ids, query, key, **options):
    """Whether a query of the first block takes anything from a key."""
    from tinygrad_arith.models import attention_maps

    return (attention_maps(model, ids, **options)[0][0, :, query, key] > 0).all()


def test_attention_sees_the_tokens_but_not_the_padding():
    model, ids = tiny(), rows_of("1234")
    assert [attended(model, ids, 0, key) for key in range(7)] == [True] * 4 + [False] * 3
    mask = np.array([[True, False, True, True, True, True, True]])
    assert [attended(model, ids, 0, key, key_mask=mask) for key in range(7)] == [True, False, True, True] + [False] * 3


def test_attention_to_padding_is_the_other_way_round():
    model = tiny(attend_to="padding")
    assert [attended(model, rows_of("1234"), 0, key) for key in range(7)] == [False] * 4 + [True] * 3
    with no_grad():
        assert np.isfinite(model(rows_of("1234123")).data).all()  # no padding: nothing is seen


def test_a_word_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"^no attend_to 'paddin': it must be one of tokens, padding$"):
        dataclasses.replace(TINY, attend_to="paddin")
    with pytest.raises(ValueError, match=r"^no activation 'Relu': it must be one of relu, gelu, gelu-exact$"):
        WindowNet(dataclasses.replace(TINY, activation="Relu"))


@pytest.mark.parametrize("name", MODELS)
def test_dropout_in_training_only(name):
    model, ids, key = tiny(name), rows_of("1234"), RandomKey(1, "dropout", step=3)
    with no_grad():
        plain, once, again = model(ids).data, model(ids, dropout_key=key).data, model(ids, dropout_key=key).data
        other = model(ids, dropout_key=key.at(step=4)).data
    np.testing.assert_array_equal(once, again)
    assert (once != plain).any()
    assert (once != other).any()


def test_dropout_is_where_the_article_has_it():
    rates = {name: m.rate for name, m in WindowGPT(ARTICLE).named_modules().items() if hasattr(m, "rate") and m.rate}
    block = {
        "attention.dropout": 0.1,
        "ffn_dropout": pytest.approx(0.19),
    }  # 1 - 0.9 * 0.9: two masks in a row
    assert rates == {f"blocks.{index}.{name}": rate for index in range(3) for name, rate in block.items()}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("given", [False, True])
def test_the_greedy_tokens_are_those_of_windows_filled_by_hand(name, given):
    model = tiny(name)
    prompts = np.array([[1, 2, 3], [4, 4, 1]])
    positions = np.array([[2, 1, 0, 3, 4, 5]]) if given else None
    written = generate(model, prompts, 3, positions=positions)
    places = None if positions is None else np.pad(positions, ((0, 0), (0, 1)))
    window = np.zeros((2, 7), dtype=np.int64)
    window[:, :3] = prompts
    with no_grad():
        for place in range(3, 6):
            window[:, place] = model(window, positions=places).data[:, 0].argmax(axis=-1)
    np.testing.assert_array_equal(written, window[:, 3:6])


def test_a_window_that_is_full_writes_one_more_token():
    assert generate(tiny(), np.ones((1, 7), dtype=np.int64), 1).shape == (1, 1)
    with pytest.raises(ValueError, match="a prompt of 7 tokens leaves room for 1, not 2"):
        generate(tiny(), np.ones((1, 7), dtype=np.int64), 2)


@pytest.mark.parametrize("name", MODELS)
def test_rows_of_another_width_are_refused(name):
    with pytest.raises(ShapeError, match="rows of 6 tokens, but the window has 7"):
        tiny(name)(np.ones((1, 6), dtype=np.int64))


@pytest.mark.parametrize("name", MODELS)
def test_the_dry_pass_agrees_with_a_real_pass(name):
    report = MODELS[name](TINY).shape_report(batch=3, positions=7)
    assert report.rows[-1].shapes.out.shape == tiny(name)(rows_of("1", "2", "3")).shape
    assert report.parameters == tiny(name).parameter_count()
