"""Weights from disk into a module, as they are there or renamed, transposed, joined, split, tied, in part."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..backend import DtypePolicy
from ..nn import Module
from ..nn.misfits import Misfits, in_groups, listed, printable
from ..nn.parameter import Parameter
from ..options.errors import UserError
from .arguments import check_device, check_model, check_names, check_seed_and_policy, check_table, some_names
from .dtypes import WEIGHTS, as_numbers, blocks, check_range, copy_numbers
from .mapping import Chosen, Names, is_chosen, pieces_of
from .ranges import Range, last_axis, left_over, part_of, within
from .source import Place, Source


@dataclass(frozen=True)
class Loaded:
    """What `load` did, by names.

    loaded:  parameters that were read
    drawn:   parameters that were drawn anew, all of them or the part that was missing
    dropped: tensors of the source that `names` has None for
    ignored: tensors of the source that have no parameter, as was allowed
    """

    loaded: tuple[str, ...]
    drawn: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = {"drawn anew": self.drawn, "dropped": self.dropped, "ignored": self.ignored}
        told = [f"{what}: {listed(in_groups(names))}" for what, names in parts.items() if names]
        return "; ".join([f"{len(self.loaded)} parameters loaded", *told])


class Move(NamedTuple):
    """A tensor of a source, or a part of it, that goes to a parameter, or to a part of it."""

    tensor: str  # whose numbers they are
    name: str  # under which it goes there: another one where `tied` says so
    parameter: str
    of: Range | None
    into: Range | None
    transposed: bool


def load(
    model: Module,
    source: Place,
    *,
    names: Names = None,
    transpose: Chosen = (),
    tied: Mapping[str, str] | None = None,
    allow_missing: Collection[str] = (),
    allow_unexpected: Collection[str] = (),
    seed: int | None = 0,
    policy: DtypePolicy | None = None,
    device: str = "cpu",
    gradients: bool = True,
) -> Loaded:
    """Reads safetensors into the arrays of a model, in their dtype and on their device; F64, F32, F16 and BF16.

    source:           a file, an index of several, a directory with either, or a `Source`
    names:            from a name in the source to the parameter's: a mapping or a function. It may give None (dropped),
                      a `Piece` or several; see `NameTable`. A name that a mapping does not have stays as it is
    transpose:        the names in the source, or a function that tells them, of tensors that are (out, in) where the
                      parameter is (in, out); a tensor of one axis stays as it is
    tied:             {missing: other}: where the source lacks the first name, the other one's tensor takes its place
    allow_missing:    parameters, or modules with all inside, that the source need not have: they are drawn from `seed`
                      as `initialize` would; with a seed of None they are left as they are. "": any
    allow_unexpected: names of the source, or beginnings that end at a dot, that need no parameter. "": any
    policy, device, gradients: see `Module.allocate`; of a model whose arrays are not made yet

    Two tensors may go to one parameter (tied weights): they must be equal. Nothing is written unless all fits. Raises
    UserError with one message that names all that is missing, unexpected, of another shape or otherwise wrong.
    """
    check_model(model)
    check_names(names)
    check_table("tied", tied)
    check_device(device)
    check_seed_and_policy(seed, policy)
    transpose = some_names("transpose", transpose, or_function=True)
    missing = some_names("allow_missing", allow_missing)
    unexpected = some_names("allow_unexpected", allow_unexpected)
    source = Source.of(source)
    plan = Plan(model, source, names, transpose, tied or {}, missing, unexpected)
    if plan.misfits:
        raise UserError(f"{source.path}: does not fit this {type(model).__name__}: {plan.misfits}")
    parameters = plan.parameters
    if any(parameter.initialized for parameter in parameters.values()):
        parameters = model._settled_parameters()
        plan.check_ranges({name: parameter.stored.dtype for name, parameter in parameters.items()})
    else:
        policy = policy or DtypePolicy.uniform("float32")
        plan.check_ranges(dict.fromkeys(parameters, policy.parameters))
        model.allocate(policy, device, gradients)
    drawn: tuple[str, ...] = ()
    if seed is not None:
        drawn = tuple(plan.absent)
        for name in drawn:
            parameters[name].draw(seed, name)
    for move in plan.all_moves():
        write(source, move, parameters[move.parameter])
    loaded = tuple(name for name, moves in plan.moves.items() if moves)
    for name in dict.fromkeys(loaded + drawn):
        parameters[name].mark_written()
    return Loaded(loaded, drawn, tuple(plan.dropped), tuple(plan.ignored))


class Plan:
    """What is to go where, and what does not fit. Of numbers it reads those only that must be equal."""

    def __init__(
        self,
        model: Module,
        source: Source,
        names: Names,
        transpose: Chosen,
        tied: Mapping[str, str],
        allow_missing: Collection[str],
        allow_unexpected: Collection[str],
    ):
        self.source, self.parameters, self.first_names = source, model.named_parameters(), model.all_names()
        self.misfits = Misfits()
        self.dropped: list[str] = []
        self.ignored: list[str] = []
        self.absent: list[str] = []
        self.moves: dict[str, list[Move]] = {name: [] for name in self.parameters}  # to each parameter
        self._misplaced: set[str] = set()  # parameters that something does not fit into
        if not callable(transpose):
            lacking = [printable(name) for name in transpose if name not in source.tensors and name not in tied]
            self.misfits.others += [f"there is no {name}, which is to be transposed" for name in lacking]
        for name in source.tensors:
            self._place(name, name, names, is_chosen(transpose, name), allow_unexpected)
        for name, other in tied.items():
            if name not in source.tensors and other in source.tensors:
                self._place(other, name, names, is_chosen(transpose, name), allow_unexpected)
            elif other not in source.tensors:
                self.misfits.others.append(f"there is no {printable(other)}, to which {printable(name)} is tied")
        for name in self.parameters:
            self._check_cover(name, allowed=is_under(name, allow_missing))
        if not self.misfits:  # else the name that was meant is among them
            known = [name for name in allow_missing if not any(is_under(one, [name]) for one in self.first_names)]
            self.misfits.others += [f"there is no parameter {printable(name)}, which may be missing" for name in known]

    def _place(self, tensor: str, name: str, names: Names, transposed: bool, allowed: Collection[str]) -> None:
        """Finds where a tensor goes, and notes what is wrong with it."""
        given = pieces_of(names, name)
        pieces = [piece for piece in given if piece.name is not None]
        if not pieces:
            self.dropped.append(name)
            return
        for piece in pieces:
            if piece.name not in self.first_names:
                (self.ignored if is_under(name, allowed) else self.misfits.unexpected).append(name)
                return
        dtype, stored = self.source.tensors[tensor].dtype, self.source.tensors[tensor].shape
        if dtype not in WEIGHTS:
            self.misfits.others.append(f"{printable(name)} is {dtype}, and not one of {', '.join(WEIGHTS)}")
            self._misplaced.update(self.first_names[str(piece.name)] for piece in pieces)
            return
        fitting = [
            self._add(Move(tensor, name, self.first_names[str(piece.name)], piece.of, piece.into, transposed))
            for piece in pieces
        ]
        rest = left_over(turned(stored, transposed), [piece.of for piece in given])
        if all(fitting) and rest:
            self.misfits.others.append(f"{rest[0]} to {rest[1]} of {printable(name)} go nowhere")

    def _add(self, move: Move) -> bool:
        """Notes a move, unless its shape does not fit, or it is the second one to the same place.

        Returns whether it fits.
        """
        here = self.parameters[move.parameter].shape
        stored = self.source.tensors[move.tensor].shape
        given = turned(stored, move.transposed)
        if not within(here, move.into):
            self._misplaced.add(move.parameter)
            place = f"{move.into[0]} to {move.into[1]} of {move.parameter}" if move.into else move.parameter
            self.misfits.others.append(f"{printable(move.name)} is to be {place}, which is {here}")
            return False
        if not within(given, move.of) or part_of(given, move.of) != part_of(here, move.into):
            of = f" from {move.of[0]} to {move.of[1]}" if move.of else ""
            needed = turned(part_of(here, move.into), move.transposed)
            self._misplaced.add(move.parameter)
            self.misfits.misshapen.append((move.name + of, stored, needed))
            return False
        for other in self.moves[move.parameter]:
            if other.into == move.into:
                if not self._equal(other, move):
                    both = f"{printable(other.name)} and {printable(move.name)}"
                    self.misfits.others.append(f"{both} both are {move.parameter}, and differ")
                return True
        self.moves[move.parameter].append(move)
        return True

    def _equal(self, one: Move, other: Move) -> bool:
        """Whether the numbers of two moves to one place are equal."""
        if one[0] == other[0] and one[3:] == other[3:]:
            return True
        arrays = [taken(self.source, move) for move in (one, other)]
        dtypes = [self.source.tensors[move.tensor].dtype for move in (one, other)]
        for part in blocks(arrays[0].shape):
            here, there = (as_numbers(array[part], dtype) for array, dtype in zip(arrays, dtypes, strict=True))
            if not np.array_equal(here, there, equal_nan=True):
                return False
        return True

    def _check_cover(self, name: str, allowed: bool) -> None:
        """Notes what is missing of a parameter, or given twice."""
        moves, shape = self.moves[name], self.parameters[name].shape
        ranges = sorted(move.into or (0, last_axis(shape)) for move in moves)
        if any(end > start for (_, end), (start, _) in pairwise(ranges)):
            self.misfits.others.append(f"parts of {name} are given twice, in {', '.join(m.name for m in moves)}")
        if sum(end - start for start, end in ranges) >= last_axis(shape):
            return
        if allowed:
            self.absent.append(name)
        elif name not in self._misplaced:  # else it is named already
            part = f" (there is {', '.join(f'{start} to {end}' for start, end in ranges)} only)" if ranges else ""
            self.misfits.missing.append(name + part)

    def all_moves(self) -> Iterator[Move]:
        """One after the other."""
        for moves in self.moves.values():
            yield from moves

    def check_ranges(self, dtypes: Mapping[str, Any]) -> None:
        """Raises UserError for a number that is too large for the dtype of its parameter."""
        for move in self.all_moves():
            stored, tensor = taken(self.source, move), self.source.tensors[move.tensor]
            stored = stored.T if move.transposed else stored  # as it lies in the file
            try:
                check_range(stored, tensor.dtype, dtypes[move.parameter])
            except FloatingPointError:
                what = f"{printable(move.name)} holds numbers too large for {dtypes[move.parameter]}"
                raise UserError(f"{tensor.path}: {what}") from None


def is_under(name: str, allowed: Collection[str]) -> bool:
    """Whether a name is one of these, or inside a module of that name; "" stands for all."""
    return any(one == "" or name == one or name.startswith(one.rstrip(".") + ".") for one in allowed)


def turned(shape: tuple[int, ...], transposed: bool) -> tuple[int, ...]:
    """A shape with its axes reversed, if it is to be transposed."""
    return shape[::-1] if transposed else shape


def taken(source: Source, move: Move) -> np.ndarray:
    """What a move takes, as stored, in our order of axes."""
    array = source.stored(move.tensor)
    array = array.T if move.transposed else array
    return array if move.of is None else array[..., slice(*move.of)]


def write(source: Source, move: Move, parameter: Parameter) -> None:
    """Writes what a move takes to where it goes."""
    target: Any = parameter.writable()
    target = target if move.into is None else target[..., slice(*move.into)]
    copy_numbers(target, taken(source, move), source.tensors[move.tensor].dtype, move.transposed)
