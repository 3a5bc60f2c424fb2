"""Sizes, devices and options that mean nothing are told where they are given, in one sentence."""

import importlib.util

import numpy as np
import pytest

from tinygrad_arith.autograd import Tensor
from tinygrad_arith.autograd import functions as F
from tinygrad_arith.models import GPT, GPTConfig
from tinygrad_arith.nn import Embedding, FeedForward, LayerNorm, Linear, Parameter, RMSNorm, SelfAttention
from tinygrad_arith.nn.initializers import ZEROS
from tinygrad_arith.ops import ShapeError
from tinygrad_arith.reproductions import WindowConfig, WindowGPT


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
    "GPTConfig: layers must be a whole number from 0 on, not -1": lambda: GPTConfig(7, 9, layers=-1),
    "GPTConfig: vocabulary must be a whole number from 1 on, not 0": lambda: GPTConfig(0, 9),
    "GPTConfig: kv_heads must be a whole number from 0 on, not -1": lambda: GPTConfig(7, 9, kv_heads=-1),
    "WindowConfig: heads must be a whole number from 1 on, not 0": lambda: WindowConfig(7, 9, heads=0),
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
