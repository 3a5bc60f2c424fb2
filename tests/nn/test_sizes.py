"""Sizes, devices and options that mean nothing are told where they are given, in one sentence."""

import importlib.util
import math

import numpy as np
import pytest

from tinygrad_arith.autograd import Tensor
from tinygrad_arith.autograd import functions as F
from tinygrad_arith.models import GPT, GPTConfig
from tinygrad_arith.nn import (
    Block,
    Embedding,
    FeedForward,
    GatedFeedForward,
    LayerNorm,
    Linear,
    Parameter,
    RMSNorm,
    Rotary,
    SelfAttention,
)
from tinygrad_arith.nn.initializers import ZEROS
from tinygrad_arith.ops import ShapeError
from tinygrad_arith.reproductions import BatchTensorNorm, WindowConfig, WindowGPT


def zeros(*shape):
    return Tensor(np.zeros(shape), requires_grad=True)


SIZES = {
    "Linear: channels_in must be a whole number from 1 on, not 0": lambda: Linear(0, 3),
    "Linear: channels_in must be a whole number from 1 on, not -1": lambda: Linear(-1, 3),
    "Linear: channels_out must be a whole number from 1 on, not 2.5": lambda: Linear(3, 2.5),
    "Linear: channels_out must be a whole number from 1 on, not None": lambda: FeedForward(3, None),
    "Embedding: vocabulary must be": lambda: Embedding(0, 3),
    "a parameter of shape (0,): axis 0 must be a whole number from 1 on, not 0": lambda: LayerNorm(0),
    "a parameter of shape (-2,): axis 0 must be": lambda: RMSNorm(-2),
    "a parameter of shape (3, 0): axis 1 must be": lambda: Parameter((3, 0), ZEROS, decay=False),
    "SelfAttention: heads must be a whole number from 1 on, not 0": lambda: SelfAttention(12, 0),
    "GPTConfig: layers must be a whole number from 0 on, not -1": lambda: GPT(GPTConfig(7, 9, layers=-1)),
    "GPTConfig: vocabulary must be a whole number from 1 on, not 0": lambda: GPT(GPTConfig(0, 9)),
    "GPTConfig: kv_heads must be a whole number from 0 on, not -1": lambda: GPT(GPTConfig(7, 9, kv_heads=-1)),
    "WindowConfig: heads must be a whole number from 1 on, not 0": lambda: WindowGPT(WindowConfig(7, 9, heads=0)),
    "GPTConfig: rotary_base must be a number above 0, not 0.0": lambda: GPT(GPTConfig(7, 9, rotary_base=0.0)),
    "GPTConfig: rotary_base must be a number above 0, not nan": lambda: GPT(GPTConfig(7, 9, rotary_base=math.nan)),
    "WindowConfig: rotary_base must be a number above 0, not -3.0": lambda: WindowGPT(
        WindowConfig(7, 9, rotary_base=-3.0)
    ),
    "GPTConfig: weight_gain must be a number from 0 on, not nan": lambda: GPT(GPTConfig(7, 9, weight_gain=math.nan)),
    "GPTConfig: embedding_std must be a number from 0 on, not -1.0": lambda: GPT(GPTConfig(7, 9, embedding_std=-1.0)),
    "LayerNorm: eps must be a number from 0 on, not -1.0": lambda: Block(6, 2, 9, eps=-1.0),
    "LayerNorm: eps must be a number from 0 on, not 'a'": lambda: Block(6, 2, 9, eps="a"),
    "RMSNorm: eps must be a number from 0 on, not nan": lambda: RMSNorm(6, math.nan),
    "BatchTensorNorm: eps must be a number from 0 on, not None": lambda: BatchTensorNorm(6, None),
    "Rotary: base must be a number above 0, not 'a'": lambda: Rotary("a"),
    "Rotary: pairing must be neighbours or halves, not 'half'": lambda: Rotary(pairing="half"),
    "Rotary: width must be a whole number, not 2.0": lambda: Rotary(width=2.0),
    "Rotary: scaling must be a LinearScaling,": lambda: Rotary(scaling=2.0),
    "SelfAttention: kv_heads must be a whole number from 1 on, not True": lambda: SelfAttention(12, 2, True),
    "5 heads cannot share 24 channels: give head_size, or heads that divide 24": lambda: SelfAttention(24, 5),
    "attention: 5 heads cannot share 24 channels: give": lambda: Block(24, 5, 48),
    "blocks.0.attention: 5 heads cannot share 24 channels: give": lambda: GPT(GPTConfig(7, 9, d_model=24, heads=5)),
    "2 key/value heads do not divide 3 heads": lambda: SelfAttention(24, 3, 2),
    "rotary positions turn pairs of channels; 3 a head is odd": lambda: SelfAttention(9, 3, rotary=Rotary()),
    "no activation 'tanh': it must be one of relu, gelu, gelu-exact, silu": lambda: FeedForward(6, 9, "tanh"),
    "no activation 'swiglu' ('silu' in a GatedFeedForward): it must": lambda: GatedFeedForward(6, 9, "swiglu"),
    "no activation None: it must be one of": lambda: FeedForward(6, 9, None),
    "ffn: no activation 'tanh': it must be one of": lambda: Block(6, 2, 9, activation="tanh", gated=True),
    "GatedFeedForward: hidden must be a whole number from 1 on, not None": lambda: GatedFeedForward(6, None),
    "packed_attention: there must be a head at least, not 0": lambda: F.packed_attention(zeros(1, 2, 24), 0),
    "packed_attention: there must be a head at least, not -1": lambda: F.packed_attention(zeros(1, 2, 24), -1),
    "linear: there must be a channel at least": lambda: F.linear(zeros(3, 0), zeros(0, 5)),
    "linear: there must be a channel at": lambda: F.ffn(zeros(3, 0), zeros(0, 4), zeros(4), zeros(4, 0), zeros(0)),
}


@pytest.mark.parametrize("message", SIZES)
def test_sizes_that_nothing_can_have_are_told(message):
    with pytest.raises(ShapeError) as told:
        SIZES[message]()
    assert str(told.value).startswith(message)


@pytest.mark.parametrize("rotary", [True, {"base": 10.0}, 10.0])
@pytest.mark.parametrize("make", [SelfAttention, lambda *sizes, **options: Block(*sizes, 48, **options)])
def test_what_is_no_rotary(make, rotary):
    with pytest.raises(TypeError, match=r"^SelfAttention: rotary must be a Rotary\(\), not "):
        make(24, 4, rotary=rotary)


def test_a_head_size_of_its_own_needs_no_divisor():
    assert SelfAttention(24, 5, head_size=4).qkv.weight.shape == (24, 60)


def test_the_usual_activation_of_a_block_is_that_of_its_feed_forward_network():
    assert Block(6, 2, 9).ffn.activation == FeedForward(6, 9).activation == "gelu"
    assert Block(6, 2, 9, gated=True).ffn.activation == GatedFeedForward(6, 9).activation == "silu"


def test_an_operation_is_named_once():
    """`attention: attention: ...` where a module has the operation's name."""
    block = Block(8, 2, 9).initialize()
    with pytest.raises(ShapeError) as told:
        block(np.ones((2, 3, 8), np.float32), key_mask=np.ones((2, 4), bool))
    assert str(told.value).startswith("attention: key_mask must be (B, Tk); got")
    error = ShapeError("ffn: w1 is (2, 3)")
    error.inside("ffn")
    error.inside("blocks.1")
    assert str(error) == "blocks.1.ffn: w1 is (2, 3)"


@pytest.mark.parametrize("wrong", ["a", None, 2.5, [1]])
@pytest.mark.parametrize("loss", [F.cross_entropy, F.cross_entropy_sum])
def test_what_is_not_counted_is_a_whole_number(loss, wrong):
    with pytest.raises(TypeError, match="cross_entropy: ignore_index must be a whole number"):
        loss(zeros(2, 3), [0, 1], ignore_index=wrong)
    assert loss(zeros(2, 3), [0, 1], ignore_index=np.int64(1)).item() == pytest.approx(np.log(3.0))


@pytest.mark.parametrize(
    "model",
    [
        lambda: Linear(3, 2),
        lambda: Embedding(3, 2),
        lambda: GPT(GPTConfig(7, 6, d_model=16)),
        lambda: WindowGPT(WindowConfig(7, 6, d_model=16, heads=2)),
    ],
)
def test_a_model_is_not_called_with_none(model):
    with pytest.raises(TypeError, match=r"(is|are) None, where"):
        model().initialize()(None)


def test_devices_are_known_by_their_names():
    with pytest.raises(ValueError, match="no device 'gpu': it must be one of cpu, cuda"):
        Linear(3, 2).initialize(device="gpu")


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is there")
def test_without_cupy_it_is_told_what_to_install():
    with pytest.raises(ImportError, match=r"^CuPy is not installed; install it with: pip install"):
        Linear(3, 2).initialize(device="cuda")
