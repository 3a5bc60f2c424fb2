"""Other programs' names for our parameters.

Where one tensor of theirs is one parameter of ours, a name is enough. Where theirs is a part of ours, or the other way
round, it takes a `Piece`. A `NameTable` lists both sides once, and translates in both directions.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

Range = tuple[int, int]


class Piece(NamedTuple):
    """A tensor, or a part of it, that becomes a tensor of another name, or a part of it. Parts are of the last axis.

    name: the other name
    of:   from where to where the first tensor is taken; None: all of it
    into: from where to where it is put in the other one; None: it is all of that
    """

    name: str
    of: Range | None = None
    into: Range | None = None


Target = str | Piece | Sequence[Piece] | None
Names = Mapping[str, Any] | Callable[[str], Any] | None
Chosen = Collection[str] | Callable[[str], bool]


def pieces_of(names: Names, name: str) -> list[Piece]:
    """What becomes of a tensor: nothing, or pieces of tensors with other names.

    names: a function, or a mapping, in which a name that is missing stays as it is

    Raises TypeError for what is neither a name, a Piece, several of these, nor None.
    """
    target = name if names is None else names(name) if callable(names) else names.get(name, name)
    if target is None:
        return []
    several = (
        [target] if isinstance(target, str | Piece) else list(target) if isinstance(target, list | tuple) else None
    )
    if several is None or not all(isinstance(one, str | Piece) for one in several):
        raise TypeError(f"names: {name} became {target!r}, and not a name, a Piece, a list of them or None")
    return [one if isinstance(one, Piece) else Piece(one) for one in several]


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
    """A line of a `NameTable`. `{}` in a name stands for a number, the same one on both sides.

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

    A name that no row has stays as it is: `load` calls it unexpected.
    """

    def __init__(self, rows: Sequence[Row]):
        self._ours: dict[str, list[Piece]] = {}
        self._theirs: dict[str, list[Piece]] = {}
        self._transposed: set[str] = set()
        for row in rows:
            theirs = _sides(row.theirs)
            if row.transposed:
                self._transposed.update(theirs)
            for name in theirs:
                self._ours[name] = [] if row.ours is None else _pieces(name, row.theirs, row.ours)
            for name in () if row.ours is None else _sides(row.ours):
                assert row.ours is not None
                self._theirs.setdefault(name, []).extend(_pieces(name, row.ours, row.theirs))

    def ours(self, name: str) -> list[Piece]:
        """What becomes of a tensor of theirs."""
        return _translated(self._ours, name)

    def theirs(self, name: str) -> list[Piece]:
        """What becomes of a parameter of ours. With two rows for it, it is written twice."""
        return _translated(self._theirs, name)

    def transposed(self, name: str) -> bool:
        """Whether a tensor of theirs is transposed."""
        return _pattern(name)[0] in self._transposed


def _sides(side: str | Fused) -> tuple[str, ...]:
    return (side,) if isinstance(side, str) else side.names


def _pieces(name: str, side: str | Fused, other: str | Fused) -> list[Piece]:
    """What becomes of a tensor of one side on the other."""
    if isinstance(side, Fused) and isinstance(other, Fused):
        raise ValueError(f"{name}: a row of a NameTable has several tensors on one side only")
    if isinstance(other, Fused):
        return [Piece(one, of=part) for one, part in zip(other.names, other.ranges, strict=True)]
    if isinstance(side, Fused):
        return [Piece(other, into=side.ranges[side.names.index(name)])]
    return [Piece(other)]


def _pattern(name: str) -> tuple[str, list[str]]:
    """A name with `{}` for its numbers, and the numbers."""
    parts = name.split(".")
    numbers = [part for part in parts if re.fullmatch("[0-9]{1,9}", part)]
    return ".".join("{}" if re.fullmatch("[0-9]{1,9}", part) else part for part in parts), numbers


def _translated(table: dict[str, list[Piece]], name: str) -> list[Piece]:
    if name in table:
        return table[name]
    pattern, numbers = _pattern(name)
    found = table.get(pattern, [Piece(name)])
    return [piece._replace(name=piece.name.format(*numbers)) if pattern in table else piece for piece in found]
