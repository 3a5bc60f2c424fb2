"""The textbook: one file per operation, a pair of pure functions each.

    y, cache = layernorm_forward(x, weight, bias)
    dx, dweight, dbias = layernorm_backward(dy, cache)

A forward returns its output and a cache (a named tuple) of what the backward needs; a backward takes the gradient of
the output and returns the gradients of the differentiable inputs, in their order. Nothing else is read or written.

Sizes: B batch, T positions, C channels, NH heads, HS head size, V vocabulary. The gradient of x is dx.
"""

from dataclasses import replace

from .arithmetic import (
    add_backward,
    add_forward,
    broadcast_shapes,
    divide_backward,
    divide_forward,
    elementwise_power_backward,
    elementwise_power_forward,
    matmul_backward,
    matmul_forward,
    matmul_shapes,
    multiply_backward,
    multiply_forward,
    power_backward,
    power_forward,
    power_shapes,
    subtract_backward,
    subtract_forward,
    subtract_shapes,
)
from .attention import attention_backward, attention_forward, attention_shapes
from .attention_blockwise import (
    attention_blockwise_backward,
    attention_blockwise_forward,
    attention_blockwise_shapes,
)
from .cross_entropy import (
    count_targets,
    cross_entropy_backward,
    cross_entropy_forward,
    cross_entropy_shapes,
    cross_entropy_sum_backward,
    cross_entropy_sum_forward,
    cross_entropy_sum_shapes,
)
from .dropout import dropout_backward, dropout_forward, dropout_shapes
from .elementwise import (
    elementwise_shapes,
    exp_backward,
    exp_forward,
    log_backward,
    log_forward,
    negative_backward,
    negative_forward,
    sqrt_backward,
    sqrt_forward,
    tanh_backward,
    tanh_forward,
)
from .embedding import embedding_backward, embedding_forward, embedding_shapes
from .ffn import ffn_backward, ffn_forward, ffn_shapes
from .gelu import (
    gelu_backward,
    gelu_exact_backward,
    gelu_exact_forward,
    gelu_exact_shapes,
    gelu_forward,
    gelu_shapes,
)
from .joining import (
    concatenate_backward,
    concatenate_forward,
    concatenate_shapes,
    stack_backward,
    stack_forward,
    stack_shapes,
)
from .layernorm import layernorm_backward, layernorm_forward, layernorm_shapes
from .linear import linear_backward, linear_forward, linear_shapes
from .packed_attention import packed_attention_backward, packed_attention_forward, packed_attention_shapes
from .packed_rotary import packed_rotary_backward, packed_rotary_forward, packed_rotary_shapes
from .reductions import (
    max_backward,
    max_forward,
    max_shapes,
    mean_backward,
    mean_forward,
    mean_shapes,
    reduction_shapes,
    sum_backward,
    sum_forward,
)
from .registry import Implementation, Operation, chosen_table, register
from .relu import relu_backward, relu_forward, relu_shapes
from .rmsnorm import rmsnorm_backward, rmsnorm_forward, rmsnorm_shapes
from .rotary import rotary_backward, rotary_forward, rotary_shapes
from .shapes import ArraySpec, OpShapes, ShapeError
from .shaping import (
    index_backward,
    index_forward,
    index_shapes,
    reshape_backward,
    reshape_forward,
    reshape_shapes,
    transpose_backward,
    transpose_forward,
    transpose_shapes,
)
from .softmax import (
    log_softmax_backward,
    log_softmax_forward,
    softmax_backward,
    softmax_forward,
    softmax_shapes,
)
from .where import where_backward, where_forward, where_shapes

_QKV = ("q", "k", "v")
_QKV_PACKED = ("qkv",)
_AB = ("a", "b")
_X = ("x",)
_JOINED = ("arrays",)
_POSITIONS = ("positions",)
_MASKS = ("key_mask", "lengths")
# Those that only move numbers, or take each by itself without leaving its range, stay in 16 bits.
_NARROW = {"embedding", "relu", "dropout", "negative", "exp", "log", "sqrt", "tanh", "max", "where", "concatenate"}
_NARROW |= {"stack", "reshape", "transpose", "index"}

OPERATIONS: dict[str, Operation] = {
    operation.name: replace(operation, wide=operation.name not in _NARROW)
    for operation in (
        # What a transformer is made of
        Operation("embedding", embedding_forward, embedding_backward, ("table",), embedding_shapes, ("ids",)),
        Operation("linear", linear_forward, linear_backward, ("x", "weight", "bias"), linear_shapes),
        Operation("layernorm", layernorm_forward, layernorm_backward, ("x", "weight", "bias"), layernorm_shapes),
        Operation("rmsnorm", rmsnorm_forward, rmsnorm_backward, ("x", "weight"), rmsnorm_shapes),
        Operation("attention", attention_forward, attention_backward, _QKV, attention_shapes, _MASKS),
        Operation(
            "attention_blockwise",
            attention_blockwise_forward,
            attention_blockwise_backward,
            _QKV,
            attention_blockwise_shapes,
            _MASKS,
        ),
        Operation(
            "packed_attention",
            packed_attention_forward,
            packed_attention_backward,
            _QKV_PACKED,
            packed_attention_shapes,
            _MASKS,
        ),
        Operation("rotary", rotary_forward, rotary_backward, _X, rotary_shapes, _POSITIONS),
        Operation(
            "packed_rotary",
            packed_rotary_forward,
            packed_rotary_backward,
            _QKV_PACKED,
            packed_rotary_shapes,
            _POSITIONS,
        ),
        Operation("gelu", gelu_forward, gelu_backward, _X, gelu_shapes),
        Operation("gelu_exact", gelu_exact_forward, gelu_exact_backward, _X, gelu_exact_shapes),
        Operation("relu", relu_forward, relu_backward, _X, relu_shapes),
        Operation("dropout", dropout_forward, dropout_backward, _X, dropout_shapes),
        Operation("ffn", ffn_forward, ffn_backward, ("x", "w1", "b1", "w2", "b2"), ffn_shapes),
        Operation(
            "cross_entropy_sum",
            cross_entropy_sum_forward,
            cross_entropy_sum_backward,
            ("logits",),
            cross_entropy_sum_shapes,
            ("targets", "weights"),
        ),
        Operation(
            "cross_entropy",
            cross_entropy_forward,
            cross_entropy_backward,
            ("logits",),
            cross_entropy_shapes,
            ("targets",),
        ),
        # What a Tensor's operators are made of
        Operation("add", add_forward, add_backward, _AB, broadcast_shapes("add")),
        Operation("subtract", subtract_forward, subtract_backward, _AB, subtract_shapes),
        Operation("multiply", multiply_forward, multiply_backward, _AB, broadcast_shapes("multiply")),
        Operation("divide", divide_forward, divide_backward, _AB, broadcast_shapes("divide", floating=True)),
        Operation("power", power_forward, power_backward, _X, power_shapes),
        Operation(
            "elementwise_power",
            elementwise_power_forward,
            elementwise_power_backward,
            _AB,
            broadcast_shapes("elementwise_power"),
        ),
        Operation("matmul", matmul_forward, matmul_backward, _AB, matmul_shapes),
        Operation("negative", negative_forward, negative_backward, _X, elementwise_shapes),
        Operation("exp", exp_forward, exp_backward, _X, elementwise_shapes),
        Operation("log", log_forward, log_backward, _X, elementwise_shapes),
        Operation("sqrt", sqrt_forward, sqrt_backward, _X, elementwise_shapes),
        Operation("tanh", tanh_forward, tanh_backward, _X, elementwise_shapes),
        Operation("sum", sum_forward, sum_backward, _X, reduction_shapes),
        Operation("mean", mean_forward, mean_backward, _X, mean_shapes),
        Operation("max", max_forward, max_backward, _X, max_shapes),
        Operation("softmax", softmax_forward, softmax_backward, _X, softmax_shapes),
        Operation("log_softmax", log_softmax_forward, log_softmax_backward, _X, softmax_shapes),
        Operation("where", where_forward, where_backward, _AB, where_shapes, ("condition",)),
        Operation("concatenate", concatenate_forward, concatenate_backward, _JOINED, concatenate_shapes),
        Operation("stack", stack_forward, stack_backward, _JOINED, stack_shapes),
        Operation("reshape", reshape_forward, reshape_backward, _X, reshape_shapes),
        Operation("transpose", transpose_forward, transpose_backward, _X, transpose_shapes),
        Operation("index", index_forward, index_backward, _X, index_shapes),
    )
}
