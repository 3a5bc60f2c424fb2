"""The tape: what was computed, walked once in reverse.

Each operation that ran on a tensor wanting a gradient left a `Node`: its backward, its cache, and where each of its
inputs came from. Nodes are numbered as they are made, and a node is always made after the nodes its inputs came from;
so going from the highest number down visits every node after all that used its output: no sorting, no recursion.
"""

import heapq
import itertools
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class BackwardError(RuntimeError):
    """The tape cannot be walked: a second backward, a changed array, a missing or misshaped gradient."""


class InPlaceError(BackwardError):
    """An array that a backward still needs was written to."""


class _ThreadState(threading.local):
    recording = True


_state = _ThreadState()
_node_numbers = itertools.count()


def is_recording() -> bool:
    """Whether operations of this thread are recorded."""
    return _state.recording


@contextmanager
def no_grad() -> Iterator[None]:
    """Inside, nothing is recorded: no caches are kept, no gradients flow. For evaluation. Per thread."""
    before, _state.recording = _state.recording, False
    try:
        yield
    finally:
        _state.recording = before


@contextmanager
def recording() -> Iterator[None]:
    """Inside, operations are recorded even within `no_grad`. For recomputing activations during a backward walk."""
    before, _state.recording = _state.recording, True
    try:
        yield
    finally:
        _state.recording = before


class Version:
    """How often an array was written to. Views of one array (a model's parameters) share one version."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Node:
    """One recorded operation.

    inputs: for each gradient that the backward returns, where it goes: the node that made that input, a leaf tensor,
            or None where no gradient is wanted
    """

    __slots__ = (
        "__weakref__",
        "backward",
        "cache",
        "input_names",
        "input_shapes",
        "inputs",
        "number",
        "operation",
        "retained",
        "shape",
        "watched",
    )

    def __init__(self, operation: str, backward: Callable[..., tuple], cache: Any, shape: tuple[int, ...]):
        self.number = next(_node_numbers)
        self.operation = operation
        self.backward: Callable[..., tuple] | None = backward
        self.cache = cache
        self.shape = shape
        self.inputs: list[Any] = []
        self.input_names: list[str] = []
        self.input_shapes: list[tuple[int, ...]] = []
        self.watched: list[tuple[Any, Version, int, str]] = []
        self.retained: Any = None  # a tensor that asked to keep its gradient

    def add_input(self, name: str, source: Any, shape: tuple[int, ...]) -> None:
        """Names where the next gradient goes."""
        self.inputs.append(source)
        self.input_names.append(name)
        self.input_shapes.append(shape)

    def watch(self, name: str, array: Any, version: Version) -> None:
        """Remembers how often `array` had been written to, to notice a write between forward and backward."""
        self.watched.append((weakref.ref(array), version, version.count, name))

    def run(self, dy: Any, owned: bool) -> tuple:
        """The gradients of the inputs, checked; the cache is let go."""
        if self.backward is None:
            raise BackwardError(
                f"{self.operation}: its backward has already run and its cache is freed; run the forward again"
            )
        self._check_not_written()
        needs = tuple(source is not None for source in self.inputs)
        gradients = self.backward(dy, self.cache, needs=needs, owned=owned)
        self.backward = self.cache = None
        self._check_gradients(gradients)
        return gradients

    def _check_not_written(self) -> None:
        for reference, version, count, name in self.watched:
            array = reference()
            if version.count != count and array is not None and _holds(self.cache, array):
                raise InPlaceError(
                    f"{self.operation} saved {name} {tuple(array.shape)} for its backward, and it was written to since"
                )

    def _check_gradients(self, gradients: tuple) -> None:
        if len(gradients) != len(self.inputs):
            names = ", ".join(self.input_names)
            raise BackwardError(
                f"{self.operation}: the backward returned {len(gradients)} gradients for {len(self.inputs)} inputs "
                f"({names})"
            )
        for name, source, shape, gradient in zip(
            self.input_names, self.inputs, self.input_shapes, gradients, strict=True
        ):
            if source is None:
                continue
            if gradient is None:
                raise BackwardError(f"{self.operation}: the backward returned None for d{name}, which is wanted")
            if tuple(gradient.shape) != shape:
                raise BackwardError(
                    f"{self.operation}: the backward returned d{name} {tuple(gradient.shape)} for {name} {shape}"
                )


def _holds(cache: Any, array: Any) -> bool:
    """Whether the cache, a nest of tuples, holds memory of `array`."""
    if isinstance(cache, tuple):
        return any(_holds(item, array) for item in cache)
    base, other = getattr(cache, "base", None), getattr(array, "base", None)
    owners = {id(item) for item in (array, other) if item is not None}
    return id(cache) in owners or (base is not None and id(base) in owners)


def walk(root: Node, dy: Any, on_ready: Callable[[Any], None] | None = None) -> None:
    """Carries the gradient `dy` of `root`'s output back to every leaf, adding to the leaves' gradients.

    on_ready: called with a leaf tensor as soon as its gradient is complete, while the walk goes on
    """
    uses = _count_leaf_uses(root) if on_ready else Counter()
    gradients: dict[Node, tuple[Any, bool]] = {root: (dy, False)}  # the gradient, and whether the walk alone holds it
    heap = [(-root.number, root)]
    while heap:
        _, node = heapq.heappop(heap)
        dy, owned = gradients.pop(node)
        if node.retained is not None:
            node.retained.accumulate_gradient(dy)
        for source, gradient in zip(node.inputs, node.run(dy, owned), strict=True):
            if source is None:
                continue
            if not isinstance(source, Node):
                source.accumulate_gradient(gradient)
                uses[source] -= 1
                if on_ready and uses[source] == 0:
                    on_ready(source)
            elif source in gradients:
                # A tensor used twice gets the sum. A new array: the old one may be somebody else's too.
                gradients[source] = (gradients[source][0] + gradient, True)
            else:
                gradients[source] = (gradient, False)
                heapq.heappush(heap, (-source.number, source))


def _count_leaf_uses(root: Node) -> Counter:
    """How many gradients each leaf will receive in a walk from `root`."""
    uses: Counter = Counter()
    seen, stack = {root}, [root]
    while stack:
        for source in stack.pop().inputs:
            if isinstance(source, Node):
                if source not in seen:
                    seen.add(source)
                    stack.append(source)
            elif source is not None:
                uses[source] += 1
    return uses
