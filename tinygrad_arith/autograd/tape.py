"""The tape: what was computed, walked once in reverse.

Each operation that ran on a tensor wanting a gradient left a `Node`: its backward, its cache, and where each of its
inputs came from. Nodes are numbered as they are made, and a node is always made after the nodes its inputs came from;
so going from the highest number down visits every node after all that used its output: no sorting, no recursion.
"""

import heapq
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple


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


class Watched(NamedTuple):
    """An array that must stay as it is while a backward needs it, and how often it had been written to."""

    name: str
    shape: tuple[int, ...]
    owners: tuple[int, int]  # the identity of the array and of the one it is a view of
    version: Version
    writes: int


class Node:
    """One recorded operation.

    names, sources, shapes: for each gradient that the backward returns, of which input it is, where it goes (the node
                            that made that input, a leaf tensor, or None where none is wanted), and its shape
    """

    __slots__ = (
        "__weakref__",
        "backward",
        "cache",
        "names",
        "number",
        "operation",
        "retained",
        "shape",
        "shapes",
        "sources",
        "watched",
    )

    def __init__(
        self,
        operation: str,
        backward: Callable[..., tuple],
        cache: Any,
        shape: tuple[int, ...],
        names: Sequence[str],
        sources: list[Any],
        shapes: list[tuple[int, ...]],
        watched: list[Watched],
    ):
        self.number = next(_node_numbers)
        self.operation = operation
        self.backward: Callable[..., tuple] | None = backward
        self.cache = cache
        self.shape = shape
        self.names, self.sources, self.shapes = names, sources, shapes
        self.watched = watched
        self.retained: Any = None  # a tensor that asked to keep its gradient

    def run(self, dy: Any, owned: bool) -> Iterator[tuple[Any, Any]]:
        """For each input, where its gradient goes and the gradient, checked; the cache is let go.

        A gradient that the backward put where it goes already comes as None.
        """
        if self.backward is None:
            raise BackwardError(
                f"{self.operation}: its backward has already run and its cache is freed; run the forward again"
            )
        self._check_not_written()
        sources = self.sources
        needs = tuple([source is not None for source in sources])
        into = [None if isinstance(s, Node) or s is None or sources.count(s) > 1 else s.destination() for s in sources]
        gradients = self.backward(dy, self.cache, needs=needs, into=into, owned=owned)
        self.backward = self.cache = None
        self._check_gradients(gradients)
        arrived = [d is not None and d.array is gradient for d, gradient in zip(into, gradients, strict=True)]
        return zip(sources, [None if here else g for here, g in zip(arrived, gradients, strict=True)], strict=True)

    def _check_not_written(self) -> None:
        for name, shape, owners, version, writes in self.watched:
            if version.count != writes and _holds(self.cache, owners):
                raise InPlaceError(
                    f"{self.operation} saved {name} {shape} for its backward, and it was written to since"
                )

    def _check_gradients(self, gradients: tuple) -> None:
        if len(gradients) != len(self.sources):
            names = ", ".join(self.names)
            raise BackwardError(
                f"{self.operation}: the backward returned {len(gradients)} gradients for {len(self.sources)} inputs "
                f"({names})"
            )
        for name, source, shape, gradient in zip(self.names, self.sources, self.shapes, gradients, strict=True):
            if source is None:
                continue
            if gradient is None:
                raise BackwardError(f"{self.operation}: the backward returned None for d{name}, which is wanted")
            if gradient.shape != shape:
                raise BackwardError(
                    f"{self.operation}: the backward returned d{name} {tuple(gradient.shape)} for {name} {shape}"
                )


def record(
    operation: str, backward: Callable[..., tuple], cache: Any, out: Any, names: Sequence[str], inputs: list[Any]
) -> None:
    """Leaves a node on the tape, as the one that made tensor `out`, if any input is a tensor that wants a gradient."""
    sources = [(x.node or x) if hasattr(x, "requires_grad") and x.requires_grad else None for x in inputs]
    if all(source is None for source in sources):
        return
    shapes = [x.shape for x in inputs]
    watched = [watch(name, x) for name, x in zip(names, inputs, strict=True) if hasattr(x, "version")]
    watched.append(watch("its output", out))
    out.node = Node(operation, backward, cache, out.shape, names, sources, shapes, watched)


def watch(name: str, tensor: Any) -> Watched:
    """Remembers how often a tensor's array had been written to, to notice a write between forward and backward."""
    array, version = tensor.array, tensor.version
    return Watched(name, array.shape, (id(array), id(array.base)), version, version.count)


def _holds(cache: Any, owners: tuple[int, int]) -> bool:
    """Whether the cache, a nest of tuples, holds memory of the array with these owners.

    What is cached has been there since the forward, so nothing else can have come to bear its identity.
    """
    if isinstance(cache, tuple):
        return any(_holds(item, owners) for item in cache)
    base = getattr(cache, "base", None)
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
        for source, gradient in node.run(dy, owned):
            if source is None:
                continue
            if not isinstance(source, Node):
                source.receive(gradient)
                if on_ready:
                    uses[source] -= 1
                    if uses[source] == 0:
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
        for source in stack.pop().sources:
            if isinstance(source, Node):
                if source not in seen:
                    seen.add(source)
                    stack.append(source)
            elif source is not None:
                uses[source] += 1
    return uses
