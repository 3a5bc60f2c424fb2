"""What is questioned: a forward and its right backward at given inputs, with the same function for mpmath."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

Arrays = tuple[np.ndarray, ...]
Backward = Callable[[Any, Any], Any]
Coupling = Callable[[tuple[int, ...], list[tuple[int, ...]]], list[tuple[np.ndarray, np.ndarray]]]


@dataclass(frozen=True)
class Problem:
    """One function at given inputs.

    forward, backward: NumPy, in float64: forward(*arrays) -> (out or a tuple of them, cache); backward(dy, cache)
    exact:     exact(*object arrays) -> a tuple of object arrays of mpmath numbers, one an output: the terms of it
    arrays:    the differentiable inputs
    lengths:   for each input, how far each element may move before the function looks different: the distance to a
               kink or to the edge of the domain, the width of a bend
    couplings: for each input, which terms an element reaches (see `by_element` and those below it)
    summed:    the output is the sum of the terms; otherwise each term is an element of the output
    outside:   for each output, a number that the forward adds to it
    faults:    wrong backwards of this very function, by description
    joint:     masks over the first input: along these directions, too, the derivative counts (a tie of a maximum)
    kind:      what the tables group by; `scale` and `offset` are the logarithms (10) of the inputs' size and of the
               offset over the size of what it is added to, `placed` says where the offset is
    """

    name: str
    kind: str
    forward: Callable[..., tuple[Any, Any]]
    backward: Backward
    exact: Callable[..., tuple[np.ndarray, ...]]
    arrays: Arrays
    lengths: Arrays
    couplings: tuple[Coupling, ...]
    scale: float = 0.0
    summed: bool = False
    outside: tuple[float, ...] = ()
    faults: dict[str, Backward] = field(default_factory=dict)
    joint: tuple[np.ndarray, ...] = ()
    placed: str = "none"
    offset: float = 0.0
    mixed: bool = False

    def outputs(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """The float64 outputs as a tuple, also where there is only one."""
        return tuple(np.asarray(out) for out in as_tuple(self.forward(*arrays)[0]))

    def gradients(self, backward: Backward, cotangents: Arrays) -> tuple[np.ndarray, ...]:
        """What a backward says, as a tuple."""
        out, cache = self.forward(*self.arrays)
        dy = tuple(c.copy() for c in cotangents)
        return as_tuple(backward(dy if isinstance(out, tuple) else dy[0], cache))


def as_tuple(values: Any) -> tuple[Any, ...]:
    """The values as a tuple, also where there is only one."""
    return values if isinstance(values, tuple) else (values,)


def sized(problem: Problem) -> float:
    """The logarithm of the inputs' typical size."""
    magnitudes = np.abs(np.concatenate([array.ravel() for array in problem.arrays]))
    return float(np.log10(np.median(magnitudes[magnitudes > 0])))


# Offsets


def plus_outside(problem: Problem, ratio: float) -> Problem:
    """The same function with a constant added to each output, `ratio` times the largest entry of it."""
    outputs = problem.outputs(*problem.arrays)
    outside = tuple(float(np.float64(f"{ratio * np.abs(out).max():.3g}")) for out in outputs)

    def forward(*arrays):
        out, cache = problem.forward(*arrays)
        raised = tuple(o + a for o, a in zip(as_tuple(out), outside, strict=True))
        return (raised if isinstance(out, tuple) else raised[0]), cache

    offset = float(np.log10(ratio))
    return replace(problem, forward=forward, outside=outside, placed="added to the output", offset=offset)


def plus_inside(problem: Problem, ratio: float) -> Problem:
    """The same function of (x + a) - a: its first digits go where nobody sees them."""
    amount = float(np.float64(f"{ratio * np.abs(problem.arrays[0]).max():.3g}"))

    def forward(x, *others):
        return problem.forward((x + amount) - amount, *others)

    return replace(problem, forward=forward, placed="within the function", offset=float(np.log10(ratio)))


# Couplings: which terms each element of an input reaches. A coupling gives colours: elements that may be moved at once
# since no term depends on two of them (a mask), and for each term the flat index of the one it depends on (-1: none).


def by_element(shape, terms):
    """Each term depends on the element in its own place, in every output."""
    owner = np.concatenate([np.arange(int(np.prod(shape))).reshape(shape).ravel() for _ in terms])
    return [(np.ones(shape, dtype=bool), owner)]


def by_row(shape, terms):
    """The terms of a row depend on the elements of that row: the input is (..., C), the terms (...) or (..., D)."""
    rows = np.arange(int(np.prod(shape[:-1]))).reshape(shape[:-1])
    colours = []
    for column in range(shape[-1]):
        mask = np.zeros(shape, dtype=bool)
        mask[..., column] = True
        owners = [np.broadcast_to(rows.reshape(rows.shape + (1,) * (len(t) - rows.ndim)), t).ravel() for t in terms]
        colours.append((mask, np.concatenate(owners) * shape[-1] + column))
    return colours


def by_column(shape, terms):
    """Terms (..., C) and an input (C,): each column has its own element."""
    owners = [np.broadcast_to(np.arange(shape[0]), t).ravel() for t in terms]
    return [(np.ones(shape, dtype=bool), np.concatenate(owners))]


def by_weight(shape, terms):
    """A matrix (I, O) and terms (..., O): each column of terms depends on the matrix's column."""
    colours = []
    for row in range(shape[0]):
        mask = np.zeros(shape, dtype=bool)
        mask[row] = True
        owners = [np.broadcast_to(row * shape[1] + np.arange(shape[1]), t).ravel() for t in terms]
        colours.append((mask, np.concatenate(owners)))
    return colours


def by_all(shape, terms):
    """Every term depends on every element."""
    count, colours = sum(int(np.prod(t)) for t in terms), []
    for flat in range(int(np.prod(shape))):
        mask = np.zeros(shape, dtype=bool)
        mask.flat[flat] = True
        colours.append((mask, np.full(count, flat)))
    return colours


def by_index(owner: np.ndarray) -> Coupling:
    """Each term depends on one element, whose flat index is given in the terms' shape."""
    return lambda shape, terms: [(np.ones(shape, dtype=bool), owner.ravel())]
