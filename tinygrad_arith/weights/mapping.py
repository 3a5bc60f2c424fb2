"""Other programs' names for our parameters.

Where one tensor of theirs is one parameter of ours, a name is enough. Where theirs is a part of ours, or the other way
round, it takes a `Piece`. A `NameTable` lists both sides once, and translates in both directions.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from .ranges import Range


class Piece(NamedTuple):
    """A tensor, or a part of it, that becomes a tensor of another name, or a part of it. Parts are of the last axis.

    name: the other name; None: this part is dropped
    of:   from where to where the first tensor is taken; None: all of it
    into: from where to where it is put in the other one; None: it is all of that
    """

    name: str | None
    of: Range | None = None
    into: Range | None = None


NUMBER = "([0-9]{1,9})"

Target = str | Piece | Sequence[Piece] | None
Names = Mapping[str, Any] | Callable[[str], Any] | None
Chosen = Collection[str] | Callable[[str], bool]


def pieces_of(names: Names, name: str) -> list[Piece]:
    """What becomes of a tensor: nothing, or pieces of tensors with other names.

    names: a function, or a mapping, in which a name that is missing stays as it is

    Raises TypeError for what is neither a name, a Piece, several of these, nor None.
    """
    target = name if names is None else names(name) if callable(names) else names.get(name, name)
    several = [] if target is None else list(target) if is_list(target) else [target]
    if not all(isinstance(one, str | Piece) for one in several):
        raise TypeError(f"names: {name} became {target!r}, and not a name, a Piece, a list of them or None")
    pieces = [one if isinstance(one, Piece) else Piece(one) for one in several]
    for piece in pieces:
        check_piece(piece)
    return pieces


def is_list(target: Any) -> bool:
    """Whether what a tensor becomes is several pieces: a Piece is a tuple, too."""
    return isinstance(target, list | tuple) and not isinstance(target, Piece)


def check_piece(piece: Piece) -> None:
    """Raise TypeError for a Piece whose name is none, or whose ranges are none."""
    if not isinstance(piece.name, str | None):
        raise TypeError(f"names: the name of {piece!r} must be a text, or None")
    if piece.name is None and piece.into is not None:
        raise TypeError(f"names: {piece!r} is dropped, so it goes into nothing")
    for part in (piece.of, piece.into):
        if part is not None and not is_range(part):
            raise TypeError(f"names: {piece!r}: a range must be (start, stop) with 0 <= start < stop")


def is_range(part: Any) -> bool:
    """Whether a value says from where to where."""
    if not isinstance(part, tuple | list) or len(part) != 2 or not all(map(is_size, part)):
        return False
    return 0 <= part[0] < part[1]


def is_size(value: Any) -> bool:
    """Whether a value is a whole number."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_chosen(chosen: Chosen, name: str) -> bool:
    """Whether a name is among these, or one of which the function says so."""
    return bool(chosen(name)) if callable(chosen) else name in chosen


class Fused(NamedTuple):
    """Tensors that lie one behind the other along the last axis of one, as q, k and v do in a packed projection.

    names: theirs
    sizes: how many channels each has
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]

    @property
    def ranges(self) -> list[Range]:
        """From where to where each lies."""
        ends = list(accumulate(self.sizes))
        return list(zip([0, *ends[:-1]], ends, strict=True))


class Row(NamedTuple):
    """A line of a `NameTable`. Each `{}` in a name stands for a number, the same one on both sides.

    theirs, ours: names. `Fused` on one side: what is several tensors there is one here. Ours None: theirs is dropped
    transposed:   whether theirs is (out, in) where ours is (in, out)
    """

    theirs: str | Fused
    ours: str | Fused | None
    transposed: bool = False


class NameTable:
    """Names of another program beside ours, for `load` and for `save`.

        table = NameTable([
            Row("wte.weight", "token_embedding.weight"),
            Row(Fused(("h.{}.q.weight", "h.{}.kv.weight"), (C, 2 * C)), "blocks.{}.attention.qkv.weight"),
        ])
        load(model, path, names=table.ours, transpose=table.transposed)
        save(model, path, names=table.theirs, transpose=table.transposed)

    A name that no row has stays as it is: `load` calls it unexpected. Of several rows that a name
    fits, the one with the fewest `{}` counts. Raises ValueError for rows that contradict themselves or each other.
    """

    def __init__(self, rows: Sequence[Row]):
        ours: dict[str, list[Piece]] = {}
        theirs: dict[str, list[Piece]] = {}
        transposed: dict[str, bool] = {}
        for row in rows:
            _check_row(row)
            for name in _sides(row.theirs):
                if name in ours:
                    raise ValueError(f"{name}: is theirs in two rows of a NameTable")
                ours[name] = [] if row.ours is None else _pieces(name, row.theirs, row.ours)
                transposed[name] = bool(row.transposed)
            for name in () if row.ours is None else _sides(row.ours):
                assert row.ours is not None
                theirs.setdefault(name, []).extend(_pieces(name, row.ours, row.theirs))
        self._ours, self._theirs, self._transposed = Patterns(ours), Patterns(theirs), Patterns(transposed)

    def ours(self, name: str) -> list[Piece]:
        """What becomes of a tensor of theirs."""
        return _translated(self._ours, name)

    def theirs(self, name: str) -> list[Piece]:
        """What becomes of a parameter of ours. With two rows for it, it is written twice."""
        return _translated(self._theirs, name)

    def transposed(self, name: str) -> bool:
        """Whether a tensor of theirs is transposed."""
        return self._transposed.find(name, False)[0]


class Patterns:
    """A table whose keys are names with a `{}` for each number, or with the number itself."""

    def __init__(self, table: Mapping[str, Any]):
        self._exact = {key: value for key, value in table.items() if "{}" not in key}
        keys = sorted(table.keys() - self._exact.keys(), key=lambda key: (key.count("{}"), key))
        self._patterns = [(re.compile(re.escape(key).replace(re.escape("{}"), NUMBER)), table[key]) for key in keys]

    def find(self, name: str, otherwise: Any) -> tuple[Any, tuple[str, ...]]:
        """What the table has for a name, and the numbers in it."""
        if name in self._exact:
            return self._exact[name], ()
        for pattern, value in self._patterns:
            if found := pattern.fullmatch(name):
                return value, found.groups()
        return otherwise, ()


def _check_row(row: Row) -> None:
    """Raise ValueError for a row that makes no sense."""
    if not isinstance(row, Row):
        raise ValueError(f"{row!r}: a NameTable takes Rows")
    sides = [side for side in (row.theirs, row.ours) if side is not None]
    if isinstance(row.theirs, Fused) and isinstance(row.ours, Fused):
        raise ValueError(f"{row.theirs.names[0]}: a row of a NameTable has several tensors on one side only")
    for side in sides:
        if not isinstance(side, str | Fused):
            raise ValueError(f"{row!r}: {side!r} must be a name, or Fused")
        if isinstance(side, Fused):
            _check_fused(side)
    names = [name for side in sides for name in _sides(side)]
    if len({name.count("{}") for name in names}) > 1:
        raise ValueError(f"{', '.join(names)}: the names of a row must have the same number of {{}}")


def _check_fused(side: Fused) -> None:
    """Raise ValueError unless there is a size for each name."""
    names, sizes = side
    if isinstance(names, str) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{side!r}: its names must be several texts")
    if len(set(names)) < len(names):
        raise ValueError(f"{side!r}: has a name twice")
    if len(names) != len(sizes) or not all(is_size(size) and size > 0 for size in sizes):
        raise ValueError(f"{side!r}: must have a size, 1 or more, for each name")


def _sides(side: str | Fused) -> tuple[str, ...]:
    return (side,) if isinstance(side, str) else tuple(side.names)


def _pieces(name: str, side: str | Fused, other: str | Fused) -> list[Piece]:
    """What becomes of a tensor of one side on the other."""
    if isinstance(other, Fused):
        return [Piece(one, of=part) for one, part in zip(other.names, other.ranges, strict=True)]
    if isinstance(side, Fused):
        return [Piece(other, into=side.ranges[side.names.index(name)])]
    return [Piece(other)]


def _translated(patterns: Patterns, name: str) -> list[Piece]:
    pieces, numbers = patterns.find(name, [Piece(name)])
    return [piece._replace(name=_filled(piece.name, numbers)) for piece in pieces]


def _filled(pattern: str, numbers: tuple[str, ...]) -> str:
    """A name with these numbers for its `{}`, as many as there are."""
    first, *others = pattern.split("{}")
    return first + "".join(number + part for number, part in zip(numbers, others, strict=True)) if numbers else pattern
