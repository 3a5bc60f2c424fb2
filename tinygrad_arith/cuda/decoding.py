"""Greedy decoding on the GPU: a whole answer as one CUDA graph, from the prompt to its last token.

Decoding token by token is hundreds of small kernels, and between two tokens the host would wait for the first to launch
the second. Here the likeliest token stays on the device and is the next step's input there.
"""

import functools
import weakref
from typing import Any

import numpy as np

from ..autograd import no_grad
from .graph import GraphedFunction
from .source import cupy

MOST_DECODERS = 64  # shapes of prompt and answer, each with a graph, kept for a model


class GreedyDecoder:
    """Continues prompts of one shape, (batch, length), by `new` tokens each, without a look at a stop token."""

    def __init__(self, model: Any, batch: int, length: int, new: int):
        self.model: Any = weakref.ref(model)
        self.prompts = cupy.zeros((batch, length), np.int64)  # (B, Tp)
        self.tokens = cupy.zeros((batch, new), np.int64)  # (B, new)
        self.caches = model.new_caches(batch, length + new)
        self.run = GraphedFunction(self.decode)

    def __call__(self, prompts: np.ndarray) -> np.ndarray:  # (B, Tp) int -> (B, new) int64
        """The likeliest continuation of each prompt. Waits for the GPU."""
        self.prompts.set(np.ascontiguousarray(prompts, np.int64))
        self.run()
        return self.tokens.get()

    def decode(self) -> None:
        """Reads `prompts`, writes `tokens`; what is captured."""
        model, ids = self.model(), self.prompts
        for cache in self.caches:
            cache.length = 0
        with no_grad():
            for step in range(self.tokens.shape[1]):
                logits = model(ids, caches=self.caches).array[:, -1]  # (B, V)
                ids = logits.astype(np.float32).argmax(axis=-1)[:, None]  # (B, 1)
                self.tokens[:, step : step + 1] = ids


_of_model: "weakref.WeakKeyDictionary[Any, Any]" = weakref.WeakKeyDictionary()


def greedy_decoder(model: Any, batch: int, length: int, new: int) -> GreedyDecoder:
    """The model's decoder for these shapes, made at the first call."""
    if model not in _of_model:
        reference = weakref.ref(model)
        _of_model[model] = functools.lru_cache(MOST_DECODERS)(lambda *sizes: GreedyDecoder(reference(), *sizes))
    return _of_model[model](batch, length, new)
