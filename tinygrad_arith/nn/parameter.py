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
from ..backend import DtypePolicy, RandomKey, array_module, on_device_of
from ..ops import ArraySpec
from ..ops.registry import Destination

ALIGNMENT = 32  # elements: every parameter starts on a 128-byte line, and the length divides among 2, 4, ..., 32 shards


class Parameter(Tensor):
    """A leaf tensor of a module. Until the model is initialised it has a shape and a dtype, but no array.

    shape:       its shape
    initializer: called with a key and the shape
    decay:       whether weight decay applies: yes for matrices, no for biases and norm scales
    """

    __slots__ = ("decay", "initializer", "master")

    def __init__(self, shape: tuple[int, ...], initializer: Callable[..., np.ndarray], *, decay: bool):
        super().__init__(ArraySpec(shape, np.dtype(np.float32)), requires_grad=True)
        self.initializer = initializer
        self.decay = decay
        self.master: Any = None  # the values that the optimizer updates, if `array` is a copy of them in fewer bits

    def zero_grad(self) -> None:
        """Sets the gradient to zero; it stays a view of the flat buffer."""
        if self.grad is not None:
            self.grad[...] = 0

    @property
    def stored(self) -> Any:
        """The values as the optimizer and checkpoints have them. Whoever writes to them tells `mark_written`."""
        return self.array if self.master is None else self.master

    def destination(self) -> Destination | None:
        """As a tensor's; the gradient has the dtype of what is stored, which may be wider than the parameter's."""
        grad = self.grad
        if grad is None or grad.dtype != self.stored.dtype or not grad.flags.c_contiguous:
            return None
        return Destination(grad, add=not self.stale)

    @property
    def initialized(self) -> bool:
        """Whether the array exists."""
        return not isinstance(self.array, ArraySpec)


class FlatParameters:
    """All parameters of a model as views into one array, their gradients as views into another.

    The optimizer, clipping and (later) reduction over devices each work on one buffer. Parameters with weight decay
    come first, in the order of their names' first appearance; each is padded to ALIGNMENT elements with zeros.

    values, gradients: (N,)
    working:           (N,), what the model computes with: `values` themselves, or their copy in fewer bits
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
        self.policy, self.version = policy, Version()
        self.bind(self.values, self.gradients)

    def bind(self, values: Any, gradients: Any) -> None:
        """Makes these arrays, (N,) each, the flat ones, and the parameters views into them."""
        self.values, self.gradients = values, gradients
        copied = self.policy.compute != values.dtype
        self.working = values.astype(self.policy.compute) if copied else values  # (N,)
        for name, parameter in self.parameters.items():
            shape, here = parameter.shape, self.slices[name]
            parameter.array = self.working[here].reshape(shape)
            parameter.master = values[here].reshape(shape) if copied else None
            parameter.grad = gradients[here].reshape(shape)
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
            parameter.stored[...] = on_device_of(parameter.stored, values)
        self.mark_written()

    def zero_gradients(self) -> None:
        """Sets all gradients to zero."""
        self.gradients.fill(0)

    def hold_undecayed(self) -> None:
        """Sets the gradients of the parameters without weight decay (biases, norm scales) to zero: they stay."""
        self.gradients[self.decayed :] = 0

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

    def mark_written(self, working: bool = False) -> None:
        """To be called after writing to `values`: a backward that saved the old ones will refuse to run.

        working: whether their working copy was written to as well; otherwise it is made anew
        """
        if self.working is not self.values and not working:
            self.working[...] = self.values
        self.version.count += 1
