"""Grokking (Power et al. 2022; Nanda et al. 2023): the two losses, and the Fourier spectrum of the embedding.

A model of addition modulo p that generalises adds angles: it writes each number n as cosines and sines of 2 pi k n / p
for a few frequencies k. Its embedding, a function of n, then has large Fourier components at these k alone.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .figure import BLUE, ORANGE, blank_figure, clean_axes
from .losses import draw_losses

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMED = 6  # of the largest frequencies, at most, are written at their bars
STANDS_OUT = 3.0  # times the median, from which a frequency is named


def fourier_norms(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The norms, over channels, of the Fourier components of an embedding over the numbers 0 to p - 1.

    table (p, C). The basis is orthonormal: cosines and sines of 2 pi k n / p, k = 0 to p // 2 (k = 0 is the constant).
    Returns (cosine, sine), each (p // 2 + 1,): the sum of all their squares is that of the table's entries.
    """
    modulus = len(table)
    spectrum = np.fft.rfft(np.asarray(table, dtype=np.float64), axis=0)  # (p // 2 + 1, C)
    scale = np.full((len(spectrum), 1), np.sqrt(2.0 / modulus))
    scale[0] = np.sqrt(1.0 / modulus)
    if modulus % 2 == 0:
        scale[-1] = np.sqrt(1.0 / modulus)  # cos(pi n) is 1 or -1: no factor of a half in its mean square
    cosine, sine = (np.linalg.norm(scale * part, axis=1) for part in (spectrum.real, spectrum.imag))
    return cosine, sine


def grokking(rows: Sequence[Mapping[str, Any]], table: np.ndarray, title: str = "") -> "Figure":
    """Training and validation loss on the left, the spectrum of the embedding `table` (p, C) on the right."""
    figure = blank_figure(9.6, 3.6)
    left, right = figure.subplots(1, 2)
    draw_losses(left, rows)
    left.set_title("loss, nats per counted token", fontsize=10, loc="left")
    draw_spectrum(right, table)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


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
    clean_axes(axes)
    axes.grid(visible=False, axis="x")
    axes.margins(y=0.1)
    axes.set_xlim(0, len(cosine) + 1)
    axes.set_xlabel(f"frequency k of 2π k n / {len(table)}")
    axes.set_title("norm of the embedding's Fourier components", fontsize=10, loc="left")
    axes.legend(frameon=False, fontsize=9)
