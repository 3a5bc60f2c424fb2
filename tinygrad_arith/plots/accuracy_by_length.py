"""Exact match against the operands' length, with the lengths that were trained on shaded."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .figure import LIGHT_GREY, blank_figure, clean_axes, legend_below, put_title, share_axis
from .series import Series, draw_group, title_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def accuracy_by_length(series: Sequence[Series], trained: int, fewest: int = 1, title: str = "") -> "Figure":
    """A line through the medians of each series and a band from the lowest to the highest seed.

    A curve's `x` are digits of the longer operand, `y` exact match. `trained`: the longest operand in training;
    `fewest`: problems that a length must have for a point, as is said where a length has none.
    """
    figure = blank_figure(6.4, 3.6)
    axes = figure.subplots()
    longest = max(int(curve.x[-1]) for group in series for curve in group.curves)
    axes.axvspan(0.5, trained + 0.5, color=LIGHT_GREY, alpha=0.6, linewidth=0)
    for index, group in enumerate(series):
        draw_group(axes, group, index, clipped=False)
    clean_axes(axes)
    share_axis(axes)
    axes.set_xlim(0.5, max(longest, trained) + 0.5)
    axes.locator_params(axis="x", integer=True)
    shaded = "shaded: trained on" if trained < longest else "all of them trained on"
    missing = missing_lengths(series)
    note = f"\n(no point at {as_ranges(missing)}: fewer than {fewest} problems)" if missing else ""
    axes.set_xlabel(f"digits of the longer operand ({shaded}){note}")
    put_title(axes, title or title_of(series, "exact match by operand length"))
    legend_below(figure, axes)
    return figure


def missing_lengths(series: Sequence[Series]) -> list[int]:
    """The lengths, up to its longest, at which some curve has no point."""
    curves = [curve for group in series for curve in group.curves]
    return sorted({length for curve in curves for length in range(1, int(curve.x[-1]) + 1) if length not in curve.x})


def as_ranges(numbers: Sequence[int]) -> str:
    """Rising whole numbers in words: `1 to 3, 7`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]} to {part[-1]}" for part in parts)
