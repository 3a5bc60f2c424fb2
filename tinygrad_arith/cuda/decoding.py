"""Greedy decoding on the GPU: a whole answer as one CUDA graph, from the prompt to its last token.

Decoding token by token is hundreds of small kernels, and between two tokens the host would wait for the first to launch
the second. Here the likeliest token stays on the device and is the next step's input there.
"""

import functools
import operator
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import no_grad
from ..backend import to_numpy
from .graph import GraphedFunction, GraphMemory
from .source import cupy

MOST_DECODERS = 64  # shapes of prompt and answer, each with a graph, kept for a model


class GreedyDecoder:
    """Continues prompts of one shape, (batch, length), by `new` tokens each, without checking for a stop token.

    memory:              shared with the model's other decoders
    positions, key_mask: whether each call gives position ids and a mask, over all tokens but the last: a graph reads
                         them at the same place every time, so they have one here
    """

    def __init__(
        self,
        model: Any,
        memory: GraphMemory,
        batch: int,
        length: int,
        new: int,
        positions: bool = False,
        key_mask: bool = False,
    ):
        fed = length + new - 1
        self.model: Any = weakref.ref(model)
        self.prompts = cupy.zeros((batch, length), np.int64)  # (B, Tp)
        self.positions = cupy.zeros((batch, fed), np.int64) if positions else None  # (B, fed)
        self.key_mask = cupy.ones((batch, fed), np.bool_) if key_mask else None  # (B, fed)
        self.tokens = cupy.zeros((batch, new), np.int64)  # (B, new)
        self.caches = model.new_caches(batch, length + new)
        self.run = GraphedFunction(self.decode, memory)

    def __call__(
        self, prompts: np.ndarray, positions: np.ndarray | None = None, key_mask: np.ndarray | None = None
    ) -> np.ndarray:  # (B, Tp) int, (B, fed) int, (B, fed) bool -> (B, new) int64
        """The likeliest continuation of each prompt. Waits for the GPU."""
        self.prompts.set(np.ascontiguousarray(prompts, np.int64))
        if self.positions is not None:
            self.positions.set(np.ascontiguousarray(positions, np.int64))
        if self.key_mask is not None:
            self.key_mask.set(np.ascontiguousarray(key_mask, np.bool_))
        self.run()
        return to_numpy(self.tokens)

    def decode(self) -> None:
        """Reads `prompts` and what goes with them, writes `tokens`; what is captured."""
        model, ids = self.model(), self.prompts
        start = 0
        for cache in self.caches:
            cache.length = 0
        with no_grad():
            for step in range(self.tokens.shape[1]):
                end = start + ids.shape[1]
                positions = None if self.positions is None else self.positions[:, start:end]  # (B, end - start)
                key_mask = None if self.key_mask is None else self.key_mask[:, :end]  # (B, end)
                logits = model(ids, positions=positions, key_mask=key_mask, caches=self.caches).array[:, -1]  # (B, V)
                ids = logits.astype(np.float32).argmax(axis=-1)[:, None]  # (B, 1)
                self.tokens[:, step : step + 1] = ids
                start = end


class Decoders:
    """The decoders of a model as it is now: with these weights in memory, and these modules.

    The graphs have the weights' addresses built in; the weights are held here, so that no others get these addresses.
    """

    def __init__(self, model: Any):
        reference, memory = weakref.ref(model), GraphMemory()
        self._weights = weights_of(model)
        self._modules = [weakref.ref(module) for module in modules_of(model)]
        self.of_sizes: Callable[..., GreedyDecoder] = functools.lru_cache(MOST_DECODERS)(
            lambda *sizes: GreedyDecoder(reference(), memory, *sizes)
        )

    def fit(self, model: Any) -> bool:
        """Whether the model is still as it was."""
        modules = [module() for module in self._modules]
        return are_same(modules, modules_of(model)) and are_same(self._weights, weights_of(model))


def modules_of(model: Any) -> list[Any]:
    """All modules of a model, itself included."""
    return list(model.named_modules().values())


def weights_of(model: Any) -> list[Any]:
    """The arrays that a model computes with."""
    return [parameter.array for parameter in model.named_parameters().values()]


def are_same(some: list[Any], others: list[Any]) -> bool:
    """Whether two lists hold the very same objects."""
    return len(some) == len(others) and all(map(operator.is_, some, others))


_of_model: "weakref.WeakKeyDictionary[Any, Decoders]" = weakref.WeakKeyDictionary()


def greedy_decoder(
    model: Any, batch: int, length: int, new: int, positions: bool = False, key_mask: bool = False
) -> GreedyDecoder:
    """The model's decoder for these shapes, made at the first call, and again once the model has changed."""
    decoders = _of_model.get(model)
    if decoders is None or not decoders.fit(model):
        decoders = _of_model[model] = Decoders(model)
    return decoders.of_sizes(batch, length, new, positions, key_mask)
