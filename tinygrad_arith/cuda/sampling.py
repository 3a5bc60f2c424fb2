"""Choosing tokens on the GPU: samplers one after the other, then the likeliest token or a draw. Nothing waits.

The samplers are those of `generation`, which stands above this package: of each are known the name of its kernel, its
number, and whether it looks at the tokens so far.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .elements import BFLOAT16, C_NAMES, FLOAT32, contiguous
from .source import Build, cupy

THREADS = 512  # of a block, which has a row: THREADS of sampling.cu


def build_for(dtype: np.dtype) -> Build:
    """The kernels for logits of a dtype."""
    return Build("sampling.cu", (("ELEMENT", C_NAMES[dtype]),))


class DeviceSampling:
    """Chooses the next token of each row, (B, V) -> (B,), in arrays that stay where they are: a graph may hold it.

    samplers: in this order
    draws:    whether tokens are drawn, by the key of `start`; else the likeliest is taken
    """

    def __init__(self, samplers: Sequence[Any], draws: bool, rows: int, vocabulary: int):
        self.samplers, self.rows, self.vocabulary = samplers, rows, vocabulary
        self.needs_counts = any(sampler.needs_counts for sampler in samplers)
        self.key = cupy.zeros(3, np.uint64) if draws else None  # (3,): words, site, row
        shape = rows, vocabulary
        self.prompt = cupy.zeros(shape, np.int32) if self.needs_counts else None  # (B, V)
        self.written = cupy.zeros(shape, np.int32) if self.needs_counts else None  # (B, V)

    def start(self, prompt: np.ndarray | None, key: Any) -> None:  # prompt: (B, V) int32, if there are penalties
        """From the host, before the first token: how often each token stands in the prompts, and the draws' key."""
        if self.prompt is not None:
            self.prompt.set(prompt)
        if self.key is not None:
            low, high = key.words()
            self.key.set(np.array([low | high << 32, key.site, key.row], np.uint64))

    def begin(self) -> None:
        """Nothing has been written yet."""
        if self.written is not None:
            self.written.fill(0)

    def choose(self, logits: Any, step: int) -> Any:  # (B, V) -> int64 (B,)
        """The tokens of a step; -1 for a row where logits are NaN, -2 where all are -infinity behind the samplers."""
        logits = contiguous(logits if logits.dtype in C_NAMES else logits.astype(np.float32))  # (B, V)
        build, shape = build_for(logits.dtype), logits.shape
        scores, weights = cupy.empty(shape, np.float64), cupy.empty(shape, np.uint64)  # (B, V) each
        nan, tokens = cupy.empty(self.rows, np.int32), cupy.empty(self.rows, np.int64)  # (B,) each
        build.kernel("widen")(self.rows, THREADS, logits, scores, nan, self.vocabulary)
        for sampler in self.samplers:
            given = scores, weights, self.prompt, self.written, self.vocabulary, sampler.number
            build.kernel(sampler.kernel)(self.rows, THREADS, *given)
        chosen = self.key, step, self.written, tokens, self.vocabulary
        build.kernel("choose_token")(self.rows, THREADS, scores, nan, *chosen)
        return tokens


BUILDS = (build_for(FLOAT32), build_for(BFLOAT16))
