"""Which operations of a training step the CPU does faster, in float32: GEMM by BLAS, one pass for the rest.

They differ from the reference in three ways: passes are in place where nobody else holds the array, nothing is copied
that can be read or written where it lies, and an activation's derivative is saved instead of what it is computed from.
Each is in the module of its name; this one registers them.
"""

import numpy as np

from ..ops.embedding import embedding_forward
from ..ops.fast import always, assigned_index_backward, basic_index, not_empty
from ..ops.indexing import index_forward
from ..ops.registry import Implementation, not_differentiable, register
from . import (
    adamw,
    cross_entropy,
    embedding,
    ffn,
    gated_ffn,
    layernorm,
    linear,
    lion,
    packed_attention,
    rmsnorm,
    rotary,
    sgd,
)
from .passes import LIBRARY

DTYPES = (np.dtype(np.float32),)

for _operation, _forward, _backward, _accepts in (
    ("linear", linear.linear_forward, linear.linear_backward, always),
    ("layernorm", layernorm.layernorm_forward, layernorm.layernorm_backward, always),
    ("rmsnorm", rmsnorm.rmsnorm_forward, rmsnorm.rmsnorm_backward, always),
    ("ffn", ffn.ffn_forward, ffn.ffn_backward, ffn.known_activation),
    ("gated_ffn", gated_ffn.gated_ffn_forward, gated_ffn.gated_ffn_backward, gated_ffn.known_activation),
    (
        "packed_attention",
        packed_attention.packed_attention_forward,
        packed_attention.packed_attention_backward,
        not_empty,
    ),
    ("rotary", rotary.rotary_forward, rotary.rotary_backward, not_empty),
    ("packed_rotary", rotary.packed_rotary_forward, rotary.packed_rotary_backward, not_empty),
    ("embedding", embedding_forward, embedding.embedding_backward, always),
    ("cross_entropy_sum", cross_entropy.cross_entropy_sum_forward, cross_entropy.cross_entropy_sum_backward, always),
    ("adamw", adamw.adamw_update, not_differentiable, adamw.accepts),
    ("sgd", sgd.sgd_update, not_differentiable, sgd.accepts),
    ("lion", lion.lion_update, not_differentiable, lion.accepts),
):
    register(Implementation(_operation, LIBRARY, "cpu", DTYPES, _forward, _backward, _accepts))

register(Implementation("index", "assignment", "cpu", DTYPES, index_forward, assigned_index_backward, basic_index))
