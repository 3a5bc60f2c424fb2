"""The Fourier spectrum of an embedding: against the definition, and of an embedding made of two frequencies."""

import numpy as np
import pytest

from tinygrad_arith.plots.figure import save_figure
from tinygrad_arith.plots.losses import fourier_norms, grokking


def basis(modulus):
    """The orthonormal cosines and sines over 0..p-1 by their definition, as (cosines, sines) with k = 0..p//2."""
    numbers = np.arange(modulus)
    angles = 2 * np.pi * np.outer(np.arange(modulus // 2 + 1), numbers) / modulus
    both = []
    for waves in (np.cos(angles), np.sin(angles)):
        norms = np.linalg.norm(waves, axis=1, keepdims=True)
        both.append(np.where(norms > 1e-9, waves / np.maximum(norms, 1e-9), 0.0))
    return both


@pytest.mark.parametrize("modulus", [2, 3, 7, 12, 113])
def test_the_norms_are_those_of_the_definition(modulus):
    table = np.random.default_rng(modulus).normal(size=(modulus, 5))
    cosine, sine = fourier_norms(table)
    for norms, waves in zip((cosine, sine), basis(modulus), strict=True):
        np.testing.assert_allclose(norms, np.linalg.norm(waves @ table, axis=1), atol=1e-12)
    assert np.sum(cosine**2) + np.sum(sine**2) == pytest.approx(np.sum(table**2))


def test_the_frequencies_of_an_embedding_are_named(tmp_path):
    rng, numbers = np.random.default_rng(1), np.arange(59)
    table = 0.01 * rng.normal(size=(59, 16)).astype(np.float32)
    for frequency in (5, 21):
        table += np.outer(np.cos(2 * np.pi * frequency * numbers / 59), rng.normal(size=16))
    rows = [{"step": step, "loss": 1.0 / step, "validation_loss": 2.0} for step in range(1, 10)]
    figure = grokking(rows, table)
    left, right = figure.axes
    assert sorted(text.get_text() for text in right.texts) == ["21", "5"]
    assert len(left.lines) == 2
    heights = [patch.get_height() for patch in right.patches]
    np.testing.assert_allclose(heights, np.concatenate([norms[1:] for norms in fourier_norms(table)]))
    save_figure(figure, tmp_path / "grokking.png")


def test_no_frequency_stands_out_in_noise():
    table = np.random.default_rng(2).normal(size=(113, 64))
    assert grokking([], table).axes[1].texts[:] == []
