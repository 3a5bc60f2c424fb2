"""The tape: what was computed, walked once in reverse.

Each operation that ran on a tensor wanting a gradient left a `Node`: its backward, its cache, and where each of its
inputs came from. Nodes are numbered as they are made, and a node is always made after the nodes its inputs came from;
so going from the highest number down visits every node after all that used its output: no sorting, no recursion.
"""

import heapq
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..backend.side_work import wait_for
from . import versions
from .versions import Version, arrays_in, owner_of, written_since

__all__ = [
    "BackwardError",
    "InPlaceError",
    "Node",
    "Version",
    "is_recording",
    "no_grad",
    "record",
    "recording",
    "walk",
]


class BackwardError(RuntimeError):
    """The tape cannot be walked: a second backward, a changed array, a missing or misshaped gradient."""


class InPlaceError(BackwardError):
    """An array that a backward still needs was written to."""


class _ThreadState(threading.local):
    recording = True


_state = _ThreadState()


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


class Node:
    """One recorded operation.

    shape, dtype:           of its output
    names, sources, shapes: for each gradient that the backward returns, of which input it is, where it goes (the node
                            that made that input, a leaf tensor, or None where none is wanted), and its shape
    """

    __slots__ = (
        "__weakref__",
        "backward",
        "cache",
        "dtype",
        "names",
        "number",
        "operation",
        "retained",
        "shape",
        "shapes",
        "sources",
    )

    def __init__(
        self,
        operation: str,
        backward: Callable[..., tuple],
        cache: Any,
        out: Any,
        names: Sequence[str],
        sources: list[Any],
        shapes: list[tuple[int, ...]],
    ):
        self.number = next(versions.numbers)
        self.operation = operation
        self.backward: Callable[..., tuple] | None = backward
        self.cache = cache
        self.shape, self.dtype = out.shape, out.dtype
        self.names, self.sources, self.shapes = names, sources, shapes
        self.retained: Any = None  # a tensor that asked to keep its gradient

    def run(self, dy: Any, owned: bool) -> Iterator[tuple[Any, Any]]:
        """For each input, where its gradient goes and the gradient, checked; the cache is let go.

        A gradient that the backward put where it goes already comes as None.
        """
        if self.backward is None:
            raise BackwardError(
                f"{self.operation}: its backward has already run and its cache is freed; run the forward again"
            )
        if versions.newest_write > self.number:
            self._check_not_written()
        if dy.dtype != self.dtype:  # where types are mixed, a sum of theirs came back
            dy, owned = dy.astype(self.dtype), True
        sources = self.sources
        needs = tuple([source is not None for source in sources])
        into = self._destinations()
        gradients = self.backward(dy, self.cache, needs=needs, into=into, owned=owned)
        self.backward = self.cache = None
        self._check_gradients(gradients)
        arrived = [d is not None and d.array is gradient for d, gradient in zip(into, gradients, strict=True)]
        return zip(sources, [None if here else g for here, g in zip(arrived, gradients, strict=True)], strict=True)

    def _destinations(self) -> list[Any]:
        """For each input where its gradient may be put at once; None if it is used twice, or the cache lies there."""
        identities = [id(source) for source in self.sources]
        into = [
            None if s is None or isinstance(s, Node) or identities.count(id(s)) > 1 else s.destination()
            for s in self.sources
        ]
        if any(into):
            saved: set[int] = set()
            _add_owners((self.cache,), saved)
            into = [None if d is None or _owner(d.array) in saved else d for d in into]
        return into

    def _check_not_written(self) -> None:
        for field, array in arrays_in(self.cache):
            if written_since(self.number, array):
                raise InPlaceError(
                    f"{self.operation} saved {self._name_of(field, array)} {tuple(array.shape)} for its backward, "
                    "and it was written to since"
                )

    def _name_of(self, field: str, array: Any) -> str:
        """What a saved array is called: as the input that it is, if that can be told."""
        if field in self.names:
            return field
        for name, source in zip(self.names, self.sources, strict=True):
            if hasattr(source, "array") and owner_of(source.array) is owner_of(array):
                return name
        return "an array"

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
    out.node = Node(operation, backward, cache, out.array, names, sources, shapes)


def _add_owners(cache: tuple, owners: set[int]) -> None:
    """Adds the identities of what owns the memory of a cache's arrays."""
    for item in cache:
        if isinstance(item, tuple):
            _add_owners(item, owners)
        else:
            owners.add(_owner(item))


def _owner(item: Any) -> int:
    """The identity of what owns an array's memory: `owner_of`, for the common case and quickly."""
    base = getattr(item, "base", None)
    return id(item if base is None else base)


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
                        wait_for(source.grad)
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
