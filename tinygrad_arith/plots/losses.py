"""The loss on training batches and on validation problems: alone, and beside the Fourier spectrum of an embedding.

Grokking (Power et al. 2022, arXiv 2201.02177; Nanda et al. 2023, arXiv 2301.05217): a model of addition modulo p that
generalises adds angles. It writes each number n as cosines and sines of 2 pi k n / p for a few frequencies k. Its
embedding, a function of n, then has large Fourier components at these k alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .figure import BLUE, GREY, ORANGE, Figure, blank_axes, count_axis, put_title
from .series import Curve, line_look

DRAWN = 2000  # points of a line; of more, evenly spaced ones on the logarithmic axis are drawn
NAMED = 6  # of the largest frequencies, at most, are written at their bars
STANDS_OUT = 3.0  # times the median, from which a frequency is named


def losses(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Both losses over training steps; `rows` are those of `metrics.jsonl`."""
    figure, axes = blank_axes(6.4, 3.6)
    draw_losses(axes, rows)
    put_title(axes, "loss, nats per counted token")
    return figure


def grokking(rows: Sequence[Mapping[str, Any]], table: np.ndarray) -> Figure:
    """Both losses on the left, the spectrum of the embedding `table` (p, C) on the right."""
    figure, (left, right) = blank_axes(9.6, 3.6, columns=2)
    draw_losses(left, rows)
    left.set_title("loss, nats per counted token", fontsize=10, loc="left")
    draw_spectrum(right, table)
    return figure


def draw_losses(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """The two lines on logarithmic axes, with a legend."""
    for index, (name, label) in enumerate((("loss", "training"), ("validation_loss", "validation"))):
        measured = thinned([row for row in rows if row.get(name, 0.0) > 0.0])
        look = line_look(index) | {"marker": ""}  # which would hide the line, where it is noisy
        axes.plot(*Curve.of(measured, "step", name), linewidth=1.3, label=label, **look)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(1, max([2, *(row["step"] for row in rows)]))
    count_axis(axes.xaxis)
    axes.set_xlabel("training step")
    axes.legend(frameon=False, fontsize=9, labelcolor=GREY)


def thinned(rows: Sequence[Any]) -> Sequence[Any]:
    """At most about `DRAWN` of the rows, evenly spaced in the logarithm of their place; all of few."""
    if len(rows) <= DRAWN:
        return rows
    return [rows[place - 1] for place in np.unique(np.geomspace(1, len(rows), DRAWN).round().astype(np.int64))]


def fourier_norms(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The norms, over channels, of the Fourier components of an embedding over the numbers 0 to p - 1.

    table (p, C). The basis is orthonormal: cosines and sines of 2 pi k n / p, k = 0 to p // 2 (k = 0 is the constant).
    Returns (cosine, sine), each (p // 2 + 1,): the sum of all their squares is that of the table's entries.
    """
    spectrum = np.fft.rfft(np.asarray(table, dtype=np.float64), axis=0, norm="ortho")  # (p // 2 + 1, C)
    spectrum[1:] *= np.sqrt(2.0)
    if len(table) % 2 == 0:
        spectrum[-1] /= np.sqrt(2.0)  # cos(pi n) is 1 or -1: no factor of a half in its mean square
    cosine, sine = (np.linalg.norm(part, axis=1) for part in (spectrum.real, spectrum.imag))
    return cosine, sine


def draw_spectrum(axes: Any, table: np.ndarray) -> None:
    """Two bars a frequency, cosine and sine; the constant, k = 0, is left out."""
    cosine, sine = (norms[1:] for norms in fourier_norms(table))
    frequencies = np.arange(1, len(cosine) + 1)
    axes.bar(frequencies - 0.21, cosine, width=0.42, color=BLUE, label="cosine")
    axes.bar(frequencies + 0.21, sine, width=0.42, color=ORANGE, label="sine")
    higher = np.maximum(cosine, sine)
    for index in np.argsort(-higher)[:NAMED]:
        if higher[index] > STANDS_OUT * np.median(higher):
            at = (frequencies[index], higher[index])
            axes.annotate(str(frequencies[index]), at, (0, 2), textcoords="offset points", ha="center", fontsize=8)
    axes.grid(visible=False, axis="x")
    axes.margins(y=0.1)
    axes.set_xlim(0, len(cosine) + 1)
    axes.set_xlabel(f"frequency k of 2π k n / {len(table)}")
    axes.set_title("norm of the embedding's Fourier components", fontsize=10, loc="left")
    axes.legend(frameon=False, fontsize=9)
