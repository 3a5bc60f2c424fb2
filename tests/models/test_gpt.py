"""The GPT: every parameter's gradient, causality, positions, parameter counts, the dry pass."""

import dataclasses

import numpy as np
import pytest

from tinygrad_arith.autograd import functions as F
from tinygrad_arith.autograd import no_grad
from tinygrad_arith.backend import DtypePolicy, RandomKey
from tinygrad_arith.models import GPT, GPTConfig
from tinygrad_arith.ops import ShapeError
from tinygrad_arith.verify import assert_close, check_module, randomize_parameters, tolerance

FLOAT64 = DtypePolicy.uniform("float64")
VARIANTS = {
    "pre-norm, learned positions": GPTConfig(vocabulary=5, context=7, d_model=6, layers=2, heads=2, ffn=4),
    "post-norm, sinusoidal, exact GELU": GPTConfig(
        vocabulary=5,
        context=7,
        d_model=6,
        layers=2,
        heads=3,
        ffn=4,
        norm="post",
        positions="sinusoidal",
        activation="gelu-exact",
    ),
    "grouped heads, tied head, dropout": GPTConfig(
        vocabulary=5, context=7, d_model=8, layers=1, heads=4, kv_heads=2, ffn=5, tied_head=True, dropout=0.2
    ),
    "rotary, rmsnorm": GPTConfig(
        vocabulary=5, context=7, d_model=6, layers=1, heads=3, ffn=4, positions="rotary", normalization="rmsnorm"
    ),
    "no positions, no norm": GPTConfig(
        vocabulary=5, context=7, d_model=6, layers=1, heads=2, ffn=4, positions="none", normalization="none"
    ),
}


def tiny(config, seed=1):
    return GPT(config).initialize(seed=seed, policy=FLOAT64)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_parameter_of_a_whole_gpt_has_the_right_gradient(name):
    model = tiny(VARIANTS[name])
    randomize_parameters(model, seed=3)
    rng = np.random.default_rng(4)
    ids = rng.integers(0, 5, size=(3, 7))
    targets = np.where(rng.random((3, 7)) < 0.3, -1, rng.integers(0, 5, size=(3, 7)))
    key_mask = np.arange(7) < np.array([7, 5, 2])[:, None]
    key = RandomKey(9, "dropout")

    def loss(module):
        return F.cross_entropy_sum(module(ids, key_mask=key_mask, dropout_key=key), targets)

    report = check_module(loss, model)
    assert len(report.inputs) == len(model.named_parameters())


@pytest.mark.parametrize("name", VARIANTS)
def test_a_later_token_changes_no_earlier_logit_not_by_one_bit(name):
    model = GPT(VARIANTS[name]).initialize(seed=1)
    rng = np.random.default_rng(2)
    ids = rng.integers(0, 5, size=(2, 7))
    with no_grad():
        before = model(ids).data
        for t in range(1, 7):
            changed = ids.copy()
            changed[:, t] = (changed[:, t] + 1) % 5
            after = model(changed).data
            np.testing.assert_array_equal(after[:, :t], before[:, :t])
            assert (after[:, t] != before[:, t]).any()


def test_hidden_padding_does_not_reach_the_real_tokens():
    model = tiny(VARIANTS["pre-norm, learned positions"])
    rng = np.random.default_rng(2)
    ids = rng.integers(0, 5, size=(1, 7))
    mask = np.arange(7)[None] >= 3  # padding on the left
    with no_grad():
        before = model(ids, key_mask=mask).data
        ids[:, :3] = (ids[:, :3] + 1) % 5
        after = model(ids, key_mask=mask).data
    np.testing.assert_array_equal(after[:, 3:], before[:, 3:])


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])
def test_positions_may_be_given_by_the_task(positions):
    model = tiny(GPTConfig(vocabulary=5, context=7, d_model=6, layers=1, heads=3, positions=positions))
    ids = np.random.default_rng(2).integers(0, 5, size=(2, 4))
    with no_grad():
        default = model(ids).data
        np.testing.assert_array_equal(model(ids, positions=np.arange(4)).data, default)
        np.testing.assert_allclose(model(ids, positions=np.tile(np.arange(4), (2, 1))).data, default, rtol=1e-12)
        assert (model(ids, positions=np.broadcast_to([3, 2, 1, 0], (2, 4))).data != default).any()


def test_without_positions_they_make_no_difference():
    model = tiny(GPTConfig(vocabulary=5, context=7, d_model=6, layers=1, heads=2, positions="none"))
    ids = np.random.default_rng(2).integers(0, 5, size=(2, 4))
    with no_grad():
        np.testing.assert_array_equal(model(ids, positions=np.array([3, 2, 1, 0])).data, model(ids).data)
        swapped = model(ids[:, [1, 0, 2, 3]]).data  # a single layer sees a set; two see which tokens came first
        np.testing.assert_allclose(swapped[:, 2:], model(ids).data[:, 2:], rtol=1e-12)


def test_names_of_parameters_stay_as_checkpoints_have_them():
    pre = ["attention_norm.weight", "attention_norm.bias", "attention.qkv.weight", "attention.qkv.bias"]
    pre += ["attention.output.weight", "attention.output.bias", "ffn_norm.weight", "ffn_norm.bias"]
    pre += ["ffn.up.weight", "ffn.up.bias", "ffn.down.weight", "ffn.down.bias"]
    ends = ["final_norm.weight", "final_norm.bias", "head.weight", "head.bias"]
    blocks = [f"blocks.{index}.{name}" for index in range(2) for name in pre]
    model = GPT(VARIANTS["pre-norm, learned positions"])
    assert list(model.named_parameters()) == ["token_embedding.weight", "position_embedding.weight", *blocks, *ends]


def test_weights_that_write_into_the_residual_stream_start_smaller_if_asked():
    def spread(scale_residuals, name):
        config = GPTConfig(5, 7, d_model=64, layers=8, heads=2, scale_residuals=scale_residuals)
        return GPT(config).initialize(seed=1).named_parameters()[name].data.std()

    for name in ("blocks.3.attention.output.weight", "blocks.3.ffn.down.weight"):
        assert spread(False, name) / spread(True, name) == pytest.approx(4.0)  # sqrt(2 * 8 layers)
    assert spread(False, "blocks.3.ffn.up.weight") == spread(True, "blocks.3.ffn.up.weight")


def test_dropout_depends_on_the_key_and_on_the_site_only():
    model = tiny(VARIANTS["grouped heads, tied head, dropout"])
    ids = np.random.default_rng(2).integers(0, 5, size=(2, 7))
    key = RandomKey(1, "dropout", step=3)
    with no_grad():
        once, again, other, none = (model(ids, dropout_key=k).data for k in (key, key, key.at(step=4), None))
    np.testing.assert_array_equal(once, again)
    assert (once != other).any()
    assert (once != none).any()
    sites = [m.site for m in model.named_modules().values() if hasattr(m, "site")]
    assert len(set(sites)) == len(sites) == 3


def test_the_article_decoder_has_448711_parameters():
    config = GPTConfig(7, 64, 96, layers=4, heads=4, activation="relu", norm="post", positions="sinusoidal")
    assert GPT(config).parameter_count() == 448_711


def test_gpt2_small_has_its_published_size_and_no_array_is_made_to_know_it():
    config = GPTConfig(50257, 1024, 768, layers=12, heads=12, tied_head=True)
    model = GPT(config)
    assert model.parameter_count() == 124_439_808
    assert not any(parameter.initialized for parameter in model.named_parameters().values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 5}, r"^blocks\.0\.attention: 5 heads cannot share 6 channels"),
        ({"heads": 3, "kv_heads": 2}, r"^blocks\.0\.attention: 2 key/value heads do not divide 3 heads"),
        ({"activation": "swish"}, r"^blocks\.0\.ffn: no activation 'swish'"),
        ({"dropout": 1.0}, r"embedding_dropout: dropout: the rate must be at least 0 and below 1"),
        ({"positions": "sinusoidal", "d_model": 9, "heads": 3}, r"position_embedding: .* 9 is odd"),
        ({"positions": "rotary", "d_model": 9, "heads": 3}, r"blocks\.0\.attention: .* 3 a head is odd"),
    ],
)
def test_a_wrong_dimension_is_told_at_construction_with_its_dotted_name(change, message):
    import dataclasses

    with pytest.raises(ShapeError, match=message):
        GPT(dataclasses.replace(VARIANTS["pre-norm, learned positions"], **change))


def test_more_positions_than_the_context_are_refused():
    model = tiny(VARIANTS["pre-norm, learned positions"])
    with pytest.raises(ShapeError, match="8 positions, but the context is 7"):
        model(np.zeros((1, 8), dtype=np.int64))


def test_an_id_outside_the_vocabulary_is_refused():
    model = tiny(VARIANTS["pre-norm, learned positions"])
    for wrong in (-1, 5):
        with pytest.raises(IndexError, match=r"ids must be 0 to 4; these go from"):
            model(np.array([[0, wrong]]))


def test_the_dry_pass_agrees_with_a_real_pass():
    config = VARIANTS["post-norm, sinusoidal, exact GELU"]
    report = GPT(config).shape_report(batch=3, positions=7)
    model = GPT(config).initialize()
    logits = model(np.zeros((3, 7), dtype=np.int64))
    assert report.rows[-1].shapes.out.shape == logits.shape
    assert report.rows[-1].module == "head"
    assert report.parameters == model.parameter_count()
    assert report.parameter_bytes == 4 * report.parameters
    assert report.training_bytes == 16 * report.parameters


def test_the_flop_of_the_article_step_are_those_published():
    config = GPTConfig(7, 64, 96, layers=4, heads=4, activation="relu", norm="post", positions="sinusoidal")
    assert GPT(config).shape_report(batch=192, positions=64).flop == pytest.approx(36.7e9, rel=0.01)


def test_two_half_batches_sum_to_the_whole_batch():
    model = tiny(VARIANTS["pre-norm, learned positions"])
    rng = np.random.default_rng(6)
    ids, targets = rng.integers(0, 5, size=(4, 7)), rng.integers(-1, 5, size=(4, 7))
    count = (targets != -1).sum()

    def gradient(parts):
        model.flat.zero_gradients()
        for part in parts:
            F.cross_entropy_sum(model(ids[part]), targets[part]).backward(1.0 / count)
        return model.flat.gradients.copy()

    halves = gradient([slice(0, 2), slice(2, 4)])
    assert_close(halves, gradient([slice(0, 4)]), tolerance("half_batches", "float64"))


def test_a_word_that_is_none_is_refused():
    config = VARIANTS["pre-norm, learned positions"]
    for name, allowed in (
        ("norm", "pre, post"),
        ("normalization", "layernorm, rmsnorm, none"),
        ("positions", "learned, sinusoidal, rotary, none"),
        ("activation", "relu, gelu, gelu-exact, silu"),
    ):
        with pytest.raises(ValueError, match=f"no {name} 'Pre'.* {allowed}$"):
            GPT(dataclasses.replace(config, **{name: "Pre"}))
