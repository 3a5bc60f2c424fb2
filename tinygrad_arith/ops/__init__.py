"""The reference: one file per operation, or family of operations, a pair of pure functions each.

    y, cache = layernorm_forward(x, weight, bias)
    dx, dweight, dbias = layernorm_backward(dy, cache)

A forward returns its output and a cache (a named tuple) of what the backward needs; a backward takes the gradient of
the output and returns the gradients of the differentiable inputs, in their order. Nothing else is read or written.

Each file ends with the declaration of its operation: the pair, the names of its differentiable inputs, its shape rule.
What is imported below is registered in `OPERATIONS`; from there `F` and the gradient checks take it.

Sizes: B batch, T positions, C channels, NH heads, HS head size, V vocabulary. The gradient of x is dx.
"""

from .registry import Implementation, Operation, chosen_table, register
from .shape_rules import ArraySpec, OpShapes, ShapeError

# isort: off
# What a transformer is made of
from .embedding import EMBEDDING, embedding_backward, embedding_forward, embedding_shapes
from .linear import LINEAR, linear_backward, linear_forward, linear_shapes
from .layernorm import LAYERNORM, layernorm_backward, layernorm_forward, layernorm_shapes
from .rmsnorm import RMSNORM, rmsnorm_backward, rmsnorm_forward, rmsnorm_shapes
from .attention import ATTENTION, attention_backward, attention_forward, attention_shapes
from .attention_blockwise import (
    ATTENTION_BLOCKWISE,
    attention_blockwise_backward,
    attention_blockwise_forward,
    attention_blockwise_shapes,
)
from .packed_attention import (
    PACKED_ATTENTION,
    packed_attention_backward,
    packed_attention_forward,
    packed_attention_shapes,
)
from .rotary import ROTARY, rotary_backward, rotary_forward, rotary_shapes
from .packed_rotary import PACKED_ROTARY, packed_rotary_backward, packed_rotary_forward, packed_rotary_shapes
from .gelu import (
    GELU,
    GELU_EXACT,
    gelu_backward,
    gelu_exact_backward,
    gelu_exact_forward,
    gelu_exact_shapes,
    gelu_forward,
    gelu_shapes,
)
from .silu import SILU, silu_backward, silu_forward, silu_shapes
from .relu import RELU, relu_backward, relu_forward, relu_shapes
from .dropout import DROPOUT, dropout_backward, dropout_forward, dropout_shapes
from .ffn import FFN, ffn_backward, ffn_forward, ffn_shapes
from .gated_ffn import GATED_FFN, gated_ffn_backward, gated_ffn_forward, gated_ffn_shapes
from .cross_entropy import (
    CROSS_ENTROPY_SUM,
    CROSS_ENTROPY,
    count_targets,
    cross_entropy_backward,
    cross_entropy_forward,
    cross_entropy_shapes,
    cross_entropy_sum_backward,
    cross_entropy_sum_forward,
    cross_entropy_sum_shapes,
)

# What a Tensor's operators are made of
from .arithmetic import (
    ADD,
    SUBTRACT,
    MULTIPLY,
    DIVIDE,
    POWER,
    ELEMENTWISE_POWER,
    MATMUL,
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
from .elementwise import (
    NEGATIVE,
    EXP,
    LOG,
    SQRT,
    TANH,
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
from .reductions import (
    SUM,
    MEAN,
    MAX,
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
from .softmax import (
    SOFTMAX,
    LOG_SOFTMAX,
    log_softmax_backward,
    log_softmax_forward,
    softmax_backward,
    softmax_forward,
    softmax_shapes,
)
from .where import WHERE, where_backward, where_forward, where_shapes
from .joining import (
    CONCATENATE,
    STACK,
    concatenate_backward,
    concatenate_forward,
    concatenate_shapes,
    stack_backward,
    stack_forward,
    stack_shapes,
)
from .reshaping import (
    RESHAPE,
    TRANSPOSE,
    reshape_backward,
    reshape_forward,
    reshape_shapes,
    transpose_backward,
    transpose_forward,
    transpose_shapes,
)
from .indexing import INDEX, index_backward, index_forward, index_shapes

# isort: on

OPERATIONS: dict[str, Operation] = {
    declared.name: declared for declared in list(vars().values()) if isinstance(declared, Operation)
}
