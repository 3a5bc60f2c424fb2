"""A trainable array, and the one flat array that holds them all."""

import copy
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..autograd.tape import Version
from ..backend import DtypePolicy, RandomKey, array_module
from ..ops import ArraySpec

ALIGNMENT = 32  # elements: every parameter starts on a 128-byte line, and the length divides among 2, 4, ..., 32 shards


class Parameter(Tensor):
    """A leaf tensor of a module. Until the model is initialised it has a shape and a dtype, but no array.

    shape:       its shape
    initializer: called with a key and the shape
    decay:       whether weight decay applies: yes for matrices, no for biases and norm scales
    """

    __slots__ = ("decay", "initializer")

    def __init__(self, shape: tuple[int, ...], initializer: Callable[..., np.ndarray], *, decay: bool):
        super().__init__(ArraySpec(shape, np.dtype(np.float32)), requires_grad=True)
        self.initializer = initializer
        self.decay = decay

    def zero_grad(self) -> None:
        """Sets the gradient to zero; it stays a view of the flat buffer."""
        if self.grad is not None:
            self.grad[...] = 0

    @property
    def initialized(self) -> bool:
        """Whether the array exists."""
        return not isinstance(self.array, ArraySpec)


class FlatParameters:
    """All parameters of a model as views into one array, their gradients as views into another.

    The optimizer, clipping and (later) reduction over devices each work on one buffer. Parameters with weight decay
    come first, in the order of their names' first appearance; each is padded to ALIGNMENT elements with zeros.

    values, gradients: (N,)
    decayed:           how many leading elements have weight decay
    """

    def __init__(self, parameters: dict[str, Parameter], policy: DtypePolicy, xp: ModuleType = np):
        self.parameters = dict(sorted(parameters.items(), key=lambda item: not item[1].decay))  # a stable sort
        self.slices: dict[str, slice] = {}
        self.decayed, end = 0, 0
        for name, parameter in self.parameters.items():
            self.slices[name] = slice(end, end + parameter.size)
            end += -(-parameter.size // ALIGNMENT) * ALIGNMENT
            self.decayed = end if parameter.decay else self.decayed
        self.values = xp.zeros(end, dtype=policy.parameters)  # (N,)
        self.gradients = xp.zeros(end, dtype=policy.gradients)  # (N,)
        self.version = Version()
        self.bind(self.values, self.gradients)

    def bind(self, values: Any, gradients: Any) -> None:
        """Makes these arrays, (N,) each, the flat ones, and the parameters views into them."""
        self.values, self.gradients = values, gradients
        for name, parameter in self.parameters.items():
            shape = parameter.shape
            parameter.array = values[self.slices[name]].reshape(shape)
            parameter.grad = gradients[self.slices[name]].reshape(shape)
            parameter.version = self.version

    def move_to(self, values: Any, gradients: Any) -> None:
        """As `bind`, after copying into them what there is."""
        values[...], gradients[...] = self.values, self.gradients
        self.bind(values, gradients)

    def replica(self, parameters: dict[str, Parameter]) -> "FlatParameters":
        """The same values under other `Parameter`s of the same names, with gradients of their own."""
        twin = copy.copy(self)
        twin.gradients = array_module(self.gradients).zeros_like(self.gradients)
        twin.parameters = {name: parameters[name] for name in self.parameters}
        for name, parameter in twin.parameters.items():
            parameter.grad = twin.gradients[self.slices[name]].reshape(parameter.shape)
        return twin

    def initialize(self, seed: int) -> None:
        """Draws every parameter from a key of its own: the draw of one does not depend on which others there are."""
        for name, parameter in self.parameters.items():
            key = RandomKey(seed, "init", site=zlib.crc32(name.encode()))
            values = parameter.initializer(key, parameter.shape)
            parameter.array[...] = _on_device_of(parameter.array, values)
        self.mark_written()

    def zero_gradients(self) -> None:
        """Sets all gradients to zero."""
        self.gradients.fill(0)

    @contextmanager
    def fresh_gradients(self) -> Iterator[None]:
        """Inside, a backward replaces the gradients instead of adding to them: two passes over memory less.

        At the end the gradients are those of the backward inside; zero where it brought none.
        """
        for parameter in self.parameters.values():
            parameter.stale = True
        try:
            yield
        finally:
            for parameter in self.parameters.values():
                if parameter.stale:
                    parameter.zero_grad()
                parameter.stale = False

    def mark_written(self) -> None:
        """To be called after writing to `values`: a backward that saved the old ones will refuse to run."""
        self.version.count += 1


def _on_device_of(array: Any, values: np.ndarray) -> Any:
    return values if isinstance(array, np.ndarray) else type(array)(values)
