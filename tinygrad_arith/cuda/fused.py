"""The operations of a step that are neither GEMM nor attention, on the GPU.

Memory is what limits them: each takes as few passes over it as may be, and stores nothing that can be computed again.
The kernels are in kernels/, one file a family, which one module here launches. This module registers them, and has the
passes that others fuse into theirs.
"""

from ..ops.fast import always, assigned_index_backward, basic_index
from ..ops.indexing import index_forward
from ..ops.registry import Implementation, not_differentiable, register
from . import activations, adamw, cross_entropy, dropout, embedding, layernorm, lion, rmsnorm, rotary, sgd
from .adamw import gradient_norm, norm_and_scale
from .elements import DTYPES, FLOAT32
from .passes import add_bias, bias_gelu, bias_relu, column_sum, gelu_backward, multiply_by, relu_backward

__all__ = [
    "add_bias",
    "bias_gelu",
    "bias_relu",
    "column_sum",
    "gelu_backward",
    "gradient_norm",
    "multiply_by",
    "norm_and_scale",
    "relu_backward",
]


for _operation, _module, _accepts in (
    ("layernorm", layernorm, layernorm.accepts),
    ("rmsnorm", rmsnorm, rmsnorm.accepts),
    ("rotary", rotary, rotary.accepts),
    ("packed_rotary", rotary, rotary.accepts),
    ("gelu", activations, always),
    ("relu", activations, always),
    ("add", activations, activations.adds_rows),
    ("cross_entropy_sum", cross_entropy, always),
    ("embedding", embedding, embedding.accepts),
    ("dropout", dropout, dropout.accepts),
):
    _forward, _backward = (getattr(_module, f"{_operation}_{way}") for way in ("forward", "backward"))
    register(Implementation(_operation, "fused", "cuda", DTYPES, _forward, _backward, _accepts))

register(Implementation("index", "assignment", "cuda", DTYPES, index_forward, assigned_index_backward, basic_index))
for _operation, _update, _takes in (
    ("adamw", adamw.adamw_update, adamw.accepts),
    ("sgd", sgd.sgd_update, sgd.accepts),
    ("lion", lion.lion_update, lion.accepts),
):
    register(Implementation(_operation, "fused", "cuda", (FLOAT32,), _update, not_differentiable, _takes))
