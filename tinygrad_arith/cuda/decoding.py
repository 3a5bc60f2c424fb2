"""Decoding on the GPU: a whole answer as one CUDA graph, from the prompt to its last token.

Decoding token by token is hundreds of small kernels, and between two tokens the host would wait for the first to launch
the second. Here each token is chosen on the device (`sampling`), stays there and is the next step's input.
"""

import functools
import operator
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import no_grad
from ..backend import RandomKey, repeat_rows, to_numpy
from .graph import GraphedFunction, GraphMemory
from .sampling import DeviceSampling
from .source import cupy

MOST_DECODERS = 64  # shapes of prompt and answer, each with a graph, kept for a model


class Decoder:
    """Continues prompts of one shape, (P, length), by `new` tokens each, without checking for a stop token.

    memory:              shared with the model's other decoders
    positions, key_mask: whether each call gives position ids and a mask, over all tokens but the last: a graph reads
                         them at the same place every time, so they have one here
    samples:             continuations of each prompt, which is read once: B = P * samples rows
    samplers, draws:     see `DeviceSampling`
    """

    def __init__(
        self,
        model: Any,
        memory: GraphMemory,
        prompts: int,
        length: int,
        new: int,
        positions: bool = False,
        key_mask: bool = False,
        samples: int = 1,
        samplers: tuple[Any, ...] = (),
        draws: bool = False,
    ):
        fed, rows = length + new - 1, prompts * samples
        self.model: Any = weakref.ref(model)
        self.samples = samples
        self.prompts = cupy.zeros((prompts, length), np.int64)  # (P, Tp)
        self.positions = cupy.zeros((prompts, fed), np.int64) if positions else None  # (P, fed)
        self.key_mask = cupy.ones((prompts, fed), np.bool_) if key_mask else None  # (P, fed)
        self.tokens = cupy.zeros((rows, new), np.int64)  # (B, new)
        self.caches = model.new_caches(prompts, length + new)
        self.sampling = DeviceSampling(samplers, draws, rows, model.config.vocabulary)
        self.run = GraphedFunction(self.decode, memory)

    def __call__(
        self,
        prompts: np.ndarray,
        positions: np.ndarray | None = None,
        key_mask: np.ndarray | None = None,
        counts: np.ndarray | None = None,
        key: RandomKey | None = None,
    ) -> np.ndarray:  # (P, Tp) int, (P, fed) int, (P, fed) bool, (B, V) int32 -> (B, new) int64
        """The continuations of each prompt, one below the other; with the marks of `DeviceSampling.choose`.

        Waits for the GPU.

        counts: of the tokens of the prompts, for penalties; key: for draws
        """
        self.prompts.set(np.ascontiguousarray(prompts, np.int64))
        if self.positions is not None:
            self.positions.set(np.ascontiguousarray(positions, np.int64))
        if self.key_mask is not None:
            self.key_mask.set(np.ascontiguousarray(key_mask, np.bool_))
        self.sampling.start(counts, key)
        self.run()
        return to_numpy(self.tokens)

    def decode(self) -> None:
        """Reads `prompts` and what goes with them, writes `tokens`; what is captured."""
        model, ids, caches = self.model(), self.prompts, self.caches
        all_positions, whole_mask = self.positions, self.key_mask
        start = 0
        for cache in caches:
            cache.length = 0
        self.sampling.begin()
        with no_grad():
            for step in range(self.tokens.shape[1]):
                end = start + ids.shape[1]
                positions = None if all_positions is None else all_positions[:, start:end]  # (B, end - start)
                key_mask = None if whole_mask is None else whole_mask[:, :end]  # (B, end)
                logits = model(ids, positions=positions, key_mask=key_mask, caches=caches).array[:, -1]  # (B, V)
                if step == 0 and self.samples > 1:
                    logits = repeat_rows(logits, self.samples)  # (B, V)
                    caches = [cache.repeated(self.samples) for cache in caches]
                    all_positions = repeat_rows(all_positions, self.samples)  # (B, fed)
                    whole_mask = repeat_rows(whole_mask, self.samples)  # (B, fed)
                tokens = self.sampling.choose(logits, step)  # (B,)
                self.tokens[:, step] = tokens
                ids = cupy.maximum(tokens, 0)[:, None]  # (B, 1)
                start = end


class Decoders:
    """The decoders of a model as it is now: with these weights in memory, and these modules.

    The graphs have the weights' addresses built in; the weights are held here, so that no others get these addresses.
    """

    def __init__(self, model: Any):
        reference, memory = weakref.ref(model), GraphMemory()
        self._weights = weights_of(model)
        self._modules = [weakref.ref(module) for module in modules_of(model)]
        self.of_sizes: Callable[..., Decoder] = functools.lru_cache(MOST_DECODERS)(
            lambda *sizes: Decoder(reference(), memory, *sizes)
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


def decoder_of(
    model: Any,
    prompts: int,
    length: int,
    new: int,
    positions: bool = False,
    key_mask: bool = False,
    samples: int = 1,
    samplers: tuple[Any, ...] = (),
    draws: bool = False,
) -> Decoder:
    """The model's decoder for these shapes, made at the first call, and again once the model has changed."""
    decoders = _of_model.get(model)
    if decoders is None or not decoders.fit(model):
        decoders = _of_model[model] = Decoders(model)
    return decoders.of_sizes(prompts, length, new, positions, key_mask, samples, samplers, draws)
