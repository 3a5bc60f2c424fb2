"""Parts of a tensor along its last axis: from where to where."""

from collections.abc import Iterable

Range = tuple[int, int]


def last_axis(shape: tuple[int, ...]) -> int:
    """How long the last axis is; 1 for a tensor without axes."""
    return shape[-1] if shape else 1


def within(shape: tuple[int, ...], part: Range | None) -> bool:
    """Whether the last axis reaches over a part; None stands for all of it."""
    return part is None or (len(shape) > 0 and 0 <= part[0] <= part[1] <= shape[-1])


def part_of(shape: tuple[int, ...], part: Range | None) -> tuple[int, ...]:
    """The shape of a part."""
    return shape if part is None else (*shape[:-1], part[1] - part[0])


def left_over(shape: tuple[int, ...], parts: Iterable[Range | None]) -> Range | None:
    """The first part of the last axis that none of these has, or None where they have all of it."""
    size = last_axis(shape)
    end = 0
    for start, stop in sorted(part or (0, size) for part in parts):
        if start > end:
            return end, start
        end = max(end, stop)
    return (end, size) if end < size else None
