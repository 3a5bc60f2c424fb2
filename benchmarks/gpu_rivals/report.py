"""From measured times to ratios, tables and a picture. Needs neither a GPU nor CuPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markdown_table import table

from .shapes import BACKWARD_OVER_FORWARD, TABLE_SHAPES, find_shape

FLASH, CUDNN, EFFICIENT = "FlashAttention-2", "cuDNN", "memory-efficient"
DETERMINISTIC = f"{FLASH}, deterministic"
RIVALS = (FLASH, CUDNN, EFFICIENT)
DIRECTIONS = ("forward", "backward")
RELAXED = (", atomics", ", tf32")


def teraflops(shape_name: str, direction: str, milliseconds: float) -> float:
    """10^12 operations a second; recomputation is not counted."""
    flop = find_shape(shape_name).flop * (BACKWARD_OVER_FORWARD if direction == "backward" else 1.0)
    return flop / milliseconds / 1e9


def time_of(result: dict[str, Any], name: str, direction: str) -> float | None:
    """Milliseconds of a contestant, None if it did not take part."""
    return result["contestants"].get(name, {}).get(direction, {}).get("ms")


def fastest_of_ours(result: dict[str, Any], direction: str, relaxed: bool = False) -> str | None:
    """Our fastest kernel variant in a direction; relaxed: of those that give up fixed sums, or float32's digits."""
    ours = {
        name: found[direction]["ms"]
        for name, found in result["contestants"].items()
        if found["ours"] and direction in found and name.endswith(RELAXED) == relaxed
    }
    return min(ours, key=lambda name: ours[name]) if ours else None


def ratio(result: dict[str, Any], name: str, rival: str, direction: str) -> float | None:
    """Time of one over time of the other."""
    mine, theirs = time_of(result, name, direction), time_of(result, rival, direction)
    return None if mine is None or theirs is None else mine / theirs


def in_time(milliseconds: float | None) -> str:
    """ "134 us", "2.67 ms" or "23.7 ms"."""
    if milliseconds is None:
        return "-"
    if milliseconds < 1:
        return f"{1e3 * milliseconds:.{0 if milliseconds >= 0.1 else 1}f} us"
    return f"{milliseconds:,.{2 if milliseconds < 10 else 1}f} ms"


def in_ratio(value: float | None) -> str:
    """ "0.93"."""
    return "-" if value is None else f"{value:.2f}"


def base_of(result: dict[str, Any]) -> str:
    """Whom the others are compared with."""
    return FLASH if time_of(result, FLASH, "forward") else EFFICIENT


def shape_table(result: dict[str, Any]) -> list[str]:
    """Every contestant on one shape: times, rates, and its time over each rival's."""
    rivals = [name for name in (*RIVALS, DETERMINISTIC) if time_of(result, name, "backward")]
    header = ["", "forward", "TFLOP/s", "backward", "TFLOP/s", *(f"over {name}" for name in rivals)]
    rows = []
    for name in result["contestants"]:
        row = [f"**{name}**" if result["contestants"][name]["ours"] else name]
        for direction in DIRECTIONS:
            milliseconds = time_of(result, name, direction)
            rate = "-" if milliseconds is None else f"{teraflops(result['shape'], direction, milliseconds):.0f}"
            row += [in_time(milliseconds), rate]
        row += [" / ".join(in_ratio(ratio(result, name, rival, d)) for d in DIRECTIONS) for rival in rivals]
        rows.append(row)
    return table(header, rows).split("\n")


def variants_and_rivals_table(report: dict[str, Any]) -> str:
    """One row a kernel variant or rival, one column a shape: forward / backward. What docs/cuda.md shows."""
    wanted = [shape.name for shape in TABLE_SHAPES]
    results = [result for result in report["shapes"] if result["shape"] in wanted]
    everyone = {name: found["ours"] for result in results for name, found in result["contestants"].items()}
    rows = []
    for name, ours in sorted(everyone.items(), key=lambda item: not item[1]):  # ours first
        cells = [" / ".join(in_time(time_of(result, name, d)) for d in DIRECTIONS) for result in results]
        rows.append([f"**{name}**" if ours else name, *("" if cell == "- / -" else cell for cell in cells)])
    return table(["", *(result["shape"] for result in results)], rows)


def lines(result: dict[str, Any]) -> list[str]:
    """What the command prints of one shape."""
    found = [f"  {'':30} {'forward':>10} {'TFLOP/s':>8} {'backward':>10} {'TFLOP/s':>8}  over {base_of(result)}"]
    for name in result["contestants"]:
        times = [time_of(result, name, d) for d in DIRECTIONS]
        rates = [
            "-" if t is None else f"{teraflops(result['shape'], d, t):.0f}"
            for d, t in zip(DIRECTIONS, times, strict=True)
        ]
        over = " / ".join(in_ratio(ratio(result, name, base_of(result), d)) for d in DIRECTIONS)
        found.append(f"  {name:30} {in_time(times[0]):>10} {rates[0]:>8} {in_time(times[1]):>10} {rates[1]:>8}  {over}")
    return found + [f"  {name:30} left out: {reason}" for name, reason in result["skipped"].items()]


def markdown(report: dict[str, Any], heading: str) -> str:
    """The page that is committed beside the JSON."""
    text = [
        "# Attention on the GPU",
        "",
        heading,
        "",
        "Causal self-attention; shapes are B/NH/T/HS: batch, heads, positions, head size. Medians of CUDA graphs",
        "replayed in turns: nothing of Python's, CuPy's or PyTorch's launches is in them, on either side. TFLOP/s",
        "count two GEMMs forward and five backward over half of T x T. Ratios are time over time, forward / backward:",
        "below 1 is faster than that rival. Ours are bold. Before anyone is timed, results are compared with the",
        "reference in float64.",
    ]
    for result in report["shapes"]:
        text += ["", f"## {result['shape']}", "", *shape_table(result)]
        text += ["", *(f"- {name}: left out, {reason}" for name, reason in result["skipped"].items())]
    return "\n".join(text).rstrip() + "\n"


def picture(report: dict[str, Any], path: Path) -> None:
    """Bars: how many times as fast as FlashAttention-2 (float32: as PyTorch's memory-efficient kernel)."""
    from matplotlib.patches import Patch

    from tinygrad_arith.plots.figure import BLUE, GREEN, ORANGE, blank_figure, save_figure

    bars = (
        ("ours", BLUE, fastest_of_ours),
        ("ours, with atomics (float32: TF32)", GREEN, lambda result, d: fastest_of_ours(result, d, relaxed=True)),
        ("cuDNN", ORANGE, lambda result, d: CUDNN),
    )
    figure = blank_figure(11, 1.6 + 0.5 * len(report["shapes"]))
    for column, direction in enumerate(DIRECTIONS):
        axes = figure.add_subplot(1, 2, column + 1)
        draw_bars(axes, report["shapes"], direction, bars)
        axes.set_title(f"{direction}: speed over {FLASH} (float32: {EFFICIENT})", fontsize=9)
        if column:
            axes.set_yticklabels([])
    handles = [Patch(color=colour, label=label) for label, colour, _ in bars]
    shapes = "shapes: B (batch) / NH (heads) / T (positions) / HS (head size)"
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, title=shapes)
    save_figure(figure, path)


def draw_bars(axes: Any, results: list[dict[str, Any]], direction: str, bars: tuple) -> None:
    """One group of bars for each shape, the first on top."""
    from tinygrad_arith.plots.figure import GREY, clean_axes

    clean_axes(axes)
    for offset, (_, colour, choose) in enumerate(bars):
        for row, result in enumerate(results):
            value = speed(result, choose(result, direction), direction)
            if value is not None:
                height = row + 0.26 * (offset - 1)
                axes.barh(height, value, height=0.24, color=colour)
                axes.text(value, height, f" {value:.2f}", va="center", fontsize=7)
    axes.axvline(1.0, color=GREY, linewidth=1)
    axes.margins(x=0.1)
    axes.set_yticks(range(len(results)), [result["shape"] for result in results], fontsize=8)
    axes.invert_yaxis()


def speed(result: dict[str, Any], name: str | None, direction: str) -> float | None:
    """How many times as fast as the one it is compared with."""
    slower = ratio(result, name, base_of(result), direction) if name else None
    return None if slower is None else 1 / slower
